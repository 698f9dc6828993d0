"""The whole stack on this machine: ``make demo-stack``. Needs Debian's prometheus and prometheus-alertmanager.

A synthetic Falco of three hosts degrades and heals each minute; the exporter follows it, Prometheus evaluates our
rules, Alertmanager has our example. All listen on the loopback only. Falco's minutes are seconds here, so the rules'
waits are scaled likewise, and the burn rates, whose windows are days, are left out.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
EXPORTER, PROMETHEUS, ALERTMANAGER = 9377, 9090, 9093
SCALED: Final = (
    (r"(\s+for:) \w+", r"\1 2s"),
    (r"\+ 120\b", "+ 3"),
    (r">= bool 1800", ">= bool 4"),
    (r"\[10m\]", "[8s]"),
    (r"\[1h\]", "[20s]"),
    (r"\[1d\]", "[1m]"),
)
"""What is minutes and hours in the rules, and what it becomes."""


def scaled_rules() -> dict[str, Any]:
    """Return our rules for a Falco that writes a snapshot a second or two, without the burn rates."""
    text = (ROOT / "alerts" / "rules" / "falco-enrichment.rules.yml").read_text()
    for pattern, replacement in SCALED:
        text = re.sub(pattern, replacement, text)
    document: dict[str, Any] = yaml.safe_load(text)
    document["groups"] = [group for group in document["groups"] if group["name"] != "falco-enrichment-objectives"]
    return document


def write_settings(folder: Path) -> None:
    """Write the settings of Prometheus and Alertmanager."""
    (folder / "rules.yml").write_text(yaml.safe_dump(scaled_rules()))
    target = {"static_configs": [{"targets": [f"127.0.0.1:{EXPORTER}"]}]}
    told = {"static_configs": [{"targets": [f"127.0.0.1:{ALERTMANAGER}"]}]}
    settings = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [told]},
        "scrape_configs": [{"job_name": "falco-enrichment", **target}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML
    shutil.copytree(ROOT / "alerts" / "alertmanager", folder, dirs_exist_ok=True)


def commands() -> list[list[str]]:
    """Return what to start, in a folder with the settings."""
    exporter = [sys.executable, "-m", "falco_enrichment_exporter", "demo", f"--web.listen-address=127.0.0.1:{EXPORTER}"]
    prometheus = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=warn"]
    alertmanager = [
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=data",
        "--log.level=warn",
    ]
    return [
        exporter,
        [*prometheus, f"--web.listen-address=127.0.0.1:{PROMETHEUS}"],
        [*alertmanager, f"--web.listen-address=127.0.0.1:{ALERTMANAGER}", "--cluster.listen-address="],
    ]


def main() -> int:
    """Run all until one ends or the user interrupts."""
    wanted = [command[0] for command in commands()]
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; apt install prometheus prometheus-alertmanager", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="falco-enrichment-") as name, ExitStack() as stack:
        write_settings(Path(name))
        started = [stack.enter_context(subprocess.Popen(command, cwd=name)) for command in commands()]
        for process in started:
            stack.callback(process.terminate)
        print(f"status page   http://127.0.0.1:{EXPORTER}/")
        print(f"Prometheus    http://127.0.0.1:{PROMETHEUS}/alerts")
        print(f"Alertmanager  http://127.0.0.1:{ALERTMANAGER}/")
        print("The first alerts come within a minute. Ctrl-C ends all.", flush=True)
        try:
            started[0].wait()
        except KeyboardInterrupt:
            print("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())

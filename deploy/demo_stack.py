"""The whole stack on this machine: ``make demo-stack``. Needs Debian's prometheus and prometheus-alertmanager.

A synthetic Falco of three hosts degrades and heals each minute; the exporter follows it, Prometheus evaluates our
rules, Alertmanager has our example. All listen on the loopback only. Falco's minutes are seconds here, so the rules'
waits are scaled likewise, and the burn rates, whose windows are days, are left out.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
EXPORTER, PROMETHEUS, ALERTMANAGER = 9377, 9090, 9093
SCALED: Final = (
    (r"(\s(keep_firing_)?for:) \w+", r"\1 2s"),
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
    taken = [port for port in (EXPORTER, PROMETHEUS, ALERTMANAGER) if not is_free(port)]
    if taken:
        print(f"something listens on port {', '.join(map(str, taken))} already", file=sys.stderr)
        print("Debian's own services: systemctl stop prometheus prometheus-alertmanager", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="falco-enrichment-") as name, ExitStack() as stack:
        write_settings(Path(name))
        started = [stack.enter_context(subprocess.Popen(command, cwd=name)) for command in commands()]
        for process in started:
            stack.callback(process.terminate)
        try:
            while not all(answers(port) for port in (EXPORTER, PROMETHEUS, ALERTMANAGER)):
                if ended := first_ended(started):
                    return ended
                time.sleep(0.2)
            print(f"status page   http://127.0.0.1:{EXPORTER}/")
            print(f"Prometheus    http://127.0.0.1:{PROMETHEUS}/")
            print(f"Alertmanager  amtool --alertmanager.url=http://127.0.0.1:{ALERTMANAGER} alert")
            print("The first alerts come within a minute. Ctrl-C ends all.", flush=True)
            while not (ended := first_ended(started)):
                time.sleep(0.2)
        except KeyboardInterrupt:
            print("ended")
            return 0
    return ended


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def answers(port: int) -> bool:
    """Say whether a server is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def first_ended(started: list[subprocess.Popen[bytes]]) -> int:
    """Return 1, and say of whom, if one of these has ended; else 0."""
    for process in started:
        if process.poll() is not None:
            print(f"{' '.join(map(str, process.args))}: ended with {process.returncode}", file=sys.stderr)  # type: ignore[arg-type]
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

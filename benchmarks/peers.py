"""What the exporter is compared with; each one's result is checked against the log."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.log import Log
from benchmarks.process import BenchmarkError, Run, Server, free_port, run

MTAIL = shutil.which("mtail")
PROGRAMS = Path(__file__).parent / "mtail"
MTAIL_JOBS = ("snap8", "alerts", "full")


@dataclass(frozen=True)
class Peer:
    """A command that reads the whole log, and a check of what it prints."""

    name: str
    command: Callable[[Log], list[str]]
    check: Callable[[str, Log], bool]

    def measure(self, log: Log) -> Run:
        """Run it once."""
        done = run(self.command(log))
        if not self.check(done.output, log):
            raise BenchmarkError(f"{self.name} has another result than the log")
        return done


def _samples(text: str, name: str) -> dict[str, float]:
    return {labels: float(value) for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)}


def _sum(text: str, name: str, *labels: str) -> float:
    return sum(value for key, value in _samples(text, name).items() if all(label in key for label in labels))


def check_mtail(job: str, text: str, log: Log) -> bool:
    """Say whether the metrics page of mtail is right."""
    gauges = _samples(text, "falco_n_containers")
    for host, fields in log.truth["last"].items():
        if not any(f'"{host}"' in key and value == fields["falco.n_containers"] for key, value in gauges.items()):
            return False
    if job == "alerts":
        return _sum(text, "falco_alerts_total") == _sum(text, "falco_rule_alerts_total") == log.alerts
    if job == "full":
        return all(
            _sum(text, "falco_events_total", f'"{name}"', f'"{state}"') == count
            for name in ("container.image.repository", "user.name")
            for state, count in log.states(name).items()
        )
    return True


def program_folder(job: str, folder: Path) -> Path:
    """Return a folder with this program alone, as mtail wants it."""
    own = folder / f"mtail-{job}"
    own.mkdir(exist_ok=True)
    shutil.copy(PROGRAMS / f"{job}.mtail", own)
    return own


def _one_shot(job: str, folder: Path) -> Peer:
    def command(log: Log) -> list[str]:
        return [
            str(MTAIL), "-one_shot", "-one_shot_format", "prometheus", "-address", "127.0.0.1", "-port", "0",
            "-logtostderr", "-progs", str(program_folder(job, folder)), "-logs", str(log.path),
        ]  # fmt: skip

    return Peer(f"mtail {job}", command, lambda text, log: check_mtail(job, text, log))


def all_peers(folder: Path) -> list[Peer]:
    """Return every peer that is installed, the cheapest first."""
    peers = [
        Peer("wc -l", lambda log: ["wc", "-l", str(log.path)], _is_lines),
        Peer("grep -c", lambda log: ["grep", "-c", "metrics snapshot", str(log.path)], _is_many),
        Peer("json.loads loop", _json_loop, lambda text, log: text.split() == [str(log.snapshots), str(log.alerts)]),
    ]
    return peers + ([_one_shot(job, folder) for job in MTAIL_JOBS] if MTAIL else [])


def _is_lines(text: str, log: Log) -> bool:
    return int(text.split(maxsplit=1)[0]) == log.snapshots + log.alerts


def _is_many(text: str, log: Log) -> bool:
    return int(text) >= log.snapshots  # and some command lines of alerts


def _json_loop(log: Log) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("json_loop.py")), str(log.path)]


class Mtail(Server):
    """A running mtail that follows files, with its own defaults."""

    def __init__(self, folder: Path, source: Path, job: str) -> None:
        port = free_port()
        command = [
            str(MTAIL), "-address", "127.0.0.1", "-port", str(port), "-logtostderr",
            "-progs", str(program_folder(job, folder)), "-logs", str(source),
        ]  # fmt: skip
        super().__init__(command, port=port, folder=folder, environment=os.environ)
        self.wait_until_ready("/metrics")

    def count(self, job: str) -> float:
        """Return how many lines it has counted; for snap8, how many hosts."""
        text = self.get()[1]
        if job == "full":
            return _sum(text, "falco_events_total", '"user.name"')
        return _sum(text, "falco_alerts_total") if job == "alerts" else len(_samples(text, "falco_n_containers"))


def mtail_version() -> str:
    """Return mtail's version, or that it is not there."""
    if MTAIL is None:
        return "not installed"
    text = subprocess.run([MTAIL, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", text.stdout + text.stderr)
    return found[1] if found else "unknown"

"""The exporter as users run it: its own process, `serve`, settings on the command line, a state directory."""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.log import Log
from benchmarks.process import BenchmarkError, Server, free_port

COMMAND = (sys.executable, "-m", "falco_enrichment_exporter", "serve")
MODES = {"snapshots only": ("--alerts.enabled=false",), "full": ()}
_PREFIX = "falco_enrichment_"


def environment(folder: Path, package: Path | None = None) -> dict[str, str]:
    """Return our environment without settings of the exporter; its state goes into a folder. ``package``: run that."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FALCO_ENRICHMENT_")}
    return kept | {"XDG_STATE_HOME": str(folder / "state")} | ({"PYTHONPATH": str(package)} if package else {})


@functools.cache
def knows(setting: str) -> bool:
    """Say whether the exporter has a setting."""
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    return f"--{setting} " in text


class Exporter(Server):
    """A running exporter that is ready."""

    def __init__(self, folder: Path, source: Path, *flags: str, package: Path | None = None) -> None:
        port = free_port()
        command = [*COMMAND, f"--source.paths={source}", f"--web.listen-address=127.0.0.1:{port}", *flags]
        super().__init__(command, port=port, folder=folder, environment=environment(folder, package))
        try:
            self.wait_until_ready("/-/ready")
        except BenchmarkError:
            self.__exit__()
            raise

    def totals(self) -> dict[str, float]:
        """Return what it has counted: bytes, snapshots, alerts, oversize lines, snapshots and alerts by host."""
        status, text = self.get()
        if status != 200:  # noqa: PLR2004
            raise BenchmarkError(f"/metrics answers {status}")
        totals: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix(_PREFIX)
                kind = sample.labels.get("kind") or sample.labels.get("reason")
                for key in (name, f"{name}/{kind}") if kind else (name,):
                    totals[key] = totals.get(key, 0) + sample.value
        return totals

    def wait_until_read(self, log_bytes: int, read_before: int) -> float:
        """Return the CPU seconds it had taken when all was read and folded; asks for the page as seldom as it can."""
        self.wait_until_taken(log_bytes, read_before)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            cpu_seconds = self.cpu_seconds
            if self.totals().get("exporter_read_bytes_total") == log_bytes:
                return cpu_seconds
            self.wait_until_quiet()
        raise BenchmarkError("it has stopped reading before the end")


def verify(totals: dict[str, float], log: Log, mode: str) -> None:
    """Compare what it has counted with what is in the log."""
    expected: dict[str, float] = {"snapshots_total": log.snapshots}
    if mode == "full":
        expected |= {"alerts_total": log.alerts, "rule_alerts_total": log.alerts}
    for name, value in expected.items():
        if totals.get(name) != value:
            raise BenchmarkError(f"the exporter ({mode}) says {name} {totals.get(name)}, but the log has {value}")

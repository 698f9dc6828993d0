"""How long after the write a scrape shows it, and how long a scrape takes while the log grows fast."""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import generate
from benchmarks.exporter import Exporter
from benchmarks.log import Log
from benchmarks.process import BenchmarkError, eventually
from benchmarks.report import Table, Target, percentile

LIMIT_MS, SCRAPE_LIMIT_MS = 100.0, 20.0
PAUSE_SECONDS = 1.0  # at most, before a write
DEADLINE_SECONDS = 10.0
BYTES_PER_SECOND = 10_000_000
SCRAPE_PERIOD_SECONDS = 0.05
WARM_BYTES = 12_000_000  # eight snapshots and the alerts between them


def _write_to_scrape(log: Log, parent: Path, writes: int) -> list[float]:
    """Write alerts of new rules at random moments; milliseconds until a scrape shows each."""
    rng = random.Random(1)  # noqa: S311  not a secret
    line = next(log.pieces(1)).rstrip()
    rule = next(rule for rule, _, _ in generate.RULES if f'"rule":"{rule}"'.encode() in line)
    with TemporaryDirectory(dir=parent) as own:
        path = Path(own) / "falco.jsonl"
        path.touch()
        with Exporter(Path(own), path) as exporter, path.open("ab", buffering=0) as file:
            found = []
            for number in range(writes):
                time.sleep(rng.uniform(0, PAUSE_SECONDS))
                name = f"Benchmark rule {number}."
                began = time.monotonic()
                file.write(line.replace(f'"rule":"{rule}"'.encode(), f'"rule":"{name}"'.encode()) + b"\n")
                _scrape_until(exporter, name, began)
                found.append(1000 * (time.monotonic() - began))
            return found


def _scrape_until(exporter: Exporter, name: str, began: float) -> None:
    while name not in exporter.get()[1]:
        if time.monotonic() - began > DEADLINE_SECONDS:
            raise BenchmarkError(f"a written alert is not on the page after {DEADLINE_SECONDS:.0f} s")


def _scrape_times(log: Log, parent: Path, seconds: float) -> tuple[list[float], int]:
    """Scrape while another process appends; milliseconds of every scrape, and the size of the page."""
    with TemporaryDirectory(dir=parent) as own:
        path = Path(own) / "falco.jsonl"
        path.write_bytes(b"".join(islice(log.pieces(WARM_BYTES), 1)))
        with Exporter(Path(own), path) as exporter:
            exporter.wait_until_quiet()
            size_before = path.stat().st_size
            command = [sys.executable, "-m", "benchmarks.writer", str(log.path), str(path), str(BYTES_PER_SECOND)]
            with subprocess.Popen([*command, str(seconds)], cwd=Path(__file__).parent.parent) as writer:
                time.sleep(1)
                found, page_bytes = _scrape_while(exporter, writer)
            written = path.stat().st_size - size_before
            eventually(
                lambda: exporter.totals()["exporter_read_bytes_total"] == written,
                "the exporter has read what was written meanwhile",
                pause_seconds=0.5,
                deadline_seconds=20,
            )
            return found, page_bytes


def _scrape_while(exporter: Exporter, writer: subprocess.Popen[bytes]) -> tuple[list[float], int]:
    found, page_bytes = [], 0
    while writer.poll() is None:
        began = time.monotonic()
        page_bytes = len(exporter.get()[1])
        taken = time.monotonic() - began
        found.append(1000 * taken)
        time.sleep(max(SCRAPE_PERIOD_SECONDS - taken, 0))
    return found, page_bytes


def measure(log: Log, folder: Path, writes: int, seconds: float) -> Table:
    """Measure both."""
    table = Table("Latency", ["what", "times", "median ms", "p99 ms", "most ms", "target of p99"])
    print("  write to scrape", flush=True)
    _add(table, "write to scrape", _write_to_scrape(log, folder, writes), LIMIT_MS)
    print("  scrapes while the log grows", flush=True)
    found, page_bytes = _scrape_times(log, folder, seconds)
    rate = f"{BYTES_PER_SECOND / 1e6:.0f} MB/s"
    _add(table, f"GET /metrics ({page_bytes / 1000:.0f} kB, 8 hosts) at {rate}", found, SCRAPE_LIMIT_MS)
    return table


def _add(table: Table, name: str, found: Sequence[float], limit: float) -> None:
    p99 = percentile(found, 0.99)
    cells = [f"{percentile(found, 0.5):.1f}", f"{p99:.1f}", f"{max(found):.1f}"]
    table.add(name, str(len(found)), *cells, Target(limit, " ms").judge(p99))

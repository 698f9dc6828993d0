"""The most memory: over the whole log, and over a line without an end."""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.exporter import MODES, Exporter
from benchmarks.log import Log
from benchmarks.peers import MTAIL, all_peers
from benchmarks.process import MIB, BenchmarkError
from benchmarks.reading import Cost, read_with_exporter
from benchmarks.report import Table, Target, times

LIMIT_MIB = 60.0
JOBS = ("mtail snap8", "mtail full")


def _long_line(log: Log, parent: Path, size_bytes: int) -> float:
    """Append one line of this size and an alert after it; the most memory. The alert must be counted, the line not."""
    with TemporaryDirectory(dir=parent) as own:
        path = Path(own) / "falco.jsonl"
        path.touch()
        with Exporter(Path(own), path) as exporter:
            block, read_before = b"x" * MIB, exporter.read_characters
            with path.open("ab", buffering=0) as file:
                for _ in range(size_bytes // MIB):
                    file.write(block)
                file.write(b"\n" + next(log.pieces(1)))
            exporter.wait_until_read(path.stat().st_size, read_before)
            totals = exporter.totals()
            if totals.get("alerts_total") != 1 or totals.get("exporter_lines_rejected_total/oversize") != 1:
                raise BenchmarkError("the exporter has not left out the long line, or lost the alert after it")
            return exporter.peak_mib


def measure(log: Log, folder: Path, line_bytes: int) -> Table:
    """Measure both."""
    table = Table("Most memory", ["what", "peak MiB", "mtail's by it", "target"])
    peers = {peer.name: peer for peer in all_peers(folder)}
    for mode, job in zip(MODES, JOBS, strict=True):
        print(f"  reading, {mode}", flush=True)
        mtail = peers[job].measure(log).peak_mib if MTAIL else None
        cost = Cost()
        read_with_exporter(log, folder, mode, cost)
        peak = cost.peak_mib[0]
        name = f"exporter, {mode}, reading {log.gigabytes:.2f} GB"
        if mtail:
            table.add(f"{job}, reading {log.gigabytes:.2f} GB", f"{mtail:.1f}")
        table.add(name, f"{peak:.1f}", times(mtail, peak), Target(LIMIT_MIB).judge(peak))
    print("  a long line", flush=True)
    peak = _long_line(log, folder, line_bytes)
    table.add(f"exporter, a line of {line_bytes / 1e9:.2f} GB", f"{peak:.1f}", "-", Target(LIMIT_MIB).judge(peak))
    return table

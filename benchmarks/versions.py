"""Two versions of the exporter against each other, on a machine that others use as well.

What a run costs there is as much the neighbours' doing as ours. So both versions read the same log in turn, over and
over, and each run is looked at in short pieces: those that the neighbours left alone are the cheapest of each version.
"""

import random
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.exporter import MODES, Exporter
from benchmarks.log import Log, warm
from benchmarks.process import BenchmarkError
from benchmarks.reading import Cost, read_with_exporter
from benchmarks.report import NONE, Table, percentile, spread

PIECE_SECONDS = 0.03
LEAST_PIECE_BYTES = 3_000_000
SHARES = (0.05, 0.1, 0.25, 0.5)
HERE = Path(__file__).parents[1]


class Pieces(list[float]):
    """What reading costs in pieces of a few milliseconds, in CPU seconds a GB."""

    @contextmanager
    def watching(self, exporter: Exporter) -> Iterator[None]:
        """Add the pieces of what an exporter reads meanwhile."""
        is_over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(exporter, is_over))
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()

    def _watch(self, exporter: Exporter, is_over: threading.Event) -> None:
        cpu_before, bytes_before = exporter.cpu_seconds, exporter.read_characters
        while not is_over.wait(PIECE_SECONDS):
            cpu_seconds, read_bytes = exporter.cpu_seconds, exporter.read_characters
            if read_bytes - bytes_before > LEAST_PIECE_BYTES:
                self.append((cpu_seconds - cpu_before) / (read_bytes - bytes_before) * 1e9)
            cpu_before, bytes_before = cpu_seconds, read_bytes


def measure(log: Log, folder: Path, other: Path, runs: int) -> Table:
    """Read with this checkout and with another one, in an order that is drawn for each run."""
    packages = {"this": HERE / "exporter", str(other): other.resolve() / "exporter"}
    if not packages[str(other)].is_dir():
        raise BenchmarkError(f"{other} is no checkout of the exporter: it has no folder 'exporter'")
    costs = {(name, mode): (Cost(), Pieces()) for mode in MODES for name in packages}
    warm(log)
    for number in range(runs):
        for name, mode in random.sample(list(costs), len(costs)):
            print(f"  run {number + 1}: {name}, {mode}", flush=True)
            cost, pieces = costs[name, mode]
            read_with_exporter(log, folder, mode, cost, package=packages[name], watching=pieces.watching)
    if not all(pieces for _, pieces in costs.values()):
        raise BenchmarkError("the log is too short to look at pieces of it: give more --alerts")
    return _table(log, costs, str(other), runs)


def _table(log: Log, costs: dict[tuple[str, str], tuple[Cost, Pieces]], other: str, runs: int) -> Table:
    columns = ["version", "CPU s/GB", "/ other", *[f"{share:.0%} of pieces" for share in SHARES], "/ other"]
    table = Table(f"Two versions reading {log.gigabytes:.2f} GB in turn; median of {runs}", columns)
    for (name, mode), (cost, pieces) in costs.items():
        other_cost, other_pieces = costs[other, mode]
        cheap = [percentile(pieces, share) for share in SHARES]
        ratios = [value / percentile(other_pieces, share) for value, share in zip(cheap, SHARES, strict=True)]
        table.add(
            f"{name}, {mode}",
            spread([seconds / log.gigabytes for seconds in cost.cpu_seconds]),
            NONE if name == other else f"{cost.median / other_cost.median:.3f}",
            *[f"{value:.2f}" for value in cheap],
            NONE if name == other else f"{statistics.mean(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}]",
        )
    table.notes.append(
        f"'5% of pieces': what so many of the pieces, of {PIECE_SECONDS * 1000:.0f} ms each, did not exceed. "
        "'/ other': cost of this version by the other one's, of whole runs; and of these pieces, mean and range."
    )
    return table

"""Reading throughput: the whole log at once."""

import os
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.exporter import MODES, Exporter, verify
from benchmarks.log import Log, warm
from benchmarks.peers import Peer, all_peers
from benchmarks.report import NONE, Table, Target, spread, times

TARGETS = {"snapshots only": (0.6, 15.0, "snap8"), "full": (2.0, 8.0, "full")}  # CPU s/GB, times less than mtail's
MTAIL_COLUMNS = ("snap8", "alerts", "full")


@dataclass
class Cost:
    """What one program took in every run."""

    cpu_seconds: list[float] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the CPU seconds."""
        return statistics.median(self.cpu_seconds)


def read_with_exporter(
    log: Log,
    folder: Path,
    mode: str,
    cost: Cost,
    *,
    package: Path | None = None,
    watching: Callable[[Exporter], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> None:
    """Let the exporter read the log as a file that is born after its start; check what it has counted.

    ``package`` is where another version of it is; ``watching`` is entered while it reads.
    """
    with TemporaryDirectory(dir=folder) as own:
        path = Path(own) / "falco.jsonl"
        with Exporter(Path(own), path, *MODES[mode], package=package) as exporter:
            exporter.wait_until_quiet()
            start, read_before = exporter.cpu_seconds, exporter.read_characters
            with watching(exporter):
                os.link(log.path, path)
                end = exporter.wait_until_read(log.size_bytes, read_before)
            cost.start_seconds.append(start)
            cost.cpu_seconds.append(end - start)
            cost.peak_mib.append(exporter.peak_mib)
            verify(exporter.totals(), log, mode)


def read_with_peer(log: Log, peer: Peer, cost: Cost) -> None:
    """Let a peer read the log."""
    done = peer.measure(log)
    cost.cpu_seconds.append(done.cpu_seconds)
    cost.peak_mib.append(done.peak_mib)


def measure(log: Log, folder: Path, runs: int) -> Table:
    """Run everything in turn, over and over, so that all see the same machine."""
    peers = all_peers(folder)
    costs = {name: Cost() for name in [*[peer.name for peer in peers], *MODES]}
    warm(log)
    for number in range(runs):
        for peer in peers:
            print(f"  run {number + 1}: {peer.name}", flush=True)
            read_with_peer(log, peer, costs[peer.name])
        for mode in MODES:
            print(f"  run {number + 1}: exporter, {mode}", flush=True)
            read_with_exporter(log, folder, mode, costs[mode])
    return _table(log, costs, runs)


def _table(log: Log, costs: dict[str, Cost], runs: int) -> Table:
    head = f"Reading {log.gigabytes:.2f} GB: {log.alerts} alerts, {log.snapshots} snapshots; median of {runs}"
    mtail_columns = [f"{job} /" for job in MTAIL_COLUMNS]
    names = ["program", "CPU s/GB", "with start", "/ wc", "/ grep", "json /", *mtail_columns]
    table = Table(head, [*names, "peak MiB", "targets"])
    medians = {name: cost.median for name, cost in costs.items()}
    for name, cost in costs.items():
        gigabyte_costs = [seconds / log.gigabytes for seconds in cost.cpu_seconds]
        is_ours = name in MODES
        total = f"{(cost.median + statistics.median(cost.start_seconds)) / log.gigabytes:.2f}" if is_ours else NONE
        compared = [times(medians.get(peer), cost.median) for peer in _compared()]
        table.add(
            f"exporter, {name}" if is_ours else name,
            spread(gigabyte_costs),
            total,
            times(cost.median, medians["wc -l"]),
            times(cost.median, medians["grep -c"]),
            *compared,
            spread(cost.peak_mib, 0),
            _judge(name, cost.median / log.gigabytes, medians),
        )
    table.notes.append(
        "'/ wc' and '/ grep': CPU of this program by theirs. 'json /', 'snap8 /', 'alerts /', 'full /': CPU of the "
        "json.loads loop and of the mtail programs by this one's. 'with start' adds the exporter's own start."
    )
    return table


def _compared() -> list[str]:
    return ["json.loads loop", *[f"mtail {job}" for job in MTAIL_COLUMNS]]


def _judge(name: str, gigabyte_cost: float, medians: dict[str, float]) -> str:
    if name not in TARGETS:
        return NONE
    limit, least, job = TARGETS[name]
    verdict = Target(limit).judge(gigabyte_cost)
    mtail = medians.get(f"mtail {job}")
    if mtail is None:
        return verdict
    return f"{verdict}; {Target(least, 'x', is_least=True).judge(mtail / medians[name])}"

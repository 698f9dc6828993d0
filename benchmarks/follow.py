"""Following live: a log that grows four times a second."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.exporter import MODES, Exporter
from benchmarks.log import NEEDLE, Log
from benchmarks.peers import MTAIL, MTAIL_JOBS, Mtail
from benchmarks.process import BenchmarkError, Server, eventually
from benchmarks.report import Table, spread, times

APPENDS = 48
PIECE_BYTES = 2_500_000
PERIOD_SECONDS = 0.25
Start = Callable[[Path, Path], AbstractContextManager[Server]]


def append_all(path: Path, pieces: Sequence[bytes]) -> None:
    """Append the pieces in time."""
    with path.open("ab", buffering=0) as file:
        due = time.monotonic()
        for piece in pieces:
            file.write(piece)
            due += PERIOD_SECONDS
            time.sleep(max(due - time.monotonic(), 0))


def _follow(
    start: Start, count: Callable[[Server], float], expected: float, pieces: Sequence[bytes], parent: Path
) -> float:
    """Return the CPU seconds that a program takes for the pieces."""
    with TemporaryDirectory(dir=parent) as own:
        path = Path(own) / "falco.jsonl"
        path.touch()
        with start(Path(own), path) as server:
            server.wait_until_quiet()
            before, read_before = server.cpu_seconds, server.read_characters
            append_all(path, pieces)
            server.wait_until_taken(path.stat().st_size, read_before)
            taken = server.cpu_seconds - before
            try:
                eventually(lambda: count(server) == expected, "counted", pause_seconds=0.5, deadline_seconds=10)
            except BenchmarkError as error:
                raise BenchmarkError(f"followed {expected} lines, counted {count(server)}") from error
            return taken


def _exporter_count(mode: str) -> Callable[[Server], float]:
    def count(server: Server) -> float:
        assert isinstance(server, Exporter)  # noqa: S101
        return server.totals().get("alerts_total" if mode == "full" else "snapshots_total", 0)

    return count


def _mtail_count(job: str) -> Callable[[Server], float]:
    def count(server: Server) -> float:
        assert isinstance(server, Mtail)  # noqa: S101
        return server.count(job)

    return count


def _exporter_start(mode: str) -> Start:
    return lambda folder, path: Exporter(folder, path, *MODES[mode])


def _mtail_start(job: str) -> Start:
    return lambda folder, path: Mtail(folder, path, job)


def measure(log: Log, folder: Path, runs: int) -> Table:
    """Let every program follow the same appends, in turn."""
    if log.size_bytes < APPENDS * PIECE_BYTES:  # a snapshot that comes again is not counted
        raise BenchmarkError(f"the log is too small to append {APPENDS * PIECE_BYTES} bytes of it: give more --alerts")
    pieces = list(itertools.islice(log.pieces(PIECE_BYTES), APPENDS))
    gigabytes = sum(map(len, pieces)) / 1e9
    snapshots = sum(piece.count(NEEDLE) for piece in pieces)
    alerts = sum(piece.count(b"\n") for piece in pieces) - snapshots
    jobs = MTAIL_JOBS if MTAIL else ()
    costs: dict[str, list[float]] = {name: [] for name in [*[f"mtail {job}" for job in jobs], *MODES]}
    for number, job in itertools.product(range(runs), jobs):
        print(f"  run {number + 1}: mtail {job}", flush=True)
        expected = min(snapshots, len(log.truth["last"])) if job == "snap8" else alerts
        taken = _follow(_mtail_start(job), _mtail_count(job), expected, pieces, folder)
        costs[f"mtail {job}"].append(taken / gigabytes)
    for number, mode in itertools.product(range(runs), MODES):
        print(f"  run {number + 1}: exporter, {mode}", flush=True)
        expected = alerts if mode == "full" else snapshots
        taken = _follow(_exporter_start(mode), _exporter_count(mode), expected, pieces, folder)
        costs[mode].append(taken / gigabytes)
    return _table(costs, gigabytes, runs)


def _table(costs: dict[str, list[float]], gigabytes: float, runs: int) -> Table:
    title = f"Following {gigabytes * 1000:.0f} MB live, {APPENDS} appends, 4 a second; median of {runs}"
    table = Table(title, ["program", "CPU s/GB", *[f"{job} /" for job in MTAIL_JOBS]])
    medians = {name: sorted(values)[len(values) // 2] for name, values in costs.items()}
    for name, values in costs.items():
        table.add(
            f"exporter, {name}" if name in MODES else name,
            spread(values),
            *[times(medians.get(f"mtail {job}"), medians[name]) for job in MTAIL_JOBS],
        )
    return table

"""Doing nothing: CPU and memory of programs that follow files in which nothing happens."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.exporter import Exporter, knows
from benchmarks.log import Log
from benchmarks.peers import MTAIL, Mtail
from benchmarks.process import Server
from benchmarks.report import NONE, Table, Target, times

SETTLE_SECONDS = 5.0
FILE_BYTES = 20_000
OTHERS_SECONDS = 0.01
NOTIFIED, POLLING, PEER = "exporter, notified", "exporter, polling", "mtail snap8"
CPU_LIMITS = {(NOTIFIED, 1): 0.1, (POLLING, 1): 0.2, (NOTIFIED, 1000): 0.3}
RSS_LIMIT_MIB = 60.0
RSS_GROWTH_MIB = 5.0


@dataclass(frozen=True)
class Idle:
    """What a program took while nothing happened."""

    cpu_percent: float
    rss_mib: float


def _starts() -> dict[str, Callable[[Path, Path], AbstractContextManager[Server]] | None]:
    can_notify = knows("source.notify")
    polling = ["--source.notify=false"] if can_notify else []
    return {
        PEER: (lambda folder, paths: Mtail(folder, paths, "snap8")) if MTAIL else None,
        NOTIFIED: Exporter if can_notify else None,
        POLLING: lambda folder, paths: Exporter(folder, paths, *polling),
    }


@contextmanager
def _others_writing(folder: Path) -> Iterator[None]:
    """Write lines beside the files that are followed, as many programs do in /var/log."""
    is_over = threading.Event()

    def write() -> None:
        with (folder / "syslog").open("ab", buffering=0) as other:
            while not is_over.wait(OTHERS_SECONDS):
                other.write(b"of others\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        is_over.set()
        writer.join()


def _measure_all(log: Log, parent: Path, files: int, seconds: float, *, is_busy: bool = False) -> dict[str, Idle]:
    """Let all programs do nothing at the same time, each with files of its own."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, start in _starts().items():
            if start is not None:
                own = Path(stack.enter_context(TemporaryDirectory(dir=parent)))
                (own / "logs").mkdir()
                for number, piece in enumerate(islice(log.pieces(FILE_BYTES), files)):
                    (own / "logs" / f"falco-{number}.jsonl").write_bytes(piece)
                pattern = "falco-*.jsonl" if files > 1 else "falco-0.jsonl"
                servers[name] = stack.enter_context(start(own, own / "logs" / pattern))
                if is_busy:
                    stack.enter_context(_others_writing(own / "logs"))
        time.sleep(SETTLE_SECONDS)
        before = {name: (server.cpu_seconds, time.monotonic()) for name, server in servers.items()}
        time.sleep(seconds)
        found = {}
        for name, server in servers.items():
            server.check()
            cpu_seconds, began = before[name]
            share = (server.cpu_seconds - cpu_seconds) / (time.monotonic() - began)
            found[name] = Idle(100 * share, server.rss_mib)
        return found


def measure(log: Log, folder: Path, seconds: float) -> Table:
    """Measure with one file, with a thousand, and with one in a folder where others write."""
    title = f"Doing nothing for {seconds:.0f} s"
    columns = ["program", "files", "% of a core", "mtail /", "target", "RSS MiB", "mtail /", "target"]
    table = Table(title, columns)
    single: dict[str, Idle] = {}
    for files, is_busy in ((1, False), (1000, False), (1, True)):
        print(f"  {files} quiet file{'s' if files > 1 else ''}{', busy folder' if is_busy else ''}", flush=True)
        found = _measure_all(log, folder, files, seconds, is_busy=is_busy)
        for name in _starts():
            _add(table, name, files, found, single, is_busy=is_busy)
        single = single or found
    table.notes.append(f"'busy folder': {1 / OTHERS_SECONDS:.0f} lines a second are written to another file beside it.")
    if not knows("source.notify"):
        table.notes.append("This exporter knows no --source.notify: it polls.")
    return table


def _add(
    table: Table, name: str, files: int, found: dict[str, Idle], single: dict[str, Idle], *, is_busy: bool
) -> None:
    idle, peer = found.get(name), found.get(PEER)
    label = f"{files}, busy folder" if is_busy else str(files)
    if idle is None:
        table.add(name, label, "not installed" if name == PEER else "not there yet")
        return
    cpu_verdict = rss_verdict = NONE
    if (name, files) in CPU_LIMITS:
        cpu_verdict = Target(CPU_LIMITS[name, files], " %").judge(idle.cpu_percent)
    if name != PEER and files == 1:
        rss_verdict = Target(RSS_LIMIT_MIB).judge(idle.rss_mib)
    elif name != PEER:
        rss_verdict = f"growth {Target(RSS_GROWTH_MIB).judge(idle.rss_mib - single[name].rss_mib)}"
    table.add(
        name,
        label,
        f"{idle.cpu_percent:.3f}",
        times(peer.cpu_percent if peer else None, idle.cpu_percent),
        cpu_verdict,
        f"{idle.rss_mib:.1f}",
        times(peer.rss_mib if peer else None, idle.rss_mib),
        rss_verdict,
    )

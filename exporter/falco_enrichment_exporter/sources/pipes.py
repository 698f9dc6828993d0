"""Pipes as sources: standard input, and FIFOs under the paths, whose writers come and go.

What was read from a pipe cannot be read again: a kill loses what came in since the last checkpoint.
"""

import asyncio
import errno
import logging
import os
import stat
from collections.abc import Iterator, Mapping

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.marks import Identity

RETRY_SECONDS = 0.2

_log = logging.getLogger(__name__)


class PipeSource:
    """Read what comes out of a descriptor, everything counted, until it ends."""

    def __init__(self, label: str, descriptor: int, *, fleet: Fleet, tally: Tally, limit_bytes: int) -> None:
        self.label = label
        self.is_up, self.failure = True, 0
        self.is_ready = False
        self.lag_bytes: int | None = None  # a pipe does not tell
        self.descriptor = descriptor
        self._fleet = fleet
        self._tally = tally
        self._buffer = LineBuffer(limit_bytes)
        self._intake = Intake(fleet, limit_bytes)

    async def run(self) -> None:
        """Read until end of file or cancelled."""
        try:
            waits = _waits(self.descriptor)
            self.is_ready = waits  # what a writer will send into a pipe cannot be waited for
            while await self._read(waits=waits):
                pass
        except OSError as error:
            self.fail(error)
        if self._buffer.tail_bytes:
            self._fleet.reject("unfinished")
        self.is_up, self.is_ready = False, True

    def fail(self, error: OSError) -> None:
        """Note that it cannot be opened or read."""
        if self.is_up:
            self._tally.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1
            _log.warning("pipe cannot be read", extra={"path": self.label, "error": error.strerror})
        self.is_up, self.failure = False, error.errno or -1

    async def _read(self, *, waits: bool) -> bool:
        """Take in what is there; False at the end."""
        if waits:
            await self._wait()
        try:
            count = self._fill() if waits else await asyncio.to_thread(self._fill)
        except BlockingIOError:
            return True  # another reader of the pipe was faster
        self._tally.read_bytes += count
        self._intake.take_read(self._buffer, count)
        return count > 0

    def _fill(self) -> int:
        return os.readv(self.descriptor, [self._buffer.writable()])

    async def _wait(self) -> None:
        """Wait until there is something, without a thread, which would keep the process from ending."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self.descriptor)


class Pipes:
    """The FIFOs under the paths: each is held open for reading and writing, so that no writer finds it closed."""

    def __init__(self, *, fleet: Fleet, tally: Tally, limit_bytes: int) -> None:
        self._open: dict[str, tuple[Identity, PipeSource]] = {}
        self._seen: dict[str, Identity] = {}
        self._news = asyncio.Event()
        self._fleet = fleet
        self._tally = tally
        self._limit_bytes = limit_bytes

    def __iter__(self) -> Iterator[PipeSource]:
        return (source for _, source in self._open.values())

    def see(self, pipes: Mapping[str, Identity]) -> None:
        """Take notice of the FIFOs that are under the paths now."""
        if pipes != self._seen:
            self._seen = dict(pipes)
            self._news.set()

    async def run(self) -> None:
        """Read every FIFO until it is gone from its path, or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            running: dict[str, asyncio.Task[None]] = {}
            while True:
                await self._news.wait()
                self._news.clear()
                for path in [path for path, (identity, _) in self._open.items() if self._seen.get(path) != identity]:
                    running.pop(path).cancel()
                    del self._open[path]
                for path, identity in self._seen.items():
                    if path not in self._open:
                        running[path] = tasks.create_task(self._read(path, identity))

    async def _read(self, path: str, identity: Identity) -> None:
        label = os.fsencode(path).decode("utf-8", "backslashreplace")
        source = PipeSource(label, -1, fleet=self._fleet, tally=self._tally, limit_bytes=self._limit_bytes)
        self._open[path] = identity, source
        while True:
            try:
                source.descriptor = _open(path)
                source.is_up, source.failure = True, 0
            except OSError as error:
                source.fail(error)
            else:
                try:
                    await source.run()
                finally:
                    os.close(source.descriptor)
            await asyncio.sleep(RETRY_SECONDS)


def _open(path: str) -> int:
    """Open a FIFO without waiting for a writer. Who may not write to it sees an end when the last writer goes."""
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _waits(descriptor: int) -> bool:
    """Say whether reading waits for a writer, so that the loop must be asked when there is something."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)

"""Standard input as a source: a pipe from Falco, or a file that is redirected."""

import asyncio
import errno
import logging
import os
import stat

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.exposition.telemetry import Tally

BLOCK_BYTES = 1 << 16

_log = logging.getLogger(__name__)


class StdinSource:
    """Read standard input to its end, everything counted, and go on serving after it."""

    def __init__(self, *, fleet: Fleet, tally: Tally, limit_bytes: int, descriptor: int = 0) -> None:
        self.label = "-"
        self.is_up = True
        self.is_ready = False
        self.lag_bytes = 0  # a pipe does not tell
        self._fleet = fleet
        self._tally = tally
        self._descriptor = descriptor
        self._buffer = LineBuffer(limit_bytes)
        self._intake = Intake(fleet, limit_bytes)

    async def run(self) -> None:
        """Read until end of file or cancelled."""
        try:
            waits = _waits(self._descriptor)
            self.is_ready = waits  # what a writer will send into a pipe cannot be waited for
            while data := await (self._read_pipe() if waits else self._read_file()):
                self._take(data)
        except OSError as error:
            self._tally.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1
            _log.warning("standard input cannot be read", extra={"error": error.strerror})
        if self._buffer.tail_bytes:
            self._fleet.reject("unfinished")
        self.is_up, self.is_ready = False, True
        _log.info("standard input has ended")

    async def _read_file(self) -> bytes:
        return await asyncio.to_thread(os.read, self._descriptor, BLOCK_BYTES)

    async def _read_pipe(self) -> bytes:
        """Wait until there is something without a thread, which would keep the process from ending."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, BLOCK_BYTES)

    def _take(self, data: bytes) -> None:
        self._tally.read_bytes += len(data)
        rest = memoryview(data)
        while rest:
            with self._buffer.writable() as free:
                count = min(len(free), len(rest))
                free[:count] = rest[:count]
            with self._buffer.commit(count) as block:
                self._intake.take(block, self._buffer.block_lines, may_hold_oversize=self._buffer.may_hold_oversize)
            rest = rest[count:]
        self._fleet.reject("oversize", self._buffer.oversize_lines)
        self._buffer.oversize_lines = 0


def _waits(descriptor: int) -> bool:
    """Say whether reading waits for a writer, so that the loop must be asked when there is something."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)

"""Bytes to complete lines, in bounded memory.

The rule of this file: only a newline ends a line. What stands after the last newline is not a line yet, however long it
has been there; whoever reads a file keeps its offset at the start of that tail, so that a restart reads it again whole.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from falco_enrichment_exporter.core.search import search

BLOCK_BYTES: Final = 256 * 1024


class Block(msgspec.Struct, frozen=True, gc=False):
    """Complete lines: ``data[start:end]``, which is empty or ends with a newline. Valid until the data changes.

    ``may_hold_oversize`` says that a line in it can be longer than the limit, so that each must be looked at.
    """

    data: bytearray
    start: int
    end: int
    may_hold_oversize: bool = False

    def __bool__(self) -> bool:
        return self.end > self.start

    def __len__(self) -> int:
        """Count the lines by leaving the newlines out: bytes.count looks at every byte by itself before Python 3.13."""
        data = self.data[self.start : self.end]
        return len(data) - len(data.replace(b"\n", b""))

    def view(self) -> memoryview:
        """Return its bytes, not copied. The data cannot grow before this is released."""
        return memoryview(self.data)[self.start : self.end]

    def lines(self) -> list[bytes]:
        """Return every line, without its newline."""
        return bytes(self.view()).split(b"\n")[:-1]

    def end_bytes(self, most_bytes: int) -> bytes:
        """Return its last bytes."""
        with memoryview(self.data) as data:
            return bytes(data[max(self.start, self.end - most_bytes) : self.end])

    def last_line(self) -> bytes:
        """Return the last line, without its newline; there must be one."""
        start = self.data.rfind(b"\n", self.start, self.end - 1) + 1 or self.start
        return bytes(self.data[start : self.end - 1])

    def chunks(self, most_bytes: int) -> Iterator["Block"]:
        """Return it in pieces of complete lines, none longer unless it is one line."""
        start = self.start
        while start < self.end:
            end = self.end
            if end - start > most_bytes:
                end = self.data.rfind(b"\n", start, start + most_bytes) + 1 or self.data.find(b"\n", start, end) + 1
            yield Block(self.data, start, end)
            start = end

    def around(self, needle: bytes) -> Iterator[tuple["Block", bool]]:
        """Return each line that holds some bytes, and the lines between these together; True: it holds them."""
        start = self.start
        while start < self.end:
            hit = search(self.data, needle, start, self.end)
            begin = self.data.rfind(b"\n", start, hit) + 1 or start if hit >= 0 else self.end
            if begin > start:
                yield Block(self.data, start, begin), False
            if hit >= 0:
                start = self.data.find(b"\n", hit, self.end) + 1
                yield Block(self.data, begin, start), True
            else:
                start = self.end


class LineBuffer:
    """Cut a stream of bytes into blocks of complete lines.

    Fill ``writable()``, then ``commit(n)`` returns the lines that are complete, as a block that is valid until the next
    ``writable()``. A line that grows above ``limit_bytes`` is dropped up to its newline and counted in
    ``oversize_lines``. Memory stays below ``limit_bytes + 2 * block_bytes`` however the stream is cut.
    """

    __slots__ = (
        "_block_bytes",
        "_data",
        "_fill",
        "_limit_bytes",
        "_start",
        "has_dropped",
        "is_skipping",
        "oversize_lines",
    )

    def __init__(self, limit_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._block_bytes = block_bytes
        self._data = bytearray(block_bytes)
        self._start = 0  # of the unfinished line
        self._fill = 0
        self.is_skipping = False
        self.oversize_lines = 0
        self.has_dropped = False  # something after the last block, so that the tail does not begin where it ended

    @property
    def tail_bytes(self) -> int:
        """Length of the unfinished line that is held."""
        return self._fill - self._start

    def writable(self) -> memoryview:
        """Return the free space; never empty. Release it before the next call."""
        if self._start:
            tail = self._data[self._start : self._fill]
            self._start, self._fill = 0, len(tail)
            if len(self._data) > self._block_bytes > len(tail):
                self._data = bytearray(self._block_bytes)
            self._data[: len(tail)] = tail
        if self._fill == len(self._data):
            self._data.extend(bytes(self._block_bytes))
        return memoryview(self._data)[self._fill :]

    def commit(self, count: int) -> Block:
        """Take ``count`` bytes as written to ``writable()``; return the block of lines they complete, maybe empty."""
        old, start = self._fill, self._start
        self.has_dropped = False
        self._fill += count
        end = self._data.rfind(b"\n", old, self._fill) + 1
        if not end:
            self._skip_oversize_tail()
            return Block(self._data, 0, 0)
        if self.is_skipping:
            start = self._data.find(b"\n", old, end) + 1
            self.is_skipping = False
        self._start = end
        block = Block(self._data, start, end, may_hold_oversize=len(self._data) > self._limit_bytes)
        self._skip_oversize_tail()
        return block

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece of the stream; return the lines it completes, without newline, those within the limit."""
        lines: list[bytes] = []
        view = memoryview(data)
        while view:
            with self.writable() as free:
                count = min(len(free), len(view))
                free[:count] = view[:count]
            whole = self.commit(count).lines()
            kept = [line for line in whole if len(line.lstrip(b"\0")) <= self._limit_bytes]
            self.oversize_lines += len(whole) - len(kept)
            lines += kept
            view = view[count:]
        return lines

    def reset(self, *, is_skipping: bool = False) -> None:
        """Forget the unfinished line, to go on with another stream."""
        self._start = self._fill = 0
        self.is_skipping = is_skipping

    def _skip_oversize_tail(self) -> None:
        if self.is_skipping:
            self._fill = self._start
            self.has_dropped = True
        elif self.tail_bytes > self._limit_bytes and not self._pass_hole():
            self._fill = self._start
            self.is_skipping = self.has_dropped = True
            self.oversize_lines += 1

    def _pass_hole(self) -> bool:
        """Drop the NUL bytes that begin the tail: the hole that a writer leaves after a truncation is no line."""
        tail = self._data[self._start : self._fill]
        holes = len(tail) - len(tail.lstrip(b"\0"))
        self._start += holes
        self.has_dropped = self.has_dropped or holes > 0
        return self.tail_bytes <= self._limit_bytes

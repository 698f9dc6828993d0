"""Bytes to complete lines, in bounded memory.

The rule of this file: only a newline ends a line. What stands after the last newline is not a line yet, however long it
has been there; whoever reads a file keeps its offset at the start of that tail, so that a restart reads it again whole.
"""

from typing import Final

BLOCK_BYTES: Final = 256 * 1024


class LineBuffer:
    """Cut a stream of bytes into blocks of complete lines.

    Fill ``writable()``, then ``commit(n)`` returns the lines that are complete, as one view that ends with a newline
    and is valid until the next ``writable()``. A line that grows above ``limit_bytes`` is dropped up to its newline and
    counted in ``oversize_lines``. Memory stays below ``limit_bytes + 2 * block_bytes`` however the stream is cut.
    """

    __slots__ = (
        "_block_bytes",
        "_data",
        "_fill",
        "_limit_bytes",
        "_start",
        "block_lines",
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
        self.block_lines = 0  # in the last block
        self.has_dropped = False  # something after the last block, so that the tail does not begin where it ended

    @property
    def tail_bytes(self) -> int:
        """Length of the unfinished line that is held."""
        return self._fill - self._start

    @property
    def may_hold_oversize(self) -> bool:
        """Say whether a complete line in a block can be longer than the limit, so that each must be looked at."""
        return len(self._data) > self._limit_bytes

    def writable(self) -> memoryview:
        """Return the free space; never empty. Release it, and any block, before the next call."""
        if self._start:
            tail = self._data[self._start : self._fill]
            self._start, self._fill = 0, len(tail)
            if len(self._data) > self._block_bytes > len(tail):
                self._data = bytearray(self._block_bytes)
            self._data[: len(tail)] = tail
        if self._fill == len(self._data):
            self._data.extend(bytes(self._block_bytes))
        return memoryview(self._data)[self._fill :]

    def commit(self, count: int) -> memoryview:
        """Take ``count`` bytes as written to ``writable()``; return the block of lines they complete, maybe empty."""
        old, start = self._fill, self._start
        self.has_dropped = False
        self._fill += count
        end = self._data.rfind(b"\n", old, self._fill) + 1
        if not end:
            self._skip_oversize_tail()
            return memoryview(b"")
        if self.is_skipping:
            start = self._data.find(b"\n", old, end) + 1
            self.is_skipping = False
        self._start = end
        self.block_lines = self._data.count(b"\n", start, end)
        block = memoryview(self._data)[start:end]
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
            with self.commit(count) as block:
                whole = bytes(block).split(b"\n")[:-1]
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

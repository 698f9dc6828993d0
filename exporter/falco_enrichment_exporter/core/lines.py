"""Bytes to complete lines, in bounded memory.

The rule of this file: only a newline ends a line. What stands after the last newline is not a line yet, however long it
has been there; whoever reads a file keeps its offset at the start of that tail, so that a restart reads it again whole.
"""

from typing import Final

BLOCK_BYTES: Final = 256 * 1024


class LineBuffer:
    """Cut a stream of bytes into lines of at most ``limit_bytes``.

    Fill ``writable()`` and call ``commit(n)``, or simply ``feed(data)``; both return the complete lines without their
    newline. A longer line is dropped up to its newline and counted in ``oversize_lines``. Memory stays below
    ``limit_bytes + block_bytes`` however the stream is cut.
    """

    __slots__ = ("_block_bytes", "_data", "_fill", "_limit_bytes", "is_skipping", "oversize_lines")

    def __init__(self, limit_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._block_bytes = block_bytes
        self._data = bytearray(block_bytes)
        self._fill = 0
        self.is_skipping = False
        self.oversize_lines = 0

    @property
    def tail_bytes(self) -> int:
        """Length of the unfinished line that is held."""
        return self._fill

    def writable(self) -> memoryview:
        """Return the free space; never empty. Release it before the next call."""
        if self._fill == len(self._data):
            self._data.extend(bytes(self._block_bytes))
        return memoryview(self._data)[self._fill :]

    def commit(self, count: int) -> list[bytes]:
        """Take ``count`` bytes as written to ``writable()``; return the lines they complete."""
        old, self._fill = self._fill, self._fill + count
        end = self._data.rfind(b"\n", old, self._fill)
        if end < 0:
            self._drop_oversize_tail()
            return []
        lines = bytes(memoryview(self._data)[:end]).split(b"\n")
        self._keep_tail(end + 1)
        if self.is_skipping:
            self.is_skipping = False
            del lines[0]
        kept = [line for line in lines if len(line) <= self._limit_bytes]
        self.oversize_lines += len(lines) - len(kept)
        self._drop_oversize_tail()
        return kept

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece of the stream; return the lines it completes."""
        lines: list[bytes] = []
        view = memoryview(data)
        while view:
            with self.writable() as free:
                count = min(len(free), len(view))
                free[:count] = view[:count]
            lines += self.commit(count)
            view = view[count:]
        return lines

    def reset(self, *, is_skipping: bool = False) -> None:
        """Forget the unfinished line, to go on with another stream."""
        self._fill = 0
        self.is_skipping = is_skipping

    def _keep_tail(self, start: int) -> None:
        tail = self._data[start : self._fill]
        self._data[: len(tail)] = tail
        self._fill = len(tail)

    def _drop_oversize_tail(self) -> None:
        if self.is_skipping:
            self._fill = 0
        elif self._fill > self._limit_bytes:
            self._fill = 0
            self.is_skipping = True
            self.oversize_lines += 1
        if self._fill == 0 and len(self._data) > self._block_bytes:
            self._data = bytearray(self._block_bytes)

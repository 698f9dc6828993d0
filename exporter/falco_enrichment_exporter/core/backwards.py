"""Find the newest snapshots of a log by reading it from its end: what a start without history can serve at once."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from falco_enrichment_exporter.core.envelope import Unwrapper
from falco_enrichment_exporter.core.intake import NEEDLE, read_line
from falco_enrichment_exporter.core.records import Snapshot
from falco_enrichment_exporter.core.search import search

SNAPSHOTS_KEPT: Final = 6  # the newest one, and enough before it for the per-interval values
MAX_FRAGMENTS: Final = 20  # runtimes split at 16 KiB, and no snapshot is longer than some of these

Part = tuple[bytearray, int, int]
"""Lines that stand together: what holds them, where they begin and end."""


class BackwardScan:
    """Take the blocks of a file from its end to its start; keep the newest snapshots of every (host, source).

    ``take(block)`` wants adjacent blocks, last first, the last one ending with a newline; then ``finish()``.
    ``snapshots()`` are those found since its last call, oldest first; later calls bring older ones.
    Memory is bounded by ``limit_bytes`` and by the number of keys.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._head = bytearray()  # what the last block had before its first newline: the end of an earlier block's line
        self._is_skipping = False  # that line is too long to be kept
        self._later: list[Part] = []  # the lines behind the head, as many as a split line may go on in
        self._kept: dict[tuple[str | None, str], set[int]] = {}
        self._found: list[Snapshot] = []

    def take(self, block: bytearray) -> None:
        """Search the block that ends where the last one began; it is kept, and must not change."""
        first, last = block.find(b"\n") + 1, block.rfind(b"\n") + 1
        if not first:
            self._keep_head(block + self._head)
            return
        crossing = bytearray() if self._is_skipping else block[last:] + self._head
        self._is_skipping = False
        for part in ((crossing, 0, len(crossing)), (block, first, last)):
            self._search(part)
            self._later = self._within_limit([part, *self._later])
        self._keep_head(block[:first])

    def finish(self) -> None:
        """Search the first line of the file."""
        self._search((self._head, 0, len(self._head)))
        self._head = bytearray()

    def snapshots(self) -> list[Snapshot]:
        """Return what was found since the last call, oldest first."""
        found, self._found = self._found, []
        return sorted(found, key=lambda snapshot: snapshot.at_ns)

    def _within_limit(self, parts: list[Part]) -> list[Part]:
        """Return the first parts, so many that they are as long as a line may be."""
        kept, length = [], 0
        for part in parts:
            if length <= self._limit_bytes and part[1] < part[2]:
                kept.append(part)
                length += part[2] - part[1]
        return kept

    def _keep_head(self, head: bytearray) -> None:
        self._is_skipping = self._is_skipping or len(head) > self._limit_bytes + 1
        self._head = bytearray() if self._is_skipping else head

    def _search(self, part: Part) -> None:
        """Decode every line with the needle, the newest first."""
        text, first, last = part
        hits = []
        hit = search(text, NEEDLE, first, last)  # forwards: faster than rfind
        while hit >= 0:
            hits.append(hit)
            hit = search(text, NEEDLE, hit + 1, last)
        end = last
        for hit in reversed(hits):
            if hit < end:
                end = text.rfind(b"\n", first, hit) + 1 or first
                for snapshot in self._decode(self._lines([(text, end, last), *self._later])):
                    self._keep(snapshot)

    def _decode(self, lines: Iterator[bytes]) -> list[Snapshot]:
        """Decode the first line, the newest first; if it is the start of a split one, read on until that is whole."""
        unwrapper = Unwrapper(self._limit_bytes)
        for line in islice(lines, MAX_FRAGMENTS):
            found = read_line(line, unwrapper)
            if not unwrapper.is_joining:  # else it was a line of the container's other stream
                return [record for record in reversed(found) if isinstance(record, Snapshot)]
        return []

    def _lines(self, parts: list[Part]) -> Iterator[bytes]:
        """Go through the lines of these parts; cut as they are asked for."""
        for text, begin, end in parts:
            while 0 <= (stop := text.find(b"\n", begin, end)) <= begin + self._limit_bytes:
                yield bytes(text[begin:stop])
                begin = stop + 1  # noqa: PLW2901  it goes on in this part

    def _keep(self, snapshot: Snapshot) -> None:
        key = (snapshot.hostname or snapshot.event_hostname, snapshot.source)
        kept = self._kept.setdefault(key, set())
        if len(kept) < SNAPSHOTS_KEPT and snapshot.at_ns not in kept:
            kept.add(snapshot.at_ns)
            self._found.append(snapshot)

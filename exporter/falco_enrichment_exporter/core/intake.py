"""Lines of one source into the fleet: unwrap, decode, fold. The only way in.

Three paths, one meaning. A block of plain JSON lines, which is nearly every block, is decoded by one call into msgspec.
Where alerts are not wanted, a block is searched for what every snapshot holds, and only those lines are decoded. Any
other block goes line by line, where a bad line costs only itself.
"""

import re
from typing import Final

from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.envelope import DOCKER_START, Broken, Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.records import Record, Rejection

NEEDLE: Final = b"evt.source"  # in every snapshot of every shape and wrapping; a hit is decoded before it is believed
_CRI_FRAGMENT: Final = re.compile(rb" std(?:out|err) P")


class Intake:
    """Take in the blocks of one source; fragments of a split line are kept here, the fleet is everybody's."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.unwrapper = Unwrapper(limit_bytes)
        self._fleet = fleet
        self._limit_bytes = limit_bytes
        self._is_plain = True

    def take(self, block: Block) -> None:
        """Fold a block of complete lines, in order."""
        is_simple = not block.may_hold_oversize and not self.unwrapper.is_joining
        if is_simple and not self._fleet.counts_alerts and _has_whole_lines(block):
            for line in block.lines_with(NEEDLE):
                self._fold(line)
        elif not (is_simple and self._is_plain and self._take_at_once(block)):
            self._take_lines(block.lines())

    def _take_at_once(self, block: Block) -> bool:
        heads = records.decode_block(memoryview(block.data)[block.start : block.end], len(block))
        if heads is not None:
            self._fleet.fold_heads(heads)
        return heads is not None

    def _take_lines(self, lines: list[bytes]) -> None:
        self._is_plain = not lines or lines[-1][:1] == b"{"
        for line in lines:
            if len(line.lstrip(b"\0")) <= self._limit_bytes:
                self._fold(line)
            else:
                self._fleet.reject("oversize")

    def _fold(self, line: bytes) -> None:
        for record in read_line(line, self.unwrapper, NEEDLE if not self._fleet.counts_alerts else b""):
            self._fleet.fold(record)


def read_line(line: bytes, unwrapper: Unwrapper, needle: bytes = b"") -> list[Record]:
    """Return what a complete line holds: a record, more if objects stand on it together, none if it is a fragment.

    Nor does a line without the needle hold anything.
    """
    try:
        text = unwrapper.unwrap(line)
    except Broken as broken:
        return [Rejection(str(broken))]
    return [] if text is None or needle not in text else records.decode_all(text)


def fold_lines(lines: list[bytes], unwrapper: Unwrapper, fleet: Fleet) -> None:
    """Fold complete lines, in order."""
    for line in lines:
        for record in read_line(line, unwrapper):
            fleet.fold(record)


def _has_whole_lines(block: Block) -> bool:
    """Say whether what Falco wrote as one line stands on one line: the runtime's envelopes may have split it."""
    with memoryview(block.data) as data:
        start = bytes(data[block.start : block.start + len(DOCKER_START)])
        if start[:1].isdigit():
            return _CRI_FRAGMENT.search(data, block.start, block.end) is None
    return start != DOCKER_START

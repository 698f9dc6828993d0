"""Lines of one source into the fleet: unwrap, decode, fold. The only way in.

Two paths, one meaning. A block of plain JSON lines, which is nearly every block, is decoded by one call into msgspec.
Any block that this refuses goes line by line, where a bad line costs only itself.
"""

from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.envelope import Broken, Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import Record, Rejection


class Intake:
    """Take in the blocks of one source; fragments of a split line are kept here, the fleet is everybody's."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.unwrapper = Unwrapper(limit_bytes)
        self._fleet = fleet
        self._limit_bytes = limit_bytes
        self._is_plain = True

    def take(self, block: memoryview, lines: int, *, may_hold_oversize: bool = False) -> None:
        """Fold a block of so many complete lines, in order."""
        if self._is_plain and not may_hold_oversize and not self.unwrapper.is_joining:
            heads = records.decode_block(block, lines)
            if heads is not None:
                self._fleet.fold_heads(heads)
                return
        whole = bytes(block).split(b"\n")[:-1]
        self._is_plain = not whole or whole[-1][:1] == b"{"
        kept = [line for line in whole if len(line.lstrip(b"\0")) <= self._limit_bytes]
        self._fleet.reject("oversize", len(whole) - len(kept))
        fold_lines(kept, self.unwrapper, self._fleet)


def read_line(line: bytes, unwrapper: Unwrapper) -> Record | None:
    """Return the record of a complete line; None while there is none (a fragment, a blank line)."""
    try:
        text = unwrapper.unwrap(line)
    except Broken as broken:
        return Rejection(str(broken))
    return None if text is None else records.decode(text)


def fold_lines(lines: list[bytes], unwrapper: Unwrapper, fleet: Fleet) -> None:
    """Fold complete lines, in order."""
    for line in lines:
        record = read_line(line, unwrapper)
        if record is not None:
            fleet.fold(record)

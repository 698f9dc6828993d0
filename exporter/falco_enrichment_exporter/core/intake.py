"""Lines of one source into the fleet: unwrap, decode, fold. The only way in."""

from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.envelope import Broken, Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import Record, Rejection


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

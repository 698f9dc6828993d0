"""Lines of one source into the fleet: unwrap, decode, fold. The only way in.

Whatever way lines go, they mean the same. Alerts that look like earlier ones, which is nearly all there is, are decoded
by the schema, many at once. Where alerts are not wanted, a block is searched for what every snapshot holds, and only
those lines are decoded. Other lines go one by one, where a bad line costs only itself.
"""

import re
from typing import Final

from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.envelope import DOCKER_START, Broken, Unwrapper, without_cri
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.lines import Block, LineBuffer
from falco_enrichment_exporter.core.records import Record, Rejection
from falco_enrichment_exporter.core.schema import Alike

NEEDLE: Final = b"evt.source"  # in every snapshot of every shape and wrapping; a hit is decoded before it is believed
CHUNK_BYTES: Final = 68 * 1024  # decoded at once: so much is decoded again if something else is in between
LEARN_BYTES: Final = 8 * 1024  # of less there is nothing to learn: a type costs as much as a hundred alerts
_INTERNAL: Final = records.INTERNAL_RULE.encode()
_CRI_FRAGMENT: Final = re.compile(rb" std(?:out|err) P")


class Intake:
    """Take in the blocks of one source; fragments of a split line are kept here, the fleet is everybody's."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.unwrapper = Unwrapper(limit_bytes)
        self._fleet = fleet
        self._limit_bytes = limit_bytes

    def take_read(self, buffer: LineBuffer, count: int) -> Block:
        """Fold the lines that ``count`` bytes, just read into a buffer, complete; return them."""
        block = buffer.commit(count)
        if block:
            self.take(block)
        if buffer.oversize_lines:
            self._fleet.reject("oversize", buffer.oversize_lines)
            buffer.oversize_lines = 0
        return block

    def take(self, block: Block) -> None:
        """Fold a block of complete lines, in order."""
        is_simple = not block.may_hold_oversize and not self.unwrapper.is_joining
        starts = block.data[block.start : block.start + len(DOCKER_START)]
        if is_simple and not self._fleet.counts_alerts and _has_whole_lines(block):
            for lines, is_hit in block.around(NEEDLE):
                if is_hit:
                    self._take_singly(self._unwrap(lines.lines()))
        elif is_simple and starts[:1] == b"{" and starts != DOCKER_START:
            self._take_plain(block)
        elif is_simple and starts[:1].isdigit() and (bare := without_cri(block)) is not None:
            self._take_plain(bare, is_unwrapped=True)
        else:
            self._take_texts(self._unwrap(block.lines()))

    def _unwrap(self, lines: list[bytes]) -> list[bytes]:
        """Return what stands on the lines, without collectors' envelopes."""
        texts: list[bytes] = []
        for line in lines:
            if len(line.lstrip(b"\0")) > self._limit_bytes:
                self._fleet.reject("oversize")
                continue
            try:
                text = self.unwrapper.unwrap(line)
            except Broken as broken:
                self._fleet.reject(str(broken))
            else:
                texts += [text] if text is not None else []
        return texts

    def _take_texts(self, texts: list[bytes]) -> None:
        """Fold unwrapped lines, together if they look like Falco's."""
        if self._fleet.counts_alerts and all(text[:1] == b"{" for text in texts):
            data = bytearray(b"\n".join([*texts, b""]))
            block = Block(data, 0, len(data))
            if len(block) == len(texts):
                return self._take_plain(block, is_unwrapped=True)
        return self._take_singly(texts)

    def _take_singly(self, texts: list[bytes]) -> None:
        for text in texts:
            if self._fleet.counts_alerts or NEEDLE in text:
                for record in records.decode_all(text):
                    self._fleet.fold(record)

    def _take_plain(self, block: Block, *, is_unwrapped: bool = False) -> None:
        """Fold lines that look like Falco's: alerts that look like earlier ones, for the most part."""
        alike: list[Alike] = []
        for chunk in block.chunks(CHUNK_BYTES):
            known = self._fleet.alerts.decode(chunk)
            if known is not None:
                alike += known
            else:
                self._fleet.fold_alike(alike)
                alike = []
                self._take_apart(chunk, is_unwrapped=is_unwrapped)
        self._fleet.fold_alike(alike)

    def _take_apart(self, chunk: Block, *, is_unwrapped: bool) -> None:
        """Fold Falco's own messages, which look like nothing else, apart from what stands around them."""
        for lines, is_internal in chunk.around(_INTERNAL):
            known = None if is_internal or lines == chunk else self._fleet.alerts.decode(lines)
            if known is not None:
                self._fleet.fold_alike(known)
            elif (heads := records.decode_block(lines)) is not None:
                self._fleet.fold_heads(heads)
                if lines.end - lines.start >= LEARN_BYTES:
                    self._fleet.alerts.learn(heads)
            else:
                self._take_singly(lines.lines() if is_unwrapped else self._unwrap(lines.lines()))


def read_line(line: bytes, unwrapper: Unwrapper) -> list[Record]:
    """Return what a complete line holds: a record, more if objects stand on it together, none if it is a fragment."""
    try:
        text = unwrapper.unwrap(line)
    except Broken as broken:
        return [Rejection(str(broken))]
    return [] if text is None else records.decode_all(text)


def fold_lines(lines: list[bytes], unwrapper: Unwrapper, fleet: Fleet) -> None:
    """Fold complete lines, in order."""
    for line in lines:
        for record in read_line(line, unwrapper):
            fleet.fold(record)


def _has_whole_lines(block: Block) -> bool:
    """Say whether what Falco wrote as one line stands on one line: the runtime's envelopes may have split it."""
    with block.view() as data:
        start = bytes(data[: len(DOCKER_START)])
        if start[:1].isdigit():
            return _CRI_FRAGMENT.search(data) is None
    return start != DOCKER_START

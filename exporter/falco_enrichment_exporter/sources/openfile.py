"""One file held open: what was read of it, and where its lines go."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.marks import (
    ANCHOR_BYTES,
    NO_ANCHOR,
    Anchor,
    Identity,
    Place,
    anchor_of,
    identity_of,
)
from falco_enrichment_exporter.sources.reading import Bytes, facts_of

END_BYTES: Final = 8192
MOST_END_BYTES: Final = 2 << 20  # so much that the last line may be as long as is allowed by default
PAUSE_BYTES: Final = 512 * 1024  # take a millisecond or two


@dataclass(slots=True, eq=False)
class OpenFile:
    """A file that is held open: what was read of it, and where its lines go.

    ``offset_bytes`` is the start of the first line that was not taken in, so it can be stored and gone on from;
    ``read_to_bytes`` is how far it was looked at. Between the two stands an unfinished line.
    """

    content: Bytes
    facts: FileFacts
    intake: Intake
    offset_bytes: int = 0
    read_to_bytes: int = 0
    is_skipping: bool = False
    copy_of: "OpenFile | None" = None  # a file that was held open, which has the lines up to
    passed_bytes: int = 0
    delivered: Place | None = None  # how far that one was seen to deliver them; None: not seen
    copies: list["OpenFile"] = field(default_factory=list)  # files that are copies of this one
    may_be_copy: bool = True  # in the making; of a file that is known
    sound: FileFacts = field(init=False)  # what it was before it became doubtful
    is_doubtful: bool = False  # it was written to: perhaps not at its end
    left_at: float | None = None  # since when another file has its path, or since it last grew; monotonic seconds
    _before: bytes = b""  # what was read right before the offset
    _anchor: Anchor | None = NO_ANCHOR  # None: not made of it yet

    def __post_init__(self) -> None:
        self.sound = self.facts

    @property
    def identity(self) -> Identity:
        """Return what tells this file from any other one."""
        return identity_of(self.facts)

    @property
    def confirmed(self) -> FileFacts:
        """What was last seen of the file when it was known to be what was read."""
        return self.sound if self.is_doubtful else self.facts

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not taken in; an unfinished last line is among them."""
        return max(self.facts.size_bytes - self.offset_bytes, 0)

    @property
    def has_more(self) -> bool:
        """Say whether there is something to look at."""
        return self.is_doubtful or self.facts.size_bytes > self.read_to_bytes

    def start_at(self, offset_bytes: int, anchor: Anchor = NO_ANCHOR, *, is_skipping: bool = False) -> None:
        """Go on reading from a start of a line; ``is_skipping``: from within a line that is too long."""
        self.offset_bytes = self.read_to_bytes = offset_bytes
        self._before, self._anchor = b"", anchor
        self.is_skipping = is_skipping

    @property
    def place(self) -> Place:
        """How far this file was taken in, and by what to know the place again."""
        if self._anchor is None:
            self._anchor = anchor_of(self._before)
        return self.offset_bytes, self._anchor

    @property
    def is_waiting(self) -> bool:
        """Say whether it is a copy whose lines the original delivers, and has not been seen to deliver all of them."""
        delivered_bytes = self.delivered[0] if self.delivered is not None else 0
        return self.copy_of is not None and delivered_bytes < self.offset_bytes == self.passed_bytes

    @property
    def reached(self) -> Place:
        """How far the lines of this file were delivered: by itself, or by the original that it waits for."""
        return (self.delivered or (0, NO_ANCHOR)) if self.is_waiting else self.place

    @property
    def waiting(self) -> list["OpenFile"]:
        """Return the copies whose lines this file is to deliver, and has not yet."""
        return [copy for copy in self.copies if copy.is_waiting]

    def leave_to(self, original: "OpenFile | None", passed_bytes: int = 0) -> None:
        """Let another file deliver the lines up to an offset; None: this one delivers what it has from here on."""
        if self.copy_of is not None:
            self.copy_of.copies.remove(self)
        self.copy_of, self.passed_bytes = original, passed_bytes
        if original is not None:
            original.copies.append(self)

    def take_over(self) -> None:
        """Deliver what the original was not seen to deliver; if nothing is known of that, it is another file's copy."""
        self.leave_to(None)
        self.may_be_copy = self.may_be_copy or self.delivered is None
        self.start_at(*(self.delivered or (0, NO_ANCHOR)))

    def deliverer(self, offset_bytes: int) -> "OpenFile":
        """Return the file that delivers the lines of this one up to an offset: itself, or what it is a copy of."""
        if self.copy_of is None or not self.is_waiting or offset_bytes > self.offset_bytes:
            return self
        return self.copy_of.deliverer(offset_bytes)

    def is_copy_of(self, file: "OpenFile") -> bool:
        """Say whether another file delivers lines of this one, or delivers them for one that does."""
        return self.copy_of is not None and (self.copy_of is file or self.copy_of.is_copy_of(file))

    @property
    def is_emptied(self) -> bool:
        """Say whether it was found shorter than it had been seen to be, before anything of it was read."""
        return not self.read_to_bytes and self.facts.size_bytes < self.confirmed.size_bytes

    @property
    def facts_now(self) -> FileFacts:
        """What it is at this moment, which may be more than at the last look."""
        descriptor = self.content.descriptor
        return self.facts if descriptor is None else facts_of(os.fstat(descriptor))

    def is_shorter_than(self, size_bytes: int) -> bool:
        """Say whether it is so at this moment."""
        with contextlib.suppress(OSError):  # what is wrong with it shows when it is read
            return self.facts_now.size_bytes < size_bytes
        return False

    async def end_place(self) -> Place | None:
        """Return the place behind the last newline; None if there is none near the end. Raises OSError."""
        size_bytes = self.facts_now.size_bytes
        for most_bytes in (END_BYTES, MOST_END_BYTES):
            start = max(size_bytes - most_bytes, 0)
            tail = await self.bytes_at(start, size_bytes - start)
            newline = tail.rfind(b"\n") + 1
            if newline >= min(ANCHOR_BYTES, start + 1):
                return start + newline, anchor_of(tail[:newline])
            if not start:
                break
        return None

    async def is_rewritten(self) -> bool:
        """Say whether other bytes stand before the offset than were read there, or should have been. Raises OSError."""
        self.is_doubtful = self.is_emptied or not await self.has_place(self.place)
        return self.is_doubtful

    async def has_place(self, place: Place) -> bool:
        """Say whether this file has what was read before a place; so has a copy of the file. Raises OSError."""
        offset_bytes, (length, _) = place
        if offset_bytes > self.facts_now.size_bytes:
            return False
        return not length or anchor_of(await self.bytes_at(offset_bytes - length, length)) == place[1]

    async def bytes_at(self, start: int, length: int) -> bytearray:
        """Read so many bytes, fewer at the end of the file."""
        data, filled = bytearray(length), 0
        while filled < length and (count := await self.content.read_at(memoryview(data)[filled:], start + filled)):
            filled += count
        return data if filled == length else data[:filled]

    async def read(self, buffer: LineBuffer, most_bytes: int) -> AsyncIterator[int]:
        """Read and take in up to ``most_bytes`` on; yield the number of new bytes after each piece. Raises OSError.

        Between two awaits the offset and what was folded always belong together: that moment can be stored. So it is
        with what is counted at each yield.
        """
        position = self.offset_bytes
        buffer.reset(is_skipping=self.is_skipping)
        until = self.read_to_bytes + most_bytes
        pause = position + PAUSE_BYTES
        while position < until:
            with buffer.writable()[: until - position] as free:
                count = await self.content.read_at(free, position)
                if not count or not await self._goes_on(position, free[:count]):
                    self.read_to_bytes = position
                    if count or position < self.facts.size_bytes:
                        self._doubt(position)
                    return
            position += count
            block = self.intake.take_read(buffer, count)
            if buffer.has_dropped:
                self._before, self._anchor = b"", NO_ANCHOR
            elif block:
                self._before, self._anchor = block.end_bytes(ANCHOR_BYTES), None
            self.offset_bytes, self.is_skipping = position - buffer.tail_bytes, buffer.is_skipping
            new_bytes = max(position - self.read_to_bytes, 0)
            self.read_to_bytes += new_bytes
            yield new_bytes
            if position >= pause:  # what is cached is read without waiting: let others in between
                pause = position + PAUSE_BYTES
                await asyncio.sleep(0)

    async def _goes_on(self, position: int, piece: memoryview) -> bool:
        """Say whether what was just read stands behind what was read before it: the file can be written anew any time.

        What stood before it must do so after it was read; if that is nothing, its first bytes must.
        """
        if self.content.descriptor is None or (position and self._anchor == NO_ANCHOR):
            return True
        before, end = self._before, self.offset_bytes
        if not position:
            if not self.read_to_bytes and self.facts_now.size_bytes < self.facts.size_bytes:
                return False  # what the look saw is gone, and none of it was read
            before = bytes(piece[:ANCHOR_BYTES])
            end = len(before)
        elif not before:  # it is known from a mark
            return await self.has_place(self.place)
        return await self.bytes_at(end - len(before), len(before)) == before

    def forget_size(self) -> None:
        """Take notice that what a look saw stood in the file before it was emptied."""
        self._doubt(self.read_to_bytes)
        self.sound = self.facts

    def _doubt(self, size_bytes: int) -> None:
        """Take notice that what was there is gone or another: what stands before the offset tells if it was emptied.

        It does not follow that it was emptied after what was read now; the lines may be the new ones already.
        """
        self.sound = replace(self.confirmed, size_bytes=max(self.confirmed.size_bytes, size_bytes))
        self.facts = replace(self.facts, size_bytes=size_bytes)
        self.is_doubtful = True

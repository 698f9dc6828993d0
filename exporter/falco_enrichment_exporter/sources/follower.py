"""One file held open, and one path that is followed through rotations."""

import asyncio
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import Block, LineBuffer
from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.looking import Known
from falco_enrichment_exporter.sources.marks import (
    ANCHOR_BYTES,
    NO_ANCHOR,
    Anchor,
    FileMark,
    Identity,
    Place,
    anchor_of,
    identity_of,
)
from falco_enrichment_exporter.sources.reading import Bytes

PLACES_KEPT: Final = 16
END_BYTES: Final = 8192
PAUSE_BYTES: Final = 512 * 1024  # take a millisecond or two

_GENERATION: Final = re.compile(r"[-._]\d[-._:+\dTZ]*\.")


def _anchor_after(block: Block) -> Anchor:
    with memoryview(block.data) as data:
        return anchor_of(data[max(block.start, block.end - ANCHOR_BYTES) : block.end])


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
    anchor: Anchor = NO_ANCHOR
    copy_of: "OpenFile | None" = None  # a file that was held open, which has the lines up to
    passed_bytes: int = 0
    delivered: Place | None = None  # how far that one was seen to deliver them; None: not seen
    may_be_copy: bool = True  # in the making; of a file that is known
    sound_bytes: int = 0  # how long it was before it became doubtful
    is_doubtful: bool = False  # it was written to: perhaps not at its end
    left_at: float | None = None  # since when another file has its path, or since it last grew; monotonic seconds

    @property
    def identity(self) -> Identity:
        """Return what tells this file from any other one."""
        return identity_of(self.facts)

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
        self.anchor = anchor
        self.is_skipping = is_skipping

    @property
    def place(self) -> Place:
        """How far this file was taken in, and by what to know the place again."""
        return self.offset_bytes, self.anchor

    @property
    def is_waiting(self) -> bool:
        """Say whether it is a copy whose lines the original delivers, and has not been seen to deliver all of them."""
        delivered_bytes = self.delivered[0] if self.delivered is not None else 0
        return self.copy_of is not None and delivered_bytes < self.offset_bytes == self.passed_bytes

    def deliverer(self, offset_bytes: int) -> "OpenFile":
        """Return the file that delivers the lines of this one up to an offset: itself, or what it is a copy of."""
        if self.copy_of is None or not self.is_waiting or offset_bytes > self.offset_bytes:
            return self
        return self.copy_of.deliverer(offset_bytes)

    def is_copy_of(self, file: "OpenFile") -> bool:
        """Say whether another file delivers lines of this one, or delivers them for one that does."""
        return self.copy_of is not None and (self.copy_of is file or self.copy_of.is_copy_of(file))

    @property
    def size_bytes(self) -> int:
        """How long the file is at this moment, which may be longer than at the last look."""
        descriptor = self.content.descriptor
        return self.facts.size_bytes if descriptor is None else os.fstat(descriptor).st_size

    async def end_place(self) -> Place | None:
        """Return the place behind the last newline; None if there is none near the end. Raises OSError."""
        size_bytes = self.size_bytes
        start = max(size_bytes - END_BYTES, 0)
        tail = await self.bytes_at(start, size_bytes - start)
        newline = tail.rfind(b"\n") + 1
        return (start + newline, anchor_of(tail[:newline])) if newline >= min(ANCHOR_BYTES, start + 1) else None

    async def is_rewritten(self) -> bool:
        """Say whether other bytes stand before the offset than were read there. Raises OSError."""
        self.is_doubtful = not await self.has_place(self.place)
        return self.is_doubtful

    async def has_place(self, place: Place) -> bool:
        """Say whether this file has what was read before a place; so has a copy of the file. Raises OSError."""
        offset_bytes, (length, _) = place
        if offset_bytes > self.size_bytes:
            return False
        return not length or anchor_of(await self.bytes_at(offset_bytes - length, length)) == place[1]

    async def bytes_at(self, start: int, length: int) -> bytearray:
        """Read so many bytes, fewer at the end of the file."""
        data, filled = bytearray(length), 0
        while filled < length and (count := await self.content.read_at(memoryview(data)[filled:], start + filled)):
            filled += count
        return data[:filled]

    async def read(self, buffer: LineBuffer, most_bytes: int) -> int:
        """Read and take in up to ``most_bytes`` on; return the number of new bytes. Raises OSError.

        Between two awaits the offset and what was folded always belong together: that moment can be stored.
        """
        position = self.offset_bytes
        buffer.reset(is_skipping=self.is_skipping)
        until, start, is_at_end = self.read_to_bytes + most_bytes, self.read_to_bytes, False
        pause = position + PAUSE_BYTES
        while position < until:
            count = await self.content.read_at(buffer.writable()[: until - position], position)
            if not count:
                is_at_end = True
                break
            position += count
            block = buffer.commit(count)
            if block:
                self.intake.take(block)
            if block or buffer.has_dropped:
                self.anchor = _anchor_after(block) if not buffer.has_dropped else NO_ANCHOR
            self.offset_bytes, self.is_skipping = position - buffer.tail_bytes, buffer.is_skipping
            if position >= pause:  # what is cached is read without waiting: let others in between
                pause = position + PAUSE_BYTES
                await asyncio.sleep(0)
        self.read_to_bytes = position
        if is_at_end and position < self.facts.size_bytes:
            self._doubt(position)
        return max(position - start, 0)

    def _doubt(self, size_bytes: int) -> None:
        """Take notice that bytes which a look saw are gone: what stands before the offset tells whether it was emptied.

        It does not follow that it was emptied after what was read now; the lines may be the new ones already.
        """
        self.sound_bytes = self.facts.size_bytes
        self.facts = replace(self.facts, size_bytes=size_bytes)
        self.is_doubtful = True


@dataclass(slots=True, eq=False)
class FollowedPath:
    """A path, the file that is there now, and those that were there before and may still be written to."""

    path: str
    is_up: bool = False
    failure: int = 0  # the errno with which it could not be read
    is_gone: bool = False
    has_had_file: bool = False
    changed_ns: int = 0  # when the file that was last there was last written to
    unreadable: FileFacts | None = None  # at the start: what that file held then is not new when it can be read
    current: OpenFile | None = None
    parked: FileMark | None = None  # the current file, closed while others need its descriptor
    left: list[OpenFile] = field(default_factory=list)
    places: deque[Place] = field(default_factory=lambda: deque(maxlen=PLACES_KEPT))  # of files closed or truncated
    seen_ns: int = 0  # the same, as of the last look at everything
    names: tuple[str, ...] = ()  # the path and what it links to, with their real folders
    folders: frozenset[str] = frozenset()  # those

    @property
    def label(self) -> str:
        """The path as text; a file name may hold bytes that are none."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not taken in."""
        parked = max(self.parked.size_bytes - self.parked.place[0], 0) if self.parked is not None else 0
        return sum(file.lag_bytes for file in self.files) + parked

    @property
    def files(self) -> list[OpenFile]:
        """All files of this path that are held open, the older ones first."""
        return [*self.left, self.current] if self.current is not None else list(self.left)

    @property
    def known_facts(self) -> FileFacts | None:
        """What is known of the file that is there now; None if that is none."""
        if self.current is not None:
            return self.current.facts
        return self.parked.facts if self.parked is not None else None

    @property
    def known(self) -> Known:
        """What is known of the path, to be compared with what is there."""
        facts, descriptor = self.known_facts, None
        if self.current is not None and len(set(self.names)) == 1:  # it is no link
            descriptor = self.current.content.descriptor
        return Known(os.path.dirname(self.path), facts, descriptor)

    @property
    def known_places(self) -> list[Place]:
        """How far files were taken in that are not open: closed, truncated, or parked."""
        return [*self.places, self.parked.place] if self.parked is not None else list(self.places)

    def marks(self) -> list[FileMark]:
        """Say how far every file was taken in."""
        marks = [self.mark(file) for file in self.files]
        return [*marks, self.parked] if self.parked is not None else marks

    def mark(self, file: OpenFile) -> FileMark:
        """Say how far a file was taken in."""
        return FileMark(
            path=os.fsencode(self.path),
            device=file.facts.device,
            inode=file.facts.inode,
            changed_ns=file.facts.changed_ns,
            place=(file.delivered or (0, NO_ANCHOR)) if file.is_waiting else file.place,
            is_skipping=file.is_skipping,
            is_current=file is self.current,
            fragments=file.intake.unwrapper.fragments,
            size_bytes=file.sound_bytes if file.is_doubtful else file.facts.size_bytes,
        )

    async def has_rest_of(self, file: OpenFile) -> bool:
        """Say whether a rotated file that is open has what was not read of this one, and so delivers it.

        Such a copy may have been found when it was still empty, and nobody knew of what. Raises OSError.
        """
        for other in self.left:
            has_all = other is not file and other.size_bytes >= file.sound_bytes and file.place[1] != NO_ANCHOR
            if has_all and await other.has_place(file.place):
                return True
        return False

    def waiting_for(self, file: OpenFile) -> list[OpenFile]:
        """Return the copies whose lines a file is to deliver, and has not yet."""
        return [copy for copy in self.left if copy.copy_of is file and copy.is_waiting]

    def leave_current(self, now: float) -> None:
        """Note that the current file is no longer under the path; it is read on for a while."""
        if self.current is not None:
            self.changed_ns = self.current.facts.changed_ns
            self.current.left_at = now
            self.left.append(self.current)
            self.current = None

    def fail(self, error: OSError, now: float) -> bool:
        """Note that the path cannot be read; say whether that is news."""
        is_news = error.errno != self.failure
        self.is_up, self.failure = False, error.errno or -1
        self.is_gone = isinstance(error, FileNotFoundError)
        if self.is_gone:
            self.leave_current(now)
        return is_news

    def recover(self) -> None:
        """Note that the path can be read."""
        self.is_up, self.failure, self.is_gone = True, 0, False

    def hand_on_fragments(self, file: OpenFile) -> None:
        """Let a line that was split before a rotation be completed behind it: the runtime splits across files."""
        for left in self.left:
            if left is not file and left.intake.unwrapper.is_joining:
                file.intake.unwrapper.fragments = left.intake.unwrapper.fragments
                left.intake.unwrapper.fragments = {}

    def find_names(self) -> None:
        """Look up where the path leads to, which changes only with the file."""
        folder, name = os.path.split(self.path)
        self.names = os.path.join(os.path.realpath(folder or "."), name), os.path.realpath(self.path)
        self.folders = frozenset(os.path.dirname(name) for name in self.names)

    def is_rotated(self, name: str) -> bool:
        """Say whether a real path may be one that the file was rotated to: log.1, log-20261123, or log-20261123.ext."""
        return any(name != known and known in unrotated(name) for known in self.names)


def unrotated(name: str) -> Iterator[str]:
    """Return the real paths that a file may have had before it was rotated to this one; itself among them."""
    for end in range(name.rfind("/") + 2, len(name) + 1):
        yield name[:end]
    for generation in _GENERATION.finditer(name, name.rfind("/") + 2):
        yield name[: generation.start()] + "." + name[generation.end() :]

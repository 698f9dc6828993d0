"""One path that is followed through rotations: the file that is there, and those that were."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.looking import Known
from falco_enrichment_exporter.sources.marks import FileMark, Place
from falco_enrichment_exporter.sources.openfile import OpenFile

PLACES_KEPT: Final = 16

_GENERATION: Final = re.compile(r"[-._]\d[-._:+\dTZ]*\.")


@dataclass(slots=True, eq=False)
class FollowedPath:
    """A path, the file that is there now, and those that were there before and may still be written to."""

    path: str
    is_up: bool = False
    failure: int = 0  # the errno with which it could not be read
    gone_at: float | None = None  # since when there is nothing under the path; monotonic seconds
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
    stems: tuple[str, ...] = ()  # what the name of a file begins with if it was rotated from there

    @property
    def label(self) -> str:
        """The path as text; a file name may hold bytes that are none."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def lag_bytes(self) -> int | None:
        """Bytes that are there and not taken in; None if there is no file that could tell."""
        if not self.is_up and not self.files and self.parked is None:
            return None
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
        """What is known of the path, to be compared with what is there: nothing while it cannot be read."""
        facts, descriptor = self.known_facts if self.is_up else None, None
        if self.current is not None and len(set(self.names)) == 1:  # it is no link
            descriptor = self.current.content.descriptor
        return Known(os.path.dirname(self.path), facts, descriptor)

    @property
    def known_places(self) -> list[Place]:
        """How far files were taken in that are not open: closed, truncated, or parked."""
        return [*self.places, self.parked.place] if self.parked is not None else list(self.places)

    def remember(self, place: Place) -> None:
        """Note how far a file was taken in that is no longer read there: a copy of it goes on behind."""
        if place not in self.places:
            self.places.append(place)

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
            changed_ns=file.confirmed.changed_ns,
            place=file.reached,
            is_skipping=file.is_skipping,
            is_current=file is self.current,
            fragments=file.intake.unwrapper.fragments,
            size_bytes=file.confirmed.size_bytes,
        )

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
        if not isinstance(error, FileNotFoundError):
            self.gone_at = None
            return is_news
        self.gone_at = now if self.gone_at is None else self.gone_at
        self.leave_current(now)
        return is_news

    def note_seen(self) -> None:
        """Note that all rotated files were looked for that were written to since what is known of this path."""
        facts = self.current.confirmed if self.current is not None else self.known_facts
        self.seen_ns = facts.changed_ns if facts is not None else self.changed_ns

    def recover(self) -> None:
        """Note that the path can be read."""
        self.is_up, self.failure, self.gone_at = True, 0, None

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
        ends = ((name, name.find(".", name.rfind("/") + 2)) for name in self.names)
        self.stems = tuple(name[:end] if end > 0 else name for name, end in ends)

    def is_rotated(self, name: str) -> bool:
        """Say whether a real path may be one that the file was rotated to: log.1, log-20261123, or log-20261123.ext."""
        return name.startswith(self.stems) and any(name != known and known in unrotated(name) for known in self.names)


def unrotated(name: str) -> Iterator[str]:
    """Return the real paths that a file may have had before it was rotated to this one; itself among them."""
    for end in range(name.rfind("/") + 2, len(name) + 1):
        yield name[:end]
    for generation in _GENERATION.finditer(name, name.rfind("/") + 2):
        yield name[: generation.start()] + "." + name[generation.end() :]

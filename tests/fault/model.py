"""What can happen to a log, step by step, and what every step means for what must be counted of it."""

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fault.world import World

HELD_SECONDS = 5.0  # so long a rotated file is held for sure; who writes to it later may not be heard
GENERATIONS = 99  # more than are made: to remove one is a step of its own


@dataclass
class Linked(World):
    """A log that the followed path is a link to, numbered like those of the kubelet."""

    number: int = 0

    @property
    def log(self) -> Path:
        return self.folder / f"{self.number}.log"


@dataclass(eq=False)
class File:
    """One file, and which of its lines nobody has seen counted yet."""

    is_known: bool = False  # lines of it were counted: it is held open, and how far it was read is stored
    left_at: float = math.inf
    unread: Counter[str] = field(default_factory=Counter)
    copied: Counter[str] = field(default_factory=Counter)  # of these, what stands in a copy too


@dataclass(eq=False)
class Begun:
    """A line of which only the first piece is written."""

    rule: str
    rest: bytes
    writer: int
    file: File
    is_sure: bool = True  # that it will be one line in a file that the exporter can find


class Model:
    """The files of one log; every write has a rule of its own, so that no loss hides a double count."""

    def __init__(self, folder: Path, *, is_linked: bool) -> None:
        self.path = folder / "falco.log"
        self.world = (Linked if is_linked else World)("model", folder)
        if is_linked:
            self.path.symlink_to(self.world.log)
        self.begun: Begun | None = None
        self._torn_bytes = 0
        self._file = File()  # of the log's name: it is there, or comes with the next line
        self._rotated: list[File] = []
        self._held: Counter[str] | None = None  # unread lines of removed files; None: nobody holds them open
        self._phases = (f"phase {number:03}" for number in itertools.count())

    def lost_bytes(self, seen: dict[str, float]) -> float:
        """Return how much may be told as lost: what is not counted, and lines of which the pieces were torn apart."""
        return self.world.lost_bytes(seen) + self._torn_bytes

    def begin(self) -> None:
        """Note that the exporter is up: what is removed from now on may be held open."""
        self._held = Counter()

    def settle(self) -> None:
        """Note that all that must be counted is."""
        for file in (self._file, *self._rotated):
            file.is_known = file.is_known or bool(file.unread)
            file.unread.clear()
        if self._held is not None:
            self._held.clear()

    def end(self) -> None:
        """Note that the exporter has ended, and has let go of what was removed."""
        self.world.perished.update(self._held or ())
        self._held = None

    def write(self, count: int) -> None:
        """Write lines to the log; it is made if it is not there."""
        self._write(count, self.world.log)

    def begin_line(self, length: int) -> None:
        """Write the first piece of a line."""
        phase, writer = next(self._phases), self.world.open()
        line = self.world.make(phase)
        os.write(writer, line[:length])
        self.world.perished[phase] = 1  # as long as it is not complete
        self.begun = Begun(phase, line[length:], writer, self._file)

    def end_line(self) -> None:
        """Write the rest of the line, wherever its file is now."""
        begun = self.begun
        assert begun is not None
        os.write(begun.writer, begun.rest)
        self._doubt(lambda file: time.monotonic() > file.left_at + HELD_SECONDS)
        if begun.is_sure:
            del self.world.perished[begun.rule]
            begun.file.unread[begun.rule] += 1
        self.begun = None

    def rename(self, late: int, *, is_created: bool) -> None:
        """Rotate by name; Falco may write on for a moment before it makes the new file."""
        self._shift()
        self.world.log.rename(self.world.beside(".1"))
        self._write(late, self.world.beside(".1"))
        self._rotated.append(self._file)
        self._renew(is_created=is_created)

    def copy(self) -> None:
        """Do the first half of copytruncate."""
        self._shift()
        self.world.copy()
        self._file.copied = self._file.unread.copy()

    def truncate(self) -> None:
        """Empty the log; a line that was begun becomes two pieces that are nowhere together."""
        self.world.truncate()
        self.world.perished.update(self._vanish())
        begun = self.begun
        if self._doubt(lambda file: file is self._file) and begun is not None:
            del self.world.expected[begun.rule]

    def remove(self, *, is_created: bool) -> None:
        """Remove the log; who holds it open reads it on."""
        self.world.log.unlink()
        self._doubt(lambda file: file is self._file)
        self._orphan(self._file, self._vanish())
        self._renew(is_created=is_created)

    def remove_rotated(self) -> None:
        """Remove all copies of the log, and all that it was renamed to."""
        for path in self.world.folder.glob(f"{self.world.log.name}.*"):
            path.unlink()
        self._doubt(lambda file: file is not self._file)
        for file in self._rotated:
            self._orphan(file, file.unread)
        self._rotated.clear()
        self._file.copied.clear()

    def swap(self, *, is_created: bool) -> None:
        """Point the link at the next log; files of the one before are found again only if they were known."""
        assert isinstance(self.world, Linked)
        self._doubt(lambda file: not file.is_known)
        for file in (self._file, *self._rotated):
            self.world.perished.update(() if file.is_known else file.unread)
        self._rotated.clear()
        self.world.number += 1
        self._renew(is_created=is_created)
        swap = self.path.with_name("swap")
        swap.symlink_to(self.world.log)
        swap.rename(self.path)

    def _write(self, count: int, path: Path) -> None:
        if self.begun is not None and self.begun.file is self._file:
            self.end_line()
        if count:
            phase = next(self._phases)
            self.world.write(phase, count, to=path)
            self._file.unread[phase] += count

    def _shift(self) -> None:
        for number in range(GENERATIONS, 0, -1):
            if self.world.beside(f".{number}").exists():
                self.world.beside(f".{number}").rename(self.world.beside(f".{number + 1}"))

    def _renew(self, *, is_created: bool) -> None:
        self._file.left_at = time.monotonic()
        self._file = File()
        if is_created:
            self.world.log.touch()

    def _vanish(self) -> Counter[str]:
        """Empty the log; return what is nowhere else; what was copied goes on as a file of its own."""
        file, unread = self._file, self._file.unread
        self._rotated.append(File(unread=unread & file.copied))
        gone, file.unread, file.copied = unread - file.copied, Counter(), Counter()
        return gone

    def _orphan(self, file: File, unread: Counter[str]) -> None:
        is_held = file.is_known and self._held is not None
        (self._held if is_held and self._held is not None else self.world.perished).update(unread)

    def _doubt(self, is_lost: Callable[[File], bool]) -> bool:
        """Give up a line that was begun if its file is lost; it may be counted, or not."""
        if self.begun is None or not self.begun.is_sure or not is_lost(self.begun.file):
            return False
        self.begun.is_sure = False
        self._torn_bytes += self.world.sizes[self.begun.rule]
        return True

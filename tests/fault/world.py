"""One log in a folder of its own, what a case does to it, and what must be counted of it.

A case is a generator that does one step after the other. What it does before its first ``yield`` is there when the
exporter starts. At every ``yield`` the driver may let time pass, kill the exporter, or both.
"""

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from e2e.harness import alert, append

_serials: Final = itertools.count()


class Wait(Enum):
    """What a case needs before its next step."""

    GAP = "nothing: the driver decides"
    SETTLED = "all that was written is counted"


GAP, SETTLED = Wait.GAP, Wait.SETTLED
Steps = Iterator[Wait]


class Kills(Enum):
    """When the exporter is killed and started again."""

    NEVER = "never"
    AFTER_EACH_STEP = "after-each-step"
    DURING_EACH_STEP = "during-each-step"
    UNTIL_SETTLED = "until-settled"  # it is down for all steps that need no exporter


def lines(rule: str, count: int, **envelope: object) -> bytes:
    """Return alerts of a rule, of one length, each like no other: a file is known again by its content."""
    head, _, rest = alert(rule, time="#", **envelope).partition(b'"#"')
    return b"".join(head + b'"%012d"' % next(_serials) + rest for _ in range(count))


@dataclass
class World:
    """The files of one case and its bookkeeping; rules carry the case's name, so that many share an exporter."""

    name: str
    folder: Path
    kills: Kills = Kills.NEVER
    is_watched: bool = False  # the exporter runs all the time, and has the time to see what stands between two steps
    expected: Counter[str] = field(default_factory=Counter)
    perished: Counter[str] = field(default_factory=Counter)  # of these, so many may be missing
    repeated: Counter[str] = field(default_factory=Counter)  # of these, so many may be counted twice
    rejected: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, int] = field(default_factory=dict)  # of one line of a rule
    _writers: list[int] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "falco.log"

    def beside(self, suffix: str) -> Path:
        """Name a file whose name begins with the log's."""
        return self.log.with_name(self.log.name + suffix)

    def make(self, rule: str, count: int = 1, **envelope: object) -> bytes:
        """Return lines that must be counted once they are written."""
        self.expected[rule] += count
        made = lines(f"{self.name}: {rule}", count, **envelope)
        self.sizes[rule] = len(made) // count
        return made

    def write(self, rule: str, count: int = 1, to: Path | int | None = None) -> None:
        """Write lines with one write, to the end of a file or through a descriptor."""
        data = self.make(rule, count)
        if isinstance(to, int):
            os.write(to, data)
        else:
            append(to or self.log, data)

    def open(self, flags: int = os.O_APPEND, path: Path | None = None) -> int:
        """Hold a file open for writing, as Falco does, until the case is over."""
        self._writers.append(os.open(path or self.log, os.O_WRONLY | os.O_CREAT | flags, 0o644))
        return self._writers[-1]

    def rotate(self, keep: int = 9) -> None:
        """Shift log, log.1, log.2 ... by one, as logrotate does; nothing is under the log's name then."""
        self.beside(f".{keep}").unlink(missing_ok=True)
        for number in range(keep, 1, -1):
            if self.beside(f".{number - 1}").exists():
                self.beside(f".{number - 1}").rename(self.beside(f".{number}"))
        if self.log.exists():
            self.log.rename(self.beside(".1"))

    def copy(self, to: Path | None = None) -> None:
        """Copy the log, as copytruncate does before it truncates."""
        shutil.copyfile(self.log, to or self.beside(".1"))

    def truncate(self, size_bytes: int = 0) -> None:
        """Make the log shorter."""
        os.truncate(self.log, size_bytes)

    def close(self) -> None:
        """Let go of all that is held."""
        while self._writers:
            os.close(self._writers.pop())

    def difference(self, seen: Mapping[str, float]) -> str:
        """Say where alerts by rule, of this case and others, are not what they must be; empty if nowhere."""
        own = self._own(seen)
        wrong = [
            f"{rule!r}: written {self.expected[rule]}, counted {own.get(rule, 0):.0f}"
            for rule in sorted(own.keys() | self.expected.keys())
            if not self._low(rule) <= own.get(rule, 0) <= self.expected[rule] + self.repeated[rule]
        ]
        return "; ".join(wrong)

    def lost_bytes(self, seen: Mapping[str, float]) -> float:
        """Return how much of what was written is not counted."""
        own = self._own(seen)
        missing = {rule: max(count - own.get(rule, 0), 0) for rule, count in self.expected.items()}
        return sum(count * self.sizes[rule] for rule, count in missing.items())

    def _own(self, seen: Mapping[str, float]) -> dict[str, float]:
        return {rule.partition(": ")[2]: got for rule, got in seen.items() if rule.startswith(f"{self.name}: ")}

    def _low(self, rule: str) -> int:
        return self.expected[rule] - self.perished[rule]


class Script(Protocol):
    """A case as it is written: a generator of steps, whose name is a claim."""

    __name__: str

    def __call__(self, world: World, /) -> Steps: ...


@dataclass(frozen=True)
class Case:
    """A row of the catalogue."""

    number: str
    script: Script
    pattern: str  # below the case's folder

    @property
    def name(self) -> str:
        return f"{self.number}-{self.script.__name__}"


Mark = Callable[[Script], Script]


class Catalogue:
    """All cases, by their number in the catalogue of faults."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def case(self, number: str, pattern: str = "falco.log") -> Mark:
        """Enter a script; ``pattern`` is what the exporter is told to follow."""

        def enter(script: Script) -> Script:
            self.cases.append(Case(number, script, pattern))
            return script

        return enter


CATALOGUE: Final = Catalogue()
case: Final = CATALOGUE.case

"""A writer's steps between any two of the reader's: the follower on a loop that makes its file calls in place.

Nothing runs at the same time, so a draw of moments always plays the same way, and thousands of them take seconds.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest

from e2e.harness import read_at_hand
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources import files, paths
from falco_enrichment_exporter.sources.files import FileSource
from falco_enrichment_exporter.sources.paths import PathsState
from snapshots import make_fleet

LINE_BYTES: Final = len(b"Falco says a 000000\n")
GAPS: Final = (0, 0, 1, 1, 2, 3, 5, 8, 13)
Step = Callable[[Path], None]
Todo = list[tuple[int, Callable[[], object]]]


@dataclass(frozen=True)
class Pace:
    """How much is read at once, in how many calls, and how often that is tried."""

    numbers: tuple[int, ...]  # of the draws
    turn_bytes: int
    read_bytes: int
    is_cached: bool  # what is read is at hand, so that nothing comes in between
    looks: int  # calls of the reader after the last step
    gaps: tuple[int, ...]
    linger_seconds: float = paths.LINGER_SECONDS  # how long a rotated file is held open that does not grow

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Read so for a while."""
        with (
            patch.object(files, "TURN_BYTES", self.turn_bytes),
            patch.object(files, "READ_BYTES", self.read_bytes),
            patch.object(paths, "LINGER_SECONDS", self.linger_seconds),
            patch.object(os, "preadv", read_at_hand if self.is_cached else _wait_for_the_disk),
        ):
            yield


def _wait_for_the_disk(*_: Any) -> int:
    raise BlockingIOError


WHOLE: Final = Pace(tuple(range(100)), 1 << 20, 1 << 18, is_cached=True, looks=60, gaps=GAPS)
SOME: Final = replace(WHOLE, numbers=(*range(10), 113))
HASTY: Final = replace(WHOLE, numbers=tuple(range(15)), linger_seconds=-1)
# Of many files, each is open for a while.
IN_TURN: Final = replace(WHOLE, numbers=(*range(10), 21, 29, 34, 37, 44, 47, 120), looks=400)
# Three lines a turn, two at most at once, and a part of the next: a backlog of five is one that takes a while.
IN_PIECES: Final = Pace(
    (*range(10), 12, 19, 21, 28, 30, 38, 44, 47, 89, 98, 137, 142, 158),
    3 * LINE_BYTES + 5,
    2 * LINE_BYTES + 3,
    is_cached=False,
    looks=260,
    gaps=(*GAPS, 21, 34),
)


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that makes each call for a thread in place, after what was to happen before it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.before_call: Callable[[int], None] = lambda _: None

    def run_in_executor(  # type: ignore[override]  # it is done at once, so any future will do
        self, executor: concurrent.futures.Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Make the call."""
        assert executor is None
        self.calls += 1
        self.before_call(self.calls)
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except OSError as error:
            future.set_exception(error)
        return future


def lines(log: Path, kind: str, count: int) -> bytes:
    """Make lines, all of them different, those of other logs too: a file is known again by its content."""
    writer = log.stem.capitalize().encode()
    return b"".join(b"%s says %s %06d\n" % (writer, kind.encode(), number) for number in range(count))


def write(kind: str, count: int) -> Step:
    """Write lines."""

    def step(log: Path) -> None:
        with log.open("ab") as file:
            file.write(lines(log, kind, count))

    return step


def beside(log: Path, generation: int) -> Path:
    """Name a rotated file."""
    return log.with_name(f"{log.name}.{generation}")


def create(generation: int) -> Step:
    """Begin a copy."""
    return lambda log: beside(log, generation).touch()


def fill(generation: int, part: float = 1) -> Step:
    """Copy so much of the log: more of it, or all."""

    def step(log: Path) -> None:
        whole = log.read_bytes()
        with beside(log, generation).open("ab") as copy:
            copy.write(whole[copy.tell() : int(part * len(whole))])

    return step


def truncate(log: Path) -> None:
    """Empty the log."""
    os.truncate(log, 0)


def move_on(log: Path) -> None:
    """Give every rotated file its next name."""
    for generation in (3, 2, 1):
        if beside(log, generation).exists():
            beside(log, generation).rename(beside(log, generation + 1))


def rename(log: Path) -> None:
    """Rotate all of them by name."""
    move_on(log)
    log.rename(beside(log, 1))


def recreate(log: Path) -> None:
    """Begin the next one."""
    log.touch()


def replace_by_longer(log: Path) -> None:
    """Put a copy with more in it under the log's name, as an editor does."""
    longer = log.with_name("edited")
    longer.write_bytes(log.read_bytes() + lines(log, "more", 2))
    longer.rename(log)


REPLACED: Final = "replaced by a longer copy"  # nothing tells after a restart that it has what was not read at all
COPY: Final = [create(1), fill(1, 0.5), fill(1)]
SCRIPTS: Final[dict[str, tuple[int, list[Step]]]] = {
    "copytruncate": (8, [write("a", 5), *COPY, truncate, write("b", 3)]),
    "copytruncate, then more than before": (20, [write("a", 5), *COPY, truncate, write("b", 15)]),
    "copied twice, then truncated": (
        8,
        [write("a", 5), create(2), fill(2, 0.5), fill(2), *COPY, truncate, write("b", 3)],
    ),
    "copytruncate twice": (
        15,
        [write("a", 5), *COPY, truncate, write("b", 7), move_on, *COPY, truncate, write("c", 3)],
    ),
    "copytruncate, renamed, copytruncate": (
        19,
        [
            *(write("a", 7), *COPY, truncate, write("b", 5), rename, recreate),
            *(write("c", 2), write("d", 4), move_on, *COPY, truncate, write("e", 1)),
        ],
    ),
    "copied while it grows, then truncated": (
        14,
        [
            *(write("a", 5), create(1), fill(1, 0.5), write("b", 3), fill(1, 0.7), write("c", 4), fill(1)),
            *(truncate, write("d", 2)),
        ],
    ),
    REPLACED: (10, [write("a", 5), replace_by_longer, write("b", 3)]),
    "renamed twice": (12, [write("a", 5), rename, recreate, write("b", 4), rename, recreate, write("c", 3)]),
}


@dataclass
class Kept:
    """What is known of the lives of the reader until now."""

    lines: int = 0
    lost_bytes: int = 0
    state: PathsState | None = None


@dataclass(frozen=True)
class Play:
    """What is followed, with how many files open, and what is to happen to each log meanwhile."""

    loop: SteppedLoop
    logs: list[Path]
    pattern: str
    draw: random.Random
    pace: Pace
    most_open: int


async def follow(play: Play, todo: Todo, kept: Kept, *, end: int, save: int) -> Kept:
    """Follow a log until call ``end`` while all that is to do happens; return what was kept at call ``save``."""
    fleet, tally, loop = make_fleet(), Tally(), play.loop
    source = FileSource(
        [play.pattern],
        fleet=fleet,
        tally=tally,
        limit_bytes=1 << 20,
        poll_seconds=0.0001,
        most_open=play.most_open,
    )
    begun, is_over, saved = loop.calls, asyncio.Event(), kept

    def now() -> Kept:
        lost_bytes = sum(count for reason, count in tally.lost.items() if reason != "unfinished")  # of a part of a copy
        return Kept(kept.lines + fleet.lines["other"], kept.lost_bytes + lost_bytes, source.paths.dump())

    def before_call(_: int) -> None:
        nonlocal saved
        while todo and loop.calls - begun >= todo[0][0]:
            todo.pop(0)[1]()
        if loop.calls - begun == save:
            saved = now()
        if loop.calls - begun >= end:
            is_over.set()

    if kept.state is not None:
        loop.before_call = before_call
        await source.resume(kept.state)
    following = asyncio.create_task(source.run())
    await source.caught_up.wait()
    saved = now()
    if kept.state is None:  # the steps are to come when it follows already
        begun, loop.before_call = loop.calls, before_call
    await is_over.wait()
    loop.before_call = lambda _: None
    held = [file for followed in source.paths for file in followed.files]
    assert all(file.offset_bytes <= file.read_to_bytes for file in held)
    if save >= end:
        saved = now()
        assert not any(file.is_waiting for file in held)  # or it would be held for ever
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    await source.close()
    assert not tally.errors["EBADF"]  # nothing that was closed is read
    return saved


def draw_moments(play: Play, script: list[Step]) -> Todo:
    """Let each step of a log follow the one before it after some calls of the reader, often at once."""
    todo: Todo = []
    for log in play.logs:
        moment = 1
        for step in script:
            todo.append((moment, partial(step, log)))
            moment += play.draw.choice(play.pace.gaps)
    return sorted(todo, key=itemgetter(0))


async def live_once(play: Play, todo: Todo) -> Kept:
    """Follow a log in one life."""
    end = todo[-1][0] + play.pace.looks
    return await follow(play, todo, Kept(), end=end, save=end)


async def live_twice(play: Play, todo: Todo) -> Kept:
    """Follow a log, be killed some time after a checkpoint, and go on from there, perhaps a while later."""
    draw = play.draw
    killed = draw.randint(1, todo[-1][0] + 20)
    kept = await follow(play, todo, Kept(), end=killed, save=draw.randint(max(killed - 20, 0), killed - 1))
    begun = killed + draw.choice(play.pace.gaps)
    later = [(moment - begun, step) for moment, step in todo]
    end = max([0, *(moment for moment, _ in later)]) + play.pace.looks
    return await follow(play, later, kept, end=end, save=end)


def run(
    name: str, live: Callable[..., Any], pattern: str, pace: Pace, number: int, *, logs: int = 1, most_open: int = 99
) -> tuple[int, int, list[int]]:
    """Play a script once; return the lines and lost bytes that were counted, and the moments of its steps."""
    draw = random.Random(f"{name} {number}")  # noqa: S311  a test must draw the same again
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder, f"falco{number or ''}.log") for number in range(logs)]
        for log in written:
            log.touch()
        play = Play(SteppedLoop(), written, f"{folder}/{pattern}", draw, pace, most_open)
        todo = draw_moments(play, SCRIPTS[name][1])
        moments = [moment for moment, _ in todo]
        with pace.kept(), asyncio.Runner(loop_factory=lambda: play.loop) as runner:
            found = runner.run(live(play, todo))
    return found.lines, found.lost_bytes, moments


@pytest.mark.e2e
@pytest.mark.parametrize("live", [live_once, live_twice])
@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("pattern", "pace"),
    [
        ("falco.log", WHOLE),
        ("falco.log*", SOME),
        ("falco.log", HASTY),
        ("falco.log", IN_PIECES),
        ("falco.log*", IN_PIECES),
    ],
    ids=["whole", "glob, whole", "hasty", "in pieces", "glob, in pieces"],
)
def test_every_line_is_counted_once_whenever_the_writer_comes_in_between(
    name: str, live: Callable[..., Any], pattern: str, pace: Pace
) -> None:
    """No moment between two calls of the reader is a bad one for any step of the writer, nor for a kill."""
    wrong = []
    for number in pace.numbers:
        counted, lost_bytes, moments = run(name, live, pattern, pace, number)
        if counted != SCRIPTS[name][0] or (lost_bytes and (name, live) != (REPLACED, live_twice)):
            wrong.append((number, moments, counted, lost_bytes))

    assert not wrong


@pytest.mark.e2e
@pytest.mark.parametrize("live", [live_once, live_twice])
@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("most_open", [3, 5])
def test_so_it_is_where_descriptors_are_few(name: str, live: Callable[..., Any], most_open: int) -> None:
    """Three logs, and no room for all of their rotated files: one is closed for another.

    Only where something is truncated, or in a life after a restart, more may be counted as lost than is.
    """
    may_seem_lost = truncate in SCRIPTS[name][1] or live is live_twice
    wrong = []
    for number in IN_TURN.numbers:
        counted, lost_bytes, moments = run(name, live, "falco*.log", IN_TURN, number, logs=3, most_open=most_open)
        if counted != 3 * SCRIPTS[name][0] or (lost_bytes and not may_seem_lost):
            wrong.append((number, moments, counted, lost_bytes))

    assert not wrong

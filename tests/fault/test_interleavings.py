"""A writer's steps between any two of the reader's: the follower on a loop that makes its file calls in place.

Nothing runs at the same time, so a draw of moments always plays the same way, and thousands of them take seconds.
"""

import asyncio
import concurrent.futures
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.files import FileSource
from snapshots import make_fleet

RUNS: Final = 150
LOOKS: Final = 60  # calls of the reader after the last step
GAPS: Final = (0, 0, 1, 1, 2, 3, 5, 8, 13)
Step = Callable[[Path], None]


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


def write(kind: str, count: int) -> Step:
    """Write lines, all of them different."""
    lines = b"".join(b"Falco says %s %06d\n" % (kind.encode(), number) for number in range(count))

    def step(log: Path) -> None:
        with log.open("ab") as file:
            file.write(lines)

    return step


def beside(log: Path, generation: int) -> Path:
    """Name a rotated file."""
    return log.with_name(f"{log.name}.{generation}")


def create(generation: int) -> Step:
    """Begin a copy."""
    return lambda log: beside(log, generation).touch()


def fill(generation: int) -> Step:
    """Make the copy whole."""

    def step(log: Path) -> None:
        beside(log, generation).write_bytes(log.read_bytes())

    return step


def truncate(log: Path) -> None:
    """Empty the log."""
    os.truncate(log, 0)


def move_on(log: Path) -> None:
    """Give the rotated file its next name, if there is one."""
    if beside(log, 1).exists():
        beside(log, 1).rename(beside(log, 2))


def rename(log: Path) -> None:
    """Rotate all of them by name."""
    move_on(log)
    log.rename(beside(log, 1))


def recreate(log: Path) -> None:
    """Begin the next one."""
    log.touch()


COPY: Final = [create(1), fill(1)]
SCRIPTS: Final[dict[str, tuple[int, list[Step]]]] = {
    "copytruncate": (8, [write("a", 5), *COPY, truncate, write("b", 3)]),
    "copytruncate, then more than before": (20, [write("a", 5), *COPY, truncate, write("b", 15)]),
    "copied twice, then truncated": (8, [write("a", 5), create(2), fill(2), *COPY, truncate, write("b", 3)]),
    "copytruncate twice": (
        15,
        [write("a", 5), *COPY, truncate, write("b", 7), move_on, *COPY, truncate, write("c", 3)],
    ),
    "renamed twice": (12, [write("a", 5), rename, recreate, write("b", 4), rename, recreate, write("c", 3)]),
}


async def follow(loop: SteppedLoop, log: Path, todo: list[tuple[int, Step]]) -> tuple[int, int]:
    """Follow a log while all that is to do happens; return how many lines were counted, and bytes told as lost."""
    fleet, tally = make_fleet(), Tally()
    source = FileSource([str(log)], fleet=fleet, tally=tally, limit_bytes=1 << 20, poll_seconds=0.0001)
    following = asyncio.create_task(source.run())
    await source.caught_up.wait()
    begun, is_over = loop.calls, asyncio.Event()
    end = begun + todo[-1][0] + LOOKS

    def before_call(number: int) -> None:
        while todo and number - begun >= todo[0][0]:
            todo.pop(0)[1](log)
        if number >= end:
            is_over.set()

    loop.before_call = before_call
    await is_over.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    await source.close()
    return fleet.lines["other"], sum(tally.lost.values())


@pytest.mark.e2e
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_line_is_counted_once_whenever_the_writer_comes_in_between(name: str) -> None:
    """No moment between two calls of the reader is a bad one for any step of the writer."""
    total, script = SCRIPTS[name]
    draw = random.Random(name)  # noqa: S311  a test must draw the same again
    wrong = []
    for _ in range(RUNS):
        moments = [1]
        for _ in script[1:]:
            moments.append(moments[-1] + draw.choice(GAPS))
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "falco.log"
            log.touch()
            loop = SteppedLoop()
            with asyncio.Runner(loop_factory=lambda loop=loop: loop) as runner:  # type: ignore[misc]
                found = runner.run(follow(loop, log, list(zip(moments, script, strict=True))))
        if found != (total, 0):
            wrong.append((moments, found))

    assert not wrong

"""Kills at any moment, storms of rotations, and both at once."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.harness import Exporter, by_label, polls
from fault.conftest import Follow
from fault.driver import PREFIX, Watch, counts, scrape
from fault.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

KILLS = 50
SEED = 20261123


def _lost(exporter: Exporter) -> dict[str, float]:
    """Return the bytes that are told to be lost, by reason."""
    told = by_label(scrape(exporter), f"{PREFIX}exporter_lost_bytes_total", "reason")
    return {reason: count for reason, count in told.items() if count}


class Load:
    """A writer that rotates, reproducibly: what it does next is drawn, and every phase has a rule of its own."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)  # noqa: S311  a seed, not a secret
        self._falco = world.open()
        self.phase = 0

    def act(self) -> None:
        """Write some lines, in one piece or two; then perhaps rename the file."""
        chance, data = self._chance, self._world.make(f"phase {self.phase}", self._chance.randint(1, 60))
        cut = chance.choice((len(data), chance.randrange(len(data))))
        os.write(self._falco, data[:cut])
        if chance.random() < 0.3:
            self._sleep()
        os.write(self._falco, data[cut:])
        if chance.random() < 0.4:
            chance.choice((self._rename, self._rename_late, self._copytruncate))()

    def _sleep(self) -> None:
        for _ in polls(self._chance.random() * 0.05, every=0.01):
            pass

    def _rotated(self) -> Path:
        """Name a rotated file; none is ever removed, since what is removed unread is lost."""
        return self._world.beside(f".{self.phase:04}-{self._chance.random()}")

    def _rename(self) -> None:
        self._world.log.rename(self._rotated())
        self._falco = self._world.open()

    def _rename_late(self) -> None:
        """Write on to the renamed file for a moment."""
        self._world.log.rename(self._rotated())
        self._world.write(f"phase {self.phase}", 3, to=self._falco)
        self._falco = self._world.open()

    def _copytruncate(self) -> None:
        self._world.copy(self._rotated())
        if self._chance.random() < 0.3:
            self._sleep()
        self._world.truncate()


@pytest.mark.parametrize("is_notified", [True], ids=["inotify"])
def test_random_kills_under_load_with_rotation_are_invisible(
    follow: Follow, world: World, *, is_notified: bool
) -> None:
    """C2: fifty kills at random moments; every phase is exact in the end, and no counter has ever gone back."""
    watch, load, chance = Watch(), Load(world, SEED), random.Random(SEED)  # noqa: S311  a seed, not a secret
    options = ["--source.poll-interval=50ms"]
    exporter = follow(world.log, is_notified=is_notified, options=options)
    for load.phase in range(KILLS):
        for _ in range(chance.randint(0, 6)):
            load.act()
            if chance.random() < 0.4:
                watch.look(exporter)
        exporter.process.kill()
        exporter.process.wait()
        if chance.random() < 0.5:
            load.act()
        exporter = follow(world.log, is_notified=is_notified, options=options)
    counts(exporter, world, watch)
    assert _lost(exporter) == {}


class Bursts(Load):
    """A writer of megabytes at once, which takes names off in turn, often before what stands under one is read."""

    SIZES = (50, 2000, 12_000, 40_000)  # lines; the longest take as long to read as some looks

    def act(self) -> None:
        """Write a burst, in one piece or two; then perhaps copy and truncate the file, or rename it."""
        chance, data = self._chance, self._world.make(f"phase {self.phase}", self._chance.choice(self.SIZES))
        cut = chance.choice((len(data), chance.randrange(len(data))))
        os.write(self._falco, data[:cut])
        if chance.random() < 0.3:
            self._sleep()
        os.write(self._falco, data[cut:])
        (step,) = chance.choices((self._copytruncate, self._rename, lambda: None), (12, 3, 5))
        step()

    def _rotated(self) -> Path:
        """Take the first name for it; what was there has the next one."""
        folder, name = self._world.folder, self._world.log.name
        for number in range(len(list(folder.iterdir())), 0, -1):
            if (folder / f"{name}.{number}").exists():
                (folder / f"{name}.{number}").rename(folder / f"{name}.{number + 1}")
        return self._world.beside(".1")


@pytest.mark.parametrize("is_killed", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize("pattern", ["falco.log", "falco.log*"])
@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
@pytest.mark.parametrize("seed", range(2))
def test_backlogs_that_are_copied_and_renamed_are_exact(
    follow: Follow, world: World, seed: int, pattern: str, *, is_notified: bool, is_killed: bool
) -> None:
    """T2, R5: all of it is on disk all the time, and so none is lost, nor told to be."""
    watch, load, chance = Watch(), Bursts(world, seed), random.Random(seed)  # noqa: S311  a seed, not a secret
    exporter = follow(world.folder / pattern, is_notified=is_notified)
    for load.phase in range(14):
        load.act()
        if chance.random() < 0.5:
            watch.look(exporter)
        if is_killed and chance.random() < 0.4:
            exporter.process.kill()
            exporter.process.wait()
            exporter = follow(world.folder / pattern, is_notified=is_notified)
    counts(exporter, world, watch, within=30)
    assert _lost(exporter) == {}


def _storm(world: World, gap_seconds: float) -> None:
    """Write a hundred lines, shift five generations, leave the path absent for a moment; twenty times."""
    for generation in range(20):
        world.write(f"generation {generation:02}", 100)
        world.rotate(keep=5)
        for _ in polls(gap_seconds, every=gap_seconds):
            pass
    world.write("last", 10)


Storm = Callable[[World, float], None]


@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_a_storm_of_rotations_is_exact_for_all_that_is_there(
    follow: Follow, world: World, *, is_notified: bool
) -> None:
    """R4: the last five generations, of those that nobody saw; with a moment between them, the kernel tells of all."""
    exporter = follow(world.log, is_notified=is_notified)
    gap_seconds = 0.1
    _storm(world, gap_seconds)
    if not is_notified:
        world.perished.update({f"generation {generation:02}": 100 for generation in range(15)})
    counts(exporter, world)


def test_a_storm_within_a_glob_is_exact(follow: Follow, world: World) -> None:
    """R4, R7: the pattern matches every generation."""
    exporter = follow(world.folder / "falco.log*", is_notified=True)
    _storm(world, 0.1)
    counts(exporter, world)

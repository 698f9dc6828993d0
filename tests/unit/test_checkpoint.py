"""The file of a checkpoint: written when there is news, believed only if it is whole and of this version."""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources import checkpoint as checkpoint_module
from falco_enrichment_exporter.sources.checkpoint import MAGIC, Checkpoint, State, name_of
from falco_enrichment_exporter.sources.paths import PathsState
from snapshots import make_fleet


class World:
    """A state directory, and how often there was news."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.news = 0
        self.tally = Tally()

    def open(self, name: str = "name") -> Checkpoint:
        return Checkpoint(self.folder, name, self.tally, state=self.state, revision=lambda: self.news)

    def state(self) -> State:
        paths = PathsState(files=[], places=[], seen_ns={b"x": self.news})
        return State(paths=paths, fleet=make_fleet().dump(), tally={})

    @property
    def path(self) -> Path:
        return self.folder / "name.checkpoint"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return an empty state directory."""
    return World(tmp_path)


def test_what_was_saved_is_loaded(world: World) -> None:
    """And nothing is set aside."""
    checkpoint = world.open()
    assert checkpoint.load() is None
    asyncio.run(checkpoint.save())

    assert checkpoint.load() == world.state()
    assert world.tally.checkpoint_errors == 0
    checkpoint.close()


def test_a_whole_checkpoint_of_another_version_is_set_aside(world: World) -> None:
    """Though its checksum is right."""
    checkpoint = world.open()
    asyncio.run(checkpoint.save())
    _, _, body = world.path.read_bytes().partition(b"\n")
    world.path.write_bytes(MAGIC + b"1 %08x\n" % zlib.crc32(body) + body)

    assert checkpoint.load() is None
    assert world.tally.checkpoint_errors == 1
    assert not world.path.exists()
    assert len(list(world.folder.glob("name.unusable-*"))) == 1
    checkpoint.close()


def test_a_checkpoint_is_written_if_there_is_news_or_if_it_could_not_outlive_a_loss_of_power(world: World) -> None:
    """Each writing is another file."""
    checkpoint = world.open()

    def is_written(*, is_durable: bool) -> bool:
        before = os.open(world.path, os.O_RDONLY)  # so that its inode is not used again
        asyncio.run(checkpoint.save(is_durable=is_durable))
        is_same = os.path.sameopenfile(before, now := os.open(world.path, os.O_RDONLY))
        os.close(before)
        os.close(now)
        return not is_same

    asyncio.run(checkpoint.save())
    asked = [False, True, True, False]
    assert [is_written(is_durable=is_durable) for is_durable in asked] == [False, True, False, False]
    world.news += 1
    assert [is_written(is_durable=is_durable) for is_durable in asked] == [True, True, False, False]
    checkpoint.close()


class LastFirst(concurrent.futures.ThreadPoolExecutor):
    """Two jobs at a time, the later one first."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._first: list[Callable[[], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        if not self._first:
            done: concurrent.futures.Future[Any] = concurrent.futures.Future()
            self._first.append(lambda: done.set_result(fn(*args, **kwargs)))
            return done
        later = super().submit(fn, *args, **kwargs)
        super().submit(self._first.pop())
        return later


def test_an_older_state_never_takes_the_place_of_a_newer_one(world: World) -> None:
    """Though its writing took longer; and it does not make the newer one outlive a loss of power."""
    checkpoint = world.open()

    async def write() -> None:
        asyncio.get_running_loop().set_default_executor(LastFirst())
        older = asyncio.create_task(checkpoint.save(is_durable=True))
        await asyncio.sleep(0)
        world.news += 1
        await asyncio.gather(older, checkpoint.save())

    asyncio.run(write())

    assert checkpoint.load() == world.state()
    with patch.object(os, "fsync", wraps=os.fsync) as fsync:
        asyncio.run(checkpoint.save(is_durable=True))
    assert fsync.called
    checkpoint.close()


def test_one_state_is_written_at_a_time(world: World) -> None:
    """The next one waits until the first is on the disk, and nobody else does."""
    checkpoint = world.open()
    sync, done, overtaken = os.fsync, threading.Event(), list[bool]()

    def slow_sync(descriptor: int) -> None:
        overtaken.append(done.wait(0.2))
        sync(descriptor)

    async def write() -> None:
        first = asyncio.create_task(checkpoint.save(is_durable=True))
        await asyncio.sleep(0.05)
        assert not first.done()
        world.news += 1
        await checkpoint.save()
        done.set()
        await first

    with patch.object(os, "fsync", slow_sync):
        asyncio.run(write())

    assert not any(overtaken)
    assert checkpoint.load() == world.state()
    checkpoint.close()


def test_a_slow_disk_is_written_to_seldom(world: World) -> None:
    """Though there is news all the time."""
    checkpoint, sync, written = world.open(), os.fsync, list[int]()

    def slow_sync(descriptor: int) -> None:
        world.news += 1
        written.append(world.news)
        time.sleep(0.02)
        sync(descriptor)

    async def run() -> None:
        caught_up = asyncio.Event()
        caught_up.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await checkpoint.run(caught_up)

    with patch.object(os, "fsync", slow_sync), patch.object(checkpoint_module, "SYNC_SECONDS", 0):
        asyncio.run(run())

    assert len(written) == 2  # the file and its folder, once
    checkpoint.close()


def test_the_last_news_is_written_at_the_end(world: World) -> None:
    """Then another instance may have the directory, and not before."""
    checkpoint = world.open()
    asyncio.run(checkpoint.save())
    world.news += 1
    with pytest.raises(SetupError, match="another instance"):
        world.open()
    world.open("other").close()
    checkpoint.close()
    again = world.open()

    assert again.load() == world.state()
    again.close()


def test_a_checkpoint_of_long_ago_is_kept_by_who_needs_it(world: World) -> None:
    """Those of other sources are removed, if nobody follows them now; other files of the directory are not."""
    own, other, young, quiet = (name_of([name]) for name in ("own", "other", "young", "quiet"))
    for name in (own, other, young):
        world.open(name).close()
    running = world.open(quiet)
    asyncio.run(running.save())
    for name in (f"{own}.unusable-1", f"{other}.new", "foreign.checkpoint", f"{other}.txt", "notes.new"):
        (world.folder / name).touch()
    for path in world.folder.iterdir():
        if path.stem != young:
            os.utime(path, times=(0, 0))
    checkpoint = world.open(own)

    assert checkpoint.load() == world.state()
    left = {path.name for path in world.folder.iterdir() if path.suffix != ".lock"}
    ours = {f"{name}.checkpoint" for name in (own, young, quiet)}
    assert left == ours | {"foreign.checkpoint", f"{other}.txt", "notes.new"}
    checkpoint.close()
    running.close()


def test_a_lock_of_long_ago_holds(world: World) -> None:
    """Whether its holder starts again after a month, or another instance starts while it runs."""
    name = name_of(["own"])
    world.open(name).close()
    os.utime(world.folder / f"{name}.lock", times=(0, 0))
    checkpoint = world.open(name)
    world.open("other").close()

    with pytest.raises(SetupError, match="another instance"):
        world.open(name)
    checkpoint.close()


def test_the_order_of_sources_makes_no_other_checkpoint() -> None:
    """Other sources do."""
    assert name_of(["a", "b"]) == name_of(["b", "a"])
    assert name_of(["a", "b"]) != name_of(["a", "c"])
    assert name_of(["a", "b"]) != name_of(["ab"])

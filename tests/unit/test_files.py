"""The follow loop, look by look: what happens to files in between, and what is known of them afterwards."""

import asyncio
import concurrent.futures
import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from e2e.harness import append, read_at_hand
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources import files
from falco_enrichment_exporter.sources.files import FileSource
from falco_enrichment_exporter.sources.marks import FileMark, Identity, Place, anchor_of
from falco_enrichment_exporter.sources.notices import Notices
from falco_enrichment_exporter.sources.paths import PathsState
from falco_enrichment_exporter.sources.reading import facts_of
from snapshots import make_fleet

LOOKS = 10  # after which everything must have been found


def lines(kind: str, count: int) -> bytes:
    """Return lines of one length, each like no other."""
    return b"".join(b"Falco says %s %06d\n" % (kind.encode(), number) for number in range(count))


class Loop(asyncio.SelectorEventLoop):
    """An event loop that lets something happen before a call is made in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.before_call: Callable[[], None] = lambda: None

    def run_in_executor(  # type: ignore[override]  # the standard library has types that only its stubs can name
        self, executor: concurrent.futures.Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Make the call."""
        self.before_call()
        return super().run_in_executor(executor, func, *args)


@dataclass
class Following:
    """A source that looks, reads, looks and reads, with no time in between."""

    fleet: Fleet = field(default_factory=make_fleet)
    tally: Tally = field(default_factory=Tally)
    after_look: list[Callable[[], object]] = field(default_factory=list)  # one is done after each look
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def run(
        self, *paths: Path, most_open: int = 9, poll_seconds: float = 0, state: PathsState | None = None
    ) -> AsyncIterator[FileSource]:
        """Follow files, from a state on; return once what is there is taken in."""
        source = FileSource(
            [str(path) for path in paths],
            fleet=self.fleet,
            tally=self.tally,
            limit_bytes=1 << 20,
            poll_seconds=poll_seconds,
            notices=Notices(is_enabled=poll_seconds > 0),
            most_open=most_open,
            on_pipes=self._note_look,
        )
        if state is not None:
            await source.resume(state)
        task = asyncio.create_task(source.run())
        await source.caught_up.wait()
        yield source
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await source.close()

    async def counted(self) -> int:
        """Return how many lines are counted after some looks more."""
        for _ in range(LOOKS + len(self.after_look)):
            self.looked.clear()
            await self.looked.wait()
        return self.fleet.lines["other"]

    async def has_counted(self, count: int) -> bool:
        """Say whether so many lines are counted before long."""
        for _ in range(100):
            if self.fleet.lines["other"] >= count:
                break
            await asyncio.sleep(0.05)
        return self.fleet.lines["other"] == count

    def _note_look(self, _: Mapping[str, Identity]) -> None:
        if self.after_look:
            self.after_look.pop(0)()
        self.looked.set()


def test_a_truncated_file_is_not_closed_to_make_room_for_its_copy(tmp_path: Path) -> None:
    """Another one is, that is quiet; every line counts once, and nothing is read that was closed."""
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    log.touch()
    other.touch()

    async def follow() -> None:
        following = Following()
        async with following.run(log, other, most_open=2) as source:
            append(log, lines("before", 5))
            append(other, lines("other", 5))
            assert await following.counted() == 10
            shutil.copyfile(log, tmp_path / "a.log.1")
            os.truncate(log, 0)
            append(log, lines("after", 3))
            assert await following.counted() == 13
            append(other, lines("again", 2))
            assert await following.counted() == 15
            assert source.shelf.open_files <= 2
        assert not sum(following.tally.errors.values())
        assert not sum(following.tally.lost.values())

    asyncio.run(follow())


def test_what_could_not_be_opened_at_the_first_start_is_old_after_the_next_one_too(tmp_path: Path) -> None:
    """There was no room for it: what it had then is skipped, and what came while we were down is counted."""
    log, other, new = (tmp_path / f"{name}.log" for name in ("a", "b", "c"))
    append(log, lines("old", 5))
    append(other, lines("old", 7))

    async def follow() -> None:
        async with Following().run(log) as source:
            source.paths[str(other)].unreadable = facts_of(other.stat())
            state = source.paths.dump()
        for path in (log, other, new):
            append(path, lines("down", 3))
        following = Following()
        async with following.run(log, other, new, most_open=1, state=state) as source:
            assert await following.counted() == 9
            assert not source.paths.dump().unreadable
        assert following.tally.skipped_bytes == len(lines("old", 7))
        assert not sum(following.tally.lost.values())

    asyncio.run(follow())


def test_a_file_that_was_emptied_under_a_read_and_is_as_long_as_before_is_read_whole(tmp_path: Path) -> None:
    """What the read has found out is known at the next look, which finds the size and the time of the one before."""
    log = tmp_path / "falco.log"
    log.touch()
    os.utime(tmp_path, (1, 1))  # nothing was made in its folder of late
    loop = Loop()

    def fill() -> None:
        append(log, lines("old", 20))
        os.utime(log, (2, 2))

    def refill() -> None:
        loop.before_call = lambda: None
        append(log, lines("new", 20))
        os.utime(log, (2, 2))

    def empty() -> None:
        os.truncate(log, 0)
        loop.before_call = refill  # before the next look, and after the read before that one

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            following.after_look += [fill, lambda: None, empty]
            assert await following.counted() == 10 + 20
        assert +following.tally.lost == {"truncated": len(lines("old", 10))}

    with patch.object(files, "TURN_BYTES", len(lines("old", 10))), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(follow())


def test_only_a_file_under_its_own_name_is_asked_by_its_descriptor(tmp_path: Path) -> None:
    """Where a link leads to may change, and its folder does not."""
    log, link, target = tmp_path / "falco.log", tmp_path / "link.log", tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    target.touch()
    log.touch()
    link.symlink_to(target)

    async def follow() -> None:
        async with Following().run(log, link) as source:
            plain, linked = source.paths[str(log)].known, source.paths[str(link)].known
            assert plain.descriptor is not None
            assert plain.facts is not None
            assert linked.descriptor is None
            assert linked.facts is not None

    asyncio.run(follow())


@pytest.mark.parametrize("times", [1, 3])
def test_a_stale_handle_of_a_network_file_system_costs_no_line(tmp_path: Path, times: int) -> None:
    """The file is opened again at the next look, though nothing else has changed, and read on where it was left."""
    log = tmp_path / "falco.log"
    log.write_bytes(lines("old", 5))
    for path in (log, tmp_path):
        os.utime(path, (1, 1))  # nothing was made in its folder of late
    stale, read = [OSError(errno.ESTALE, os.strerror(errno.ESTALE))] * times, read_at_hand

    def read_unless_stale(*given: Any) -> int:
        if log.stat().st_size > len(lines("old", 5)) and stale:
            raise stale.pop()
        return read(*given)

    def grow() -> None:
        append(log, lines("new", 7))
        os.utime(log, (1, 1))  # its size alone tells

    async def follow() -> None:
        following = Following()
        with patch.object(os, "preadv", read_unless_stale):
            async with following.run(log) as source:
                following.after_look.append(grow)
                assert await following.counted() == 7
                assert source.shelf.open_files == 1
        assert not stale
        assert sum(following.tally.errors.values()) >= 1
        assert not sum(following.tally.lost.values())

    asyncio.run(follow())


@pytest.mark.parametrize("is_truncated", [True, False])
def test_a_stale_handle_of_a_file_that_was_copied_costs_no_line(tmp_path: Path, *, is_truncated: bool) -> None:
    """Its copy delivers what was not read of it, also if it is emptied before it is opened again."""
    log, copy = tmp_path / "falco.log", tmp_path / "falco.log.1"
    log.touch()
    stale, read = [OSError(errno.ESTALE, os.strerror(errno.ESTALE))], read_at_hand

    def read_unless_stale(number: int, pieces: list[memoryview], position: int, flags: int) -> int:
        if copy.exists() and os.fstat(number).st_ino == log.stat().st_ino and position == len(lines("a", 10)) and stale:
            if is_truncated:
                os.truncate(log, 0)
                append(log, lines("b", 3))
            raise stale.pop()
        return read(number, pieces, position, flags)

    async def follow() -> None:
        following = Following()
        with patch.object(os, "preadv", read_unless_stale), patch.object(files, "TURN_BYTES", len(lines("a", 5))):
            async with following.run(log):
                following.after_look += [lambda: append(log, lines("a", 30)), lambda: shutil.copyfile(log, copy)]
                assert await following.counted() == 30 + 3 * is_truncated
                append(copy, lines("more", 2))
                assert await following.counted() == 32 + 3 * is_truncated
        assert not stale
        assert not sum(following.tally.lost.values())

    asyncio.run(follow())


def test_what_was_made_in_a_folder_before_it_was_watched_is_found_at_once(tmp_path: Path) -> None:
    """The kernel did not tell, and the look before that has seen nothing."""

    def make() -> None:
        (tmp_path / "made").mkdir()
        append(tmp_path / "made" / "falco-1.log", lines("new", 7))

    async def follow() -> None:
        again = asyncio.Event()
        following = Following(after_look=[make, again.set])
        async with following.run(tmp_path / "*" / "falco*.log", poll_seconds=60), asyncio.timeout(5):
            await again.wait()
            assert await following.has_counted(7)

    asyncio.run(follow())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_file_that_cannot_be_read_at_a_restart_is_read_on_later(tmp_path: Path, number: int) -> None:
    """Whichever read fails; it has not changed since, and is known to be open once."""
    log = tmp_path / "falco.log"
    log.write_bytes(lines("old", 5))
    for path in (log, tmp_path):
        os.utime(path, (1, 1))
    reads, read = 0, read_at_hand

    def read_but_once(*given: Any) -> int:
        nonlocal reads
        reads += 1
        if reads == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(*given)

    async def follow() -> None:
        async with Following().run(log) as before:
            state = before.paths.dump()
        following = Following()
        with patch.object(os, "preadv", read_but_once):
            async with following.run(log, state=state) as source:
                assert await following.counted() == 0
                assert source.paths[str(log)].is_up
                assert source.shelf.open_files == 1
                append(log, lines("new", 7))
                assert await following.counted() == 7
        assert sum(following.tally.errors.values()) == 1

    asyncio.run(follow())


def test_what_was_made_in_a_later_folder_before_it_was_watched_is_found_at_once(tmp_path: Path) -> None:
    """As at the start."""
    folder = tmp_path / "made"
    following = Following()

    def fill() -> None:
        if folder.exists():
            append(folder / "falco-1.log", lines("new", 7))
        else:
            following.after_look.append(fill)

    async def follow() -> None:
        following.after_look.append(fill)
        async with following.run(tmp_path / "*" / "falco*.log", poll_seconds=60):
            await asyncio.sleep(0.2)  # after the looks of the start
            folder.mkdir()
            assert await following.has_counted(7)

    asyncio.run(follow())


def test_what_was_written_right_after_a_rename_within_a_glob_is_found_at_once(tmp_path: Path) -> None:
    """The kernel has told of a file under a name that nobody knew."""
    log = tmp_path / "falco-1.log"
    log.write_bytes(lines("old", 5))

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / "falco*.log", poll_seconds=60):
            await asyncio.sleep(0.2)  # after the looks of the start
            log.rename(tmp_path / "falco-2.log")
            append(tmp_path / "falco-2.log", lines("new", 7))
            assert await following.has_counted(7)

    asyncio.run(follow())


def test_a_path_that_could_not_be_looked_at_for_a_while_is_up_again_though_nothing_was_written(tmp_path: Path) -> None:
    """Neither the file nor its folder tells of it."""
    log = tmp_path / "falco.log"
    log.write_bytes(lines("old", 5))
    for path in (log, tmp_path):
        os.utime(path, (1, 1))
    stat, refused = os.stat, OSError(errno.EACCES, os.strerror(errno.EACCES))
    is_forbidden = False

    def look(path: Any, **given: Any) -> os.stat_result:
        if is_forbidden and path in (str(log), str(tmp_path)):
            raise refused
        return stat(path, **given)

    async def follow() -> None:
        nonlocal is_forbidden
        following = Following()
        with patch.object(os, "stat", look):
            async with following.run(log) as source:
                for is_forbidden in (True, False):
                    assert await following.counted() == 0
                    assert source.paths[str(log)].is_up is not is_forbidden
                assert source.shelf.open_files == 1
        assert sum(following.tally.errors.values()) == 1

    asyncio.run(follow())


def test_a_file_that_cannot_be_read_for_a_while_is_up_again_though_nothing_was_written_after(tmp_path: Path) -> None:
    """It is tried at each look, is one error, and is not up before it could be read."""
    log = tmp_path / "falco.log"
    log.write_bytes(lines("old", 5))
    read, is_broken = read_at_hand, False

    def read_unless_broken(*given: Any) -> int:
        if is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(*given)

    async def follow() -> None:
        nonlocal is_broken
        following = Following()
        with patch.object(os, "preadv", read_unless_broken):
            async with following.run(log) as source:
                append(log, lines("new", 7))
                for is_broken, count in ((True, 0), (False, 7)):
                    assert await following.counted() == count
                    assert source.paths[str(log)].is_up is not is_broken
        assert sum(following.tally.errors.values()) == 1

    asyncio.run(follow())


def test_what_is_stored_in_the_middle_of_a_read_is_what_was_counted_up_to_there(tmp_path: Path) -> None:
    """Lines, those that were too long, and bytes: a kill may come after any piece."""
    log = tmp_path / "falco.log"
    log.touch()
    whole = (lines("some", 9000) + b"x" * (1 << 21) + b"\n") * 3
    seen: list[tuple[int, int, int, int, int]] = []

    async def follow() -> None:
        following = Following()
        async with following.run(log) as source:
            log.write_bytes(whole)
            (file,) = source.paths[str(log)].files
            while file.offset_bytes < len(whole):
                counts = following.fleet.lines["other"], following.fleet.rejections["oversize"]
                seen.append((file.offset_bytes, file.read_to_bytes, following.tally.read_bytes, *counts))
                await asyncio.sleep(0)

    asyncio.run(follow())
    assert len({offset for offset, *_ in seen}) > 4
    for offset, read_to, read_bytes, count, oversize in seen:
        assert read_bytes == read_to
        before = whole[:offset]
        assert count == before.count(b"Falco")
        assert oversize == before.count(b"x" * ((1 << 20) + 1))


def test_what_a_copy_has_more_is_read_only_behind_what_its_original_delivers_or_it_itself_does(tmp_path: Path) -> None:
    """The original is emptied just when its copy, found in the making, is compared with it: the copy delivers the rest.

    Had it read its end at once, nobody would know any more how far its original is missing.
    """
    log, copy = tmp_path / "falco.log", tmp_path / "falco.log.1"
    log.touch()
    backlog, read = lines("backlog", 45), read_at_hand

    def read_and_empty(descriptor: int, buffers: list[memoryview], position: int, *flags: int) -> int:
        is_asked_for_its_end = (position, len(buffers[0])) == (0, len(backlog))
        if (
            is_asked_for_its_end
            and os.path.samestat(os.fstat(descriptor), copy.stat())
            and log.stat().st_size >= len(backlog)
        ):
            os.truncate(log, 0)
        return read(descriptor, buffers, position, *flags)

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            following.after_look += [
                lambda: append(log, backlog),
                lambda: None,
                lambda: append(copy, backlog[: len(backlog) // 2 + 7]),
                lambda: None,
                lambda: append(copy, backlog[len(backlog) // 2 + 7 :]),
            ]
            assert await following.counted() == 45
            append(log, lines("new", 5))
            assert await following.counted() == 50
        assert not sum(following.tally.lost.values())
        assert following.tally.rotations["truncate"] == 1

    with patch.object(files, "TURN_BYTES", len(lines("backlog", 5))), patch.object(os, "preadv", read_and_empty):
        asyncio.run(follow())
    assert log.stat().st_size == len(lines("new", 5))


def test_a_rotated_file_that_cannot_be_read_does_not_hold_up_the_new_one(tmp_path: Path) -> None:
    """Its lines come once it can be."""
    log, rotated = tmp_path / "falco.log", tmp_path / "falco.log.1"
    log.touch()
    read, is_broken = read_at_hand, False

    def read_unless_broken(descriptor: int, *given: Any) -> int:
        if is_broken and os.path.samestat(os.fstat(descriptor), rotated.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, *given)

    async def follow() -> None:
        nonlocal is_broken
        following = Following()
        with patch.object(os, "preadv", read_unless_broken):
            async with following.run(log):
                is_broken = True
                append(log, lines("old", 7))
                log.rename(rotated)
                append(log, lines("new", 5))
                assert await following.counted() == 5
                is_broken = False
                assert await following.counted() == 12
        assert following.tally.errors["EIO"] == 1  # a look may find nothing under the path for a moment, too

    asyncio.run(follow())


@pytest.mark.parametrize(("old", "new"), [(5, 30), (30, 10)])
def test_a_copy_of_what_was_written_anew_waits_for_that_and_not_for_what_was_read_before(
    tmp_path: Path, old: int, new: int
) -> None:
    """Emptied, written anew and copied between two looks; emptied once more when a part of it was read."""
    log = tmp_path / "falco.log"
    log.touch()

    def write_anew_and_copy() -> None:
        os.truncate(log, 0)
        append(log, lines("new", new))
        shutil.copyfile(log, tmp_path / "falco.log.1")

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            append(log, lines("old", old))
            assert await following.counted() == old
            following.after_look += [write_anew_and_copy, lambda: None, lambda: os.truncate(log, 0)]
            assert await following.counted() == old + new
        assert not sum(following.tally.lost.values())
        assert following.tally.rotations["truncate"] == 2

    with patch.object(files, "TURN_BYTES", len(lines("old", 5))):
        asyncio.run(follow())


def test_a_copy_under_a_name_that_a_glob_matches_is_found_when_its_original_is_emptied(tmp_path: Path) -> None:
    """Another file had its name at the last look."""
    log, rotated = tmp_path / "falco.log", tmp_path / "falco.log.1"
    rotated.write_bytes(lines("older", 9))
    log.touch()

    def rotate() -> None:
        rotated.rename(tmp_path / "falco.log.2")
        shutil.copyfile(log, rotated)
        os.truncate(log, 0)

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / "falco.log*"):
            following.after_look += [lambda: append(log, lines("backlog", 40)), lambda: None, rotate]
            assert await following.counted() == 40
        assert not sum(following.tally.lost.values())

    with patch.object(files, "TURN_BYTES", len(lines("backlog", 5))):
        asyncio.run(follow())


@pytest.mark.parametrize(("count", "looks", "new"), [(0, 10, 4), (0, 14, 4), (5, 14, 4), (0, 34, 60)])
def test_what_was_unread_when_a_file_was_written_anew_is_not_lost_if_a_copy_has_it(
    tmp_path: Path, count: int, looks: int, new: int
) -> None:
    """Nor is it told to be when new lines that are fewer are read and truncated: it was another file's size."""
    log = tmp_path / "falco.log"
    log.touch()
    backlog, position, read = lines("backlog", 40), len(lines("backlog", count)), read_at_hand
    turn_bytes = len(lines("backlog", 5))

    def fill_and_copy() -> None:
        append(log, backlog)
        shutil.copyfile(log, tmp_path / "falco.log.1")

    def read_what_is_new(descriptor: int, buffers: list[memoryview], start: int, *flags: int) -> int:
        is_log = os.path.samestat(os.fstat(descriptor), log.stat()) and log.stat().st_size == len(backlog)
        if is_log and (start, len(buffers[0])) == (position, turn_bytes):
            log.write_bytes(lines("new", new))
        return read(descriptor, buffers, start, *flags)

    def empty() -> None:
        log.write_bytes(lines("last", 3))

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            following.after_look += [fill_and_copy, *[lambda: None] * looks, empty]
            assert await following.counted() == 40 + new + 3
        assert not sum(following.tally.lost.values())
        assert following.tally.rotations["truncate"] == 2

    with patch.object(files, "TURN_BYTES", turn_bytes), patch.object(os, "preadv", read_what_is_new):
        asyncio.run(follow())


def test_what_came_between_copy_and_truncation_is_told_to_be_lost_and_nothing_else(tmp_path: Path) -> None:
    """As far as it was seen; the copy delivers the rest."""
    log = tmp_path / "falco.log"
    log.touch()
    late = lines("late", 4)

    def fill_and_copy() -> None:
        append(log, lines("backlog", 40))
        shutil.copyfile(log, tmp_path / "falco.log.1")

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            following.after_look += [
                fill_and_copy,
                lambda: append(log, late),
                lambda: None,
                lambda: log.write_bytes(lines("new", 3)),
            ]
            assert await following.counted() == 40 + 3
        assert following.tally.lost["truncated"] == len(late)

    with patch.object(files, "TURN_BYTES", len(lines("backlog", 5))):
        asyncio.run(follow())


@pytest.mark.parametrize("has_copy", [False, True], ids=["no copy", "copy"])
@pytest.mark.parametrize(
    ("pattern", "is_blocked"),
    [("falco.log", False), ("falco.log*", False), ("falco.log", True)],  # a file waits for older ones of its path
)
def test_what_was_seen_and_emptied_before_any_of_it_was_read_is_told_unless_a_copy_has_it(
    tmp_path: Path, pattern: str, *, has_copy: bool, is_blocked: bool
) -> None:
    """Nothing but its size and time tells such a copy, for none of its lines was read; the new lines count."""
    log, older = tmp_path / "falco.log", lines("older", 40) if is_blocked else b""
    backlog = lines("backlog", 12)
    log.touch()

    def write() -> None:
        append(log, older)
        os.utime(log, (0, 0))
        log.rename(tmp_path / "falco.log.1")
        append(log, backlog[: len(backlog) // 2])
        if not is_blocked:
            write_more()

    def write_more() -> None:
        append(log, backlog[len(backlog) // 2 :])

    def write_anew() -> None:
        if has_copy:
            (tmp_path / "falco.log.1").rename(tmp_path / "falco.log.2")
            shutil.copyfile(log, tmp_path / "falco.log.1")
        log.write_bytes(lines("new", 4))

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / pattern):
            following.after_look += [write, *[write_more] * is_blocked, write_anew]
            following.after_look += [lambda: None] * 20
            assert await following.counted() == 40 * is_blocked + 12 * has_copy + 4
            following.after_look += [lambda: None, lambda: log.write_bytes(lines("last", 3))]
            assert await following.counted() == 40 * is_blocked + 12 * has_copy + 4 + 3
        assert following.tally.lost["truncated"] == (0 if has_copy else len(backlog))
        assert following.tally.rotations["truncate"] == 2

    with patch.object(files, "TURN_BYTES", len(lines("older", 5))):
        asyncio.run(follow())


def test_what_was_emptied_before_any_of_it_was_read_is_told_though_it_is_longer_at_the_next_look(
    tmp_path: Path,
) -> None:
    """The read found nothing there."""
    log, read = tmp_path / "falco.log", read_at_hand
    log.touch()

    def read_and_write_anew(*arguments: Any) -> int:
        count = read(*arguments)
        if is_emptied and not log.stat().st_size:
            append(log, lines("new", 20))
        return count

    def empty() -> None:
        is_emptied.append(True)
        os.truncate(log, 0)

    async def follow() -> None:
        following = Following()
        async with following.run(log):
            append(log, lines("before", 5))
            assert await following.counted() == 5
            os.truncate(log, 0)
            assert await following.counted() == 5
            following.after_look += [lambda: append(log, lines("backlog", 12)), empty]
            assert await following.counted() == 5 + 20
        assert following.tally.lost["truncated"] == len(lines("backlog", 12))
        assert following.tally.rotations["truncate"] == 2

    is_emptied: list[bool] = []
    with patch.object(os, "preadv", read_and_write_anew):
        asyncio.run(follow())


def test_a_rotation_within_a_glob_counts_though_its_name_was_free_for_a_while(tmp_path: Path) -> None:
    """What was read there is known, too."""
    log = tmp_path / "falco.log"
    log.touch()

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / "falco.log*"):
            append(log, lines("before", 5))
            assert await following.counted() == 5
            log.rename(tmp_path / "falco.log.1")
            assert await following.counted() == 5
            append(log, lines("after", 3))
            assert await following.counted() == 8
        assert following.tally.rotations["rename"] == 1

    asyncio.run(follow())


def test_what_a_copy_has_more_than_its_original_is_read_once_that_was_delivered(tmp_path: Path) -> None:
    """Though neither grows any more."""
    log = tmp_path / "falco.log"
    log.touch()

    def fill() -> None:
        append(log, lines("both", 12))
        append(tmp_path / "falco.log.1", lines("both", 12) + lines("more", 7))

    async def follow() -> None:
        following = Following(after_look=[fill])
        async with following.run(log):
            assert await following.counted() == 12 + 7

    with patch.object(files, "TURN_BYTES", len(lines("both", 5))):
        asyncio.run(follow())


@pytest.mark.parametrize("pattern", ["falco.log", "falco.log*"])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_copy_that_is_renamed_while_it_is_looked_for_is_found(tmp_path: Path, number: int, pattern: str) -> None:
    """Before whichever call: it has one name in the listing, and another when it is opened."""
    log, copy = tmp_path / "falco.log", tmp_path / "falco.log.1"
    log.touch()
    loop, calls = Loop(), itertools.count(1)

    def rename() -> None:
        if next(calls) == number:
            copy.rename(tmp_path / "falco.log.2")

    def rotate() -> None:
        shutil.copyfile(log, copy)
        os.truncate(log, 0)
        loop.before_call = rename

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / pattern):
            following.after_look += [lambda: append(log, lines("backlog", 30)), lambda: None, rotate]
            assert await following.counted() == 30
        assert not sum(following.tally.lost.values())

    turn = patch.object(files, "TURN_BYTES", len(lines("backlog", 5)))
    with turn, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(follow())


@pytest.mark.parametrize("number", range(1, 6))
def test_a_file_that_is_copied_and_truncated_while_it_is_looked_for_at_a_restart_is_read_on(
    tmp_path: Path, number: int
) -> None:
    """Before whichever call: the copy is not in the listing that led to the file."""
    log = tmp_path / "falco.log"
    append(log, lines("old", 5))
    loop, calls = Loop(), itertools.count(1)

    def rotate() -> None:
        if next(calls) == number:
            shutil.copyfile(log, tmp_path / "falco.log.1")
            os.truncate(log, 0)

    async def follow() -> None:
        async with Following().run(log) as before:
            state = before.paths.dump()
        append(log, lines("unread", 7))
        seen = [replace(mark, size_bytes=log.stat().st_size) for mark in state.files]  # but not read yet
        following = Following()
        loop.before_call = rotate
        async with following.run(log, state=replace(state, files=seen)):
            assert await following.counted() == 7
        assert not sum(following.tally.lost.values())

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(follow())


def test_what_is_written_to_a_new_file_before_it_is_watched_is_read_at_once(tmp_path: Path) -> None:
    """It was empty when it was opened, and the kernel told nobody of what came then."""
    log = tmp_path / "falco.log"

    async def follow() -> None:
        following = Following()
        async with following.run(tmp_path / "*.log", poll_seconds=60), asyncio.timeout(5):
            following.looked.clear()
            await following.looked.wait()  # the look that follows the first one at once
            following.after_look = [lambda: append(log, lines("early", 5))]
            log.touch()
            assert await following.has_counted(5)
            append(log, lines("later", 3))
            assert await following.has_counted(8)

    asyncio.run(follow())


def test_a_file_that_goes_on_behind_what_others_delivered_keeps_no_copy_waiting(tmp_path: Path) -> None:
    """The copy has less, and all of it was delivered; what either has more from then on counts."""
    log, copy = tmp_path / "falco.log", tmp_path / "falco.log.1"
    append(log, lines("both", 5))
    append(copy, lines("both", 4))

    def place(count: int) -> Place:
        read = lines("both", count)
        return len(read), anchor_of(read)

    def mark(of: Path, count: int) -> FileMark:
        facts = facts_of(of.stat())
        return FileMark(
            path=os.fsencode(log),
            device=facts.device,
            inode=facts.inode,
            changed_ns=facts.changed_ns,
            place=place(count),
            is_skipping=False,
            is_current=of == log,
            fragments={},
            size_bytes=facts.size_bytes,
        )

    async def follow() -> None:
        following, name = Following(), os.fsencode(log)
        state = PathsState(files=[mark(copy, 1), mark(log, 2)], places=[(name, place(5))], seen_ns={name: 0})
        async with following.run(log, state=state) as source:
            assert await following.counted() == 0
            assert not any(file.waiting for followed in source.paths for file in followed.files)
            append(log, lines("log", 3))
            append(copy, lines("copy", 4))
            assert await following.counted() == 3 + 4
        assert not following.tally.rotations["truncate"]

    asyncio.run(follow())

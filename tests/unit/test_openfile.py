"""An open file that changes while it is being read: what a look saw may be gone when the read comes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from e2e.harness import append, read_at_hand
from falco_enrichment_exporter.core.alerts import Limits
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.rotation import Change, compare
from falco_enrichment_exporter.sources.copies import Kin
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.looking import Patterns
from falco_enrichment_exporter.sources.marks import ANCHOR_BYTES, NO_ANCHOR, anchor_of
from falco_enrichment_exporter.sources.openfile import END_BYTES, MOST_END_BYTES, PAUSE_BYTES, OpenFile
from falco_enrichment_exporter.sources.paths import LINGER_SECONDS, FollowedPaths
from falco_enrichment_exporter.sources.reading import facts_of
from falco_enrichment_exporter.sources.shelf import Shelf
from snapshots import make_fleet

LIMIT_BYTES = 1 << 20


def _lines(kind: str, count: int) -> bytes:
    return b"".join(b"Falco says %s %06d\n" % (kind.encode(), number) for number in range(count))


async def _read(file: OpenFile, buffer: LineBuffer, most_bytes: int) -> int:
    return sum([new_bytes async for new_bytes in file.read(buffer, most_bytes)])


class Reader:
    """A file as the follow loop holds it: looked at, then read, with the world going on in between."""

    def __init__(self, path: Path, file: OpenFile) -> None:
        self.file = file
        self._path = path
        self._buffer = LineBuffer(LIMIT_BYTES)

    def look(self) -> Change:
        found = facts_of(self._path.stat())
        change = compare(self.file.facts, self.file.read_to_bytes, found)
        if not self.file.is_doubtful:
            self.file.sound = self.file.facts
        self.file.facts, self.file.is_doubtful = found, True
        return change

    async def read(self) -> int:
        return await _read(self.file, self._buffer, LIMIT_BYTES)


@contextlib.asynccontextmanager
async def _emptied_after_the_look(path: Path) -> AsyncIterator[Reader]:
    """Read forty lines, look at twelve more, and have the file emptied before they are read."""
    append(path, _lines("before", 40))
    fleet = Fleet(default_hostname="h", thread_table_size=1, limits=Limits(max_hosts=9, max_rules=9))
    shelf = Shelf(fleet, LIMIT_BYTES)
    reader = Reader(path, await shelf.open(str(path)))
    await reader.read()
    append(path, _lines("backlog", 12))
    reader.look()
    assert not await reader.file.is_rewritten()
    os.truncate(path, 0)
    yield reader
    await shelf.close(reader.file)


def test_lines_written_after_a_truncation_that_no_look_saw_are_not_read_twice(tmp_path: Path) -> None:
    """They are read once the file is begun anew; the next look must not take them for what was truncated."""

    async def follow() -> None:
        path = tmp_path / "falco.log"
        async with _emptied_after_the_look(path) as reader:
            append(path, _lines("after", 8))
            assert await reader.file.is_rewritten()
            reader.file.start_at(0)
            reader.file.forget_size()
            assert await reader.read() == len(_lines("after", 8))
            assert not await reader.file.is_rewritten()
            assert reader.look() is Change.SAME

    asyncio.run(follow())


def test_an_emptied_file_is_noticed_by_the_read_that_finds_nothing(tmp_path: Path) -> None:
    """What the look saw and the read did not get is known to be missing, with its size."""

    async def follow() -> None:
        async with _emptied_after_the_look(tmp_path / "falco.log") as reader:
            assert await reader.read() == 0
            assert reader.file.has_more
            assert await reader.file.is_rewritten()
            assert reader.file.sound.size_bytes - reader.file.offset_bytes == len(_lines("backlog", 12))

    asyncio.run(follow())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@contextlib.asynccontextmanager
async def _open(path: Path, content: bytes) -> AsyncIterator[OpenFile]:
    _write(path, content)
    fleet = Fleet(default_hostname="h", thread_table_size=1, limits=Limits(max_hosts=9, max_rules=9))
    shelf = Shelf(fleet, LIMIT_BYTES)
    file = await shelf.open(str(path))
    yield file
    await shelf.close(file)


def test_a_place_is_known_by_what_stands_before_it(tmp_path: Path) -> None:
    """One behind the end of a file is none of its, though nothing is known of what stood there."""
    content = _lines("some", 100)

    async def ask() -> None:
        async with _open(tmp_path / "falco.log", content) as file:
            assert await file.has_place((2000, anchor_of(content[:2000])))
            assert not await file.has_place((2000, anchor_of(content[:1999])))
            assert not await file.has_place((2000, anchor_of(content[:1000] + content[1001:2001])))
            assert not await file.has_place((2000, anchor_of(content[:990] + b"x" + content[991:2000])))
            assert await file.has_place((len(content), NO_ANCHOR))
            assert not await file.has_place((len(content) + 1, NO_ANCHOR))

    asyncio.run(ask())


def test_the_end_of_a_file_is_a_place_if_enough_stands_before_it(tmp_path: Path) -> None:
    """Unless that is the whole file; what is unfinished behind it does not matter."""
    whole = _lines("some", 400)

    async def ask() -> None:
        for content, end in (
            (b"", None),
            (b"unfinished", None),
            (b"x\nunfinished", 2),
            (whole + b"unfinished", len(whole)),
            (whole + b"x" * END_BYTES, len(whole)),
            (whole + b"x" * (MOST_END_BYTES - 1024), len(whole)),
            (whole + b"x" * (MOST_END_BYTES - 1023), None),
            (whole + b"x" * MOST_END_BYTES, None),
        ):
            async with _open(tmp_path / "falco.log", content) as file:
                place = await file.end_place()
                assert place == ((end, anchor_of(content[:end])) if end is not None else None)

    asyncio.run(ask())


def test_a_long_read_lets_others_in_between_and_ends_where_it_was_told_to(tmp_path: Path) -> None:
    """Though all of it is at hand."""
    content = _lines("some", 4 * PAUSE_BYTES // 20)
    most_bytes = 3 * PAUSE_BYTES + 7

    async def follow() -> None:
        async with _open(tmp_path / "falco.log", content) as file:
            others = [asyncio.create_task(asyncio.sleep(0))]
            assert await _read(file, LineBuffer(LIMIT_BYTES), most_bytes) == most_bytes
            assert others[0].done()
            assert file.read_to_bytes == most_bytes
            assert file.offset_bytes == content.rindex(b"\n", 0, most_bytes) + 1
            assert file.has_more

    asyncio.run(follow())


def test_the_place_after_a_line_that_is_too_long_is_one_of_the_file(tmp_path: Path) -> None:
    """What was dropped of it stands between the last line and the place."""
    whole = _lines("some", 20)

    async def follow() -> None:
        async with _open(tmp_path / "falco.log", whole + b"x" * 1500) as file:
            buffer = LineBuffer(1000, len(whole) + 2000)
            await _read(file, buffer, len(whole))
            await _read(file, buffer, LIMIT_BYTES)
            assert file.is_skipping
            assert file.offset_bytes == len(whole) + 1500
            assert not await file.is_rewritten()

    asyncio.run(follow())


@pytest.mark.parametrize("seen_bytes", [10, 8800])
@pytest.mark.parametrize("piece", [0, 1, 2])
def test_what_was_written_anew_during_a_read_is_not_taken_for_what_goes_on(
    tmp_path: Path, piece: int, seen_bytes: int
) -> None:
    """Though it is longer, and however much of it a look had seen.

    The lines before it count, and it itself from its start, once the file is begun anew.
    """
    path, pieces, read = tmp_path / "falco.log", iter(range(9)), read_at_hand
    old, new = _lines("old", 400), _lines("new", 500)
    most_bytes = len(old) // 4 + 3

    def read_and_write_anew(descriptor: int, buffers: list[memoryview], position: int, *flags: int) -> int:
        count = read(descriptor, buffers, position, *flags)
        if len(buffers[0]) > ANCHOR_BYTES and next(pieces) == piece:
            path.write_bytes(new)
            count = read(descriptor, buffers, position, *flags) if position else count
        return count

    async def follow() -> None:
        async with _open(path, old) as file:
            file.facts = replace(file.facts, size_bytes=seen_bytes)
            with patch.object(os, "preadv", read_and_write_anew):
                read_bytes = [count async for count in file.read(LineBuffer(LIMIT_BYTES, most_bytes), len(old))]
            assert len(read_bytes) == piece
            assert file.offset_bytes == old.rfind(b"\n", 0, sum(read_bytes)) + 1
            assert file.is_doubtful
            assert file.sound.size_bytes == max(seen_bytes, sum(read_bytes))
            assert await file.is_rewritten()
            file.start_at(0)
            file.forget_size()
            assert await _read(file, LineBuffer(LIMIT_BYTES), LIMIT_BYTES) == len(new)

    with patch.object(os, "preadv", read_at_hand):
        asyncio.run(follow())


def test_a_file_that_is_gone_on_with_must_have_what_stood_before_the_place_when_it_is_read(tmp_path: Path) -> None:
    """It may have been written anew since the place was found in it."""
    path, old = tmp_path / "falco.log", _lines("old", 40)

    async def follow() -> None:
        async with _open(path, old) as file:
            await _read(file, LineBuffer(LIMIT_BYTES), len(old) // 2)
            place = file.place
            rest = await _read(file, LineBuffer(LIMIT_BYTES), LIMIT_BYTES)
            file.start_at(*place)
            assert await _read(file, LineBuffer(LIMIT_BYTES), LIMIT_BYTES) == rest
            file.start_at(*place)
            path.write_bytes(_lines("new", 50))
            assert await _read(file, LineBuffer(LIMIT_BYTES), LIMIT_BYTES) == 0
            assert file.is_doubtful

    asyncio.run(follow())


def test_a_look_that_may_be_at_something_new_is_not_what_is_stored_or_searched_by(tmp_path: Path) -> None:
    """A copy of what was read is older than what was written anew."""
    path = tmp_path / "falco.log"

    async def follow() -> None:
        async with _open(path, _lines("old", 40)) as file:
            reader = Reader(path, file)
            await reader.read()
            reader.look()
            assert not await file.is_rewritten()
            read = file.facts
            path.write_bytes(_lines("new", 90))
            os.utime(path, ns=(read.changed_ns + 10**9, read.changed_ns + 10**9))
            for _ in range(2):
                reader.look()
                followed = FollowedPath(str(path), current=file)
                followed.note_seen()
                mark = followed.mark(file)
                assert (mark.size_bytes, mark.changed_ns) == (read.size_bytes, read.changed_ns)
                assert followed.seen_ns == read.changed_ns
            assert file.facts.size_bytes == len(_lines("new", 90))

    asyncio.run(follow())


def test_a_copy_that_is_closed_is_no_copy_of_its_original_any_more(tmp_path: Path) -> None:
    """Or every copy of a file that stays would be held for ever."""

    async def follow() -> None:
        shelf = Shelf(make_fleet(), LIMIT_BYTES)
        for name in ("falco.log", "falco.log.1"):
            (tmp_path / name).write_bytes(_lines("some", 40))
        original = await shelf.open(str(tmp_path / "falco.log"))
        copy = await shelf.open(str(tmp_path / "falco.log.1"), Kin([original]))
        assert original.copies == [copy]
        await shelf.close(copy)
        assert original.copies == []
        await shelf.close(original)

    asyncio.run(follow())


def test_a_file_that_cannot_be_looked_at_has_nothing_of_another_one(tmp_path: Path) -> None:
    """Nor is it known to be shorter; what is wrong with it shows when it is read."""

    async def ask() -> None:
        shelf = Shelf(make_fleet(), LIMIT_BYTES)
        paths = FollowedPaths(shelf, 9, lambda _: False)
        for name in ("falco.log", "falco.log.1"):
            (tmp_path / name).write_bytes(_lines("some", 40))
        file = await shelf.open(str(tmp_path / "falco.log"))
        other = await shelf.open(str(tmp_path / "falco.log.1"))
        followed = paths[str(tmp_path / "falco.log")]
        followed.left += [file, other]
        assert await paths.kept_bytes(file, followed) == other.facts.size_bytes
        assert other.is_shorter_than(other.facts.size_bytes + 1)
        await shelf.close(other)
        assert not await paths.kept_bytes(file, followed)
        assert not other.is_shorter_than(other.facts.size_bytes + 1)
        await shelf.close(file)

    asyncio.run(ask())


def test_a_rotated_file_that_has_grown_is_not_closed_for_another(tmp_path: Path) -> None:
    """Though no look has seen it yet: nothing would lead to it again."""
    path = tmp_path / "falco.log"
    path.touch()

    async def ask() -> None:
        shelf = Shelf(make_fleet(), LIMIT_BYTES)
        paths = FollowedPaths(shelf, 1, lambda _: False)
        followed = paths[str(path)]
        followed.left.append(await shelf.open(str(path)))
        path.write_bytes(b"late\n")
        with pytest.raises(OSError, match="Too many open files"):
            await paths.make_room()
        path.write_bytes(b"")
        await paths.make_room()
        assert not followed.left

    asyncio.run(ask())


def test_a_path_of_a_glob_is_known_while_what_was_rotated_from_there_is_followed() -> None:
    """It comes back as it was, with all that was read there; once nothing of its kind is left, nothing is kept."""
    log, rotated, patterns = "/logs/falco.log", "/logs/falco.log.1", Patterns(["/logs/falco.log*"])
    paths = FollowedPaths(Shelf(make_fleet(), LIMIT_BYTES), 9, lambda _: False)
    base, place = paths[log], (2, anchor_of(b"x\n"))
    paths[rotated].places.append(place)
    base.gone_at, later = 0, LINGER_SECONDS + 1
    paths.forget_gone(patterns, LINGER_SECONDS)  # what was rotated from there may not be open yet
    assert [followed.path for followed in paths] == [log, rotated]
    paths.forget_gone(patterns, later)
    assert [followed.path for followed in paths] == [rotated]
    assert paths.named(log) is base
    assert paths[log] is base

    base.gone_at, paths[rotated].gone_at = None, 0
    paths.forget_gone(patterns, later)
    assert paths.named(rotated) is None
    assert list(base.places) == [place]
    base.gone_at = 0
    paths.forget_gone(patterns, later)
    assert paths.named(log) is None
    assert not paths.folders()


def test_bytes_beyond_the_end_are_left_out(tmp_path: Path) -> None:
    """A file may have become shorter since its size was asked for."""

    async def ask() -> None:
        async with _open(tmp_path / "falco.log", b"12345\n") as file:
            assert await file.bytes_at(2, 100) == b"345\n"

    asyncio.run(ask())

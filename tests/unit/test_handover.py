"""Copies in the making, step by step: each line is delivered by one file, and the others are told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.harness import append
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.copies import Kin
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.handover import Handover
from falco_enrichment_exporter.sources.looking import Patterns
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.paths import FollowedPaths
from falco_enrichment_exporter.sources.rotated import RotatedFiles
from falco_enrichment_exporter.sources.shelf import Shelf
from snapshots import make_fleet

LIMIT_BYTES = 1 << 20


def _lines(kind: str, count: int) -> bytes:
    return b"".join(b"Falco says %s %06d\n" % (kind.encode(), number) for number in range(count))


@dataclass
class Scene:
    """A log that is held open and not read, and a copy of its first half."""

    log: Path
    whole: bytes
    paths: FollowedPaths
    shelf: Shelf
    handover: Handover
    followed: FollowedPath
    original: OpenFile
    copy: OpenFile

    async def read(self, file: OpenFile) -> int:
        """Read all of a file, and tell its copies."""
        count = sum([new_bytes async for new_bytes in file.read(LineBuffer(LIMIT_BYTES), LIMIT_BYTES)])
        await self.handover.note_read(self.followed, file)
        return count

    async def may_read(self, file: OpenFile) -> bool:
        """Have a file asked, of which no look has seen what it is by now."""
        self.paths.grown[file] = self.followed
        return await self.handover.may_read(self.followed, file)


def _play(tmp_path: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        log = tmp_path / "falco.log"
        fleet, tally, whole = make_fleet(), Tally(), _lines("something", 40)
        append(log, whole)
        append(log.with_name("falco.log.2"), whole[: len(whole) // 2])
        shelf = Shelf(fleet, LIMIT_BYTES)
        paths = FollowedPaths(shelf, 9, lambda _: False)
        rotated = RotatedFiles(paths, shelf, Patterns([str(log)]))
        handover = Handover(paths, shelf, rotated, tally, lambda _: asyncio.sleep(0))
        followed = paths[str(log)]
        original = await shelf.open(str(log))
        paths.place(followed, original)
        copy = await shelf.open(str(log.with_name("falco.log.2")), Kin([original]))
        followed.left.append(copy)
        assert copy.copy_of is original
        await act(Scene(log, whole, paths, shelf, handover, followed, original, copy))
        assert not sum(tally.lost.values())
        assert not sum(tally.rotations.values())
        await paths.close()

    asyncio.run(run())


def test_a_copy_of_a_copy_in_the_making_is_told_what_the_original_of_both_delivers(tmp_path: Path) -> None:
    """Or it would wait for ever, and be held open for as long."""

    async def act(scene: Scene) -> None:
        append(scene.log.with_name("falco.log.2"), scene.whole[len(scene.whole) // 2 :])
        append(scene.log.with_name("falco.log.1"), scene.whole)
        copy_of_copy = await scene.shelf.open(
            str(scene.log.with_name("falco.log.1")), Kin([scene.copy, scene.original])
        )
        scene.followed.left.append(copy_of_copy)
        assert copy_of_copy.copy_of is scene.copy

        assert not await scene.may_read(scene.copy)
        assert scene.copy.offset_bytes == scene.copy.read_to_bytes == len(scene.whole)
        assert scene.copy.is_waiting
        assert await scene.read(scene.original) == len(scene.whole)
        assert not scene.copy.is_waiting
        assert not copy_of_copy.is_waiting

    _play(tmp_path, act)


def test_what_a_copy_has_of_its_own_is_read_once_its_original_has_delivered_the_rest(tmp_path: Path) -> None:
    """Though it came while the copy waited, and was passed over then."""

    async def act(scene: Scene) -> None:
        own = _lines("own", 3)
        append(scene.log.with_name("falco.log.2"), scene.whole[len(scene.whole) // 2 :], own)
        scene.copy.facts = scene.copy.facts_now
        assert not await scene.may_read(scene.copy)
        assert not scene.copy.has_more
        assert await scene.read(scene.original) == len(scene.whole)
        assert scene.copy.has_more
        assert scene.copy in scene.paths.grown
        assert await scene.may_read(scene.copy)
        assert await scene.read(scene.copy) == len(own)

    _play(tmp_path, act)

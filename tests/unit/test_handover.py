"""Copies of copies: each line is delivered by one file, and the others are told."""

import asyncio
from pathlib import Path

from e2e.harness import append
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.copies import Kin
from falco_enrichment_exporter.sources.handover import Handover
from falco_enrichment_exporter.sources.looking import Patterns
from falco_enrichment_exporter.sources.paths import FollowedPaths
from falco_enrichment_exporter.sources.rotated import RotatedFiles
from falco_enrichment_exporter.sources.shelf import Shelf
from snapshots import make_fleet

LIMIT_BYTES = 1 << 20


def test_a_copy_of_a_copy_in_the_making_is_told_what_the_original_of_both_delivers(tmp_path: Path) -> None:
    """Or it would wait for ever, and be held open for as long."""
    log, first, second = (tmp_path / name for name in ("falco.log", "falco.log.2", "falco.log.1"))
    whole = b"".join(b"Falco says something %06d\n" % number for number in range(40))
    half = whole[: len(whole) // 2]

    async def follow() -> None:
        fleet, tally = make_fleet(), Tally()
        shelf = Shelf(fleet, LIMIT_BYTES)
        paths = FollowedPaths(shelf, 9, lambda _: False)
        rotated = RotatedFiles(paths, shelf, Patterns([str(log)]))
        handover = Handover(paths, shelf, rotated, tally, lambda _: asyncio.sleep(0))
        followed = paths[str(log)]
        append(log, whole)
        paths.place(followed, await shelf.open(str(log)))
        original = followed.files[-1]
        append(first, half)
        copy = await shelf.open(str(first), Kin([original]))
        append(first, whole[len(half) :])
        append(second, whole)
        copy_of_copy = await shelf.open(str(second), Kin([copy, original]))
        followed.left += [copy, copy_of_copy]
        assert (copy.copy_of, copy_of_copy.copy_of) == (original, copy)

        paths.grown[copy] = followed  # what a look would do; none has seen yet that it is longer
        assert not await handover.may_read(followed, copy)
        assert copy.offset_bytes == copy.read_to_bytes == len(whole)
        assert copy.is_waiting
        async for _ in original.read(LineBuffer(LIMIT_BYTES), len(whole)):
            pass
        await handover.note_read(followed, original)
        assert not copy.is_waiting
        assert not copy_of_copy.is_waiting
        assert fleet.lines["other"] == 40
        assert not sum(tally.lost.values())
        await paths.close()

    asyncio.run(follow())

"""The start without history: what a search finds in many turns tells what it would have told in one."""

import asyncio
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.backwards import SNAPSHOTS_KEPT
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import decode
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.sources import warm
from falco_enrichment_exporter.sources.shelf import Shelf
from snapshots import make_fields, make_fleet, make_line, make_snapshot

LIMIT_BYTES = 1 << 20
Row = tuple[str, str, int]
"""Host, source, minute."""


def line_of(row: Row) -> bytes:
    """Return the line of a snapshot; every counter depends on its minute."""
    host, source, minute = row
    return make_line(make_fields(minute * 60, scap__n_evts=minute**2, evt__source=source, evt__hostname=host), host)


def forwards(rows: list[Row]) -> Fleet:
    """Fold the newest snapshots of every host and source, oldest first."""
    fleet = make_fleet()
    for host, source, minute in sorted(set(rows), key=lambda row: row[2]):
        later = {row for row in rows if row[:2] == (host, source) and row[2] > minute}
        if len(later) < SNAPSHOTS_KEPT:
            fleet.fold(decode(line_of((host, source, minute))))
    return fleet


async def searched(fleet: Fleet, folder: Path, files: list[list[Row]], turns: int | None = None) -> warm.WarmSearch:
    """Search files in which these lines stand, a block a turn."""
    shelf = Shelf(fleet, LIMIT_BYTES)
    search = warm.WarmSearch(fleet, LIMIT_BYTES)
    opened = []
    for number, rows in enumerate(files):
        path = folder / f"{number}.jsonl"
        path.write_bytes(b"".join(line_of(row) + b"\n" for row in rows))
        file = await shelf.open(str(path))
        opened.append(file)
        await search.add(file, path.stat().st_size)
    with patch.object(warm, "TURN_SECONDS", 0):
        while await search.run() and turns != 1:
            turns = turns and turns - 1
    for file in opened:
        await shelf.close(file)
    return search


def tracks(fleet: Fleet) -> dict[tuple[str, str], Track]:
    """Return what is known of each host and source."""
    return {(host, source): track for host, sources in fleet.hosts.items() for source, track in sources.items()}


rows = st.tuples(st.sampled_from("abc"), st.sampled_from(["syscall", "k8s_audit"]), st.integers(1, 20))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(rows, max_size=25, unique=True), min_size=1, max_size=3).map(
        lambda files: [sorted(rows, key=lambda row: row[2]) for rows in files]
    ),
    st.integers(300, 6000),
)
def test_snapshots_found_in_many_turns_tell_what_they_tell_together(files: list[list[Row]], block_bytes: int) -> None:
    """Counters, intervals, restarts and history, whatever the border of a turn cuts apart."""
    fleet = make_fleet()
    with tempfile.TemporaryDirectory() as folder, patch.object(warm, "BLOCK_BYTES", block_bytes):
        asyncio.run(searched(fleet, Path(folder), files))

    expected = tracks(forwards([row for rows in files for row in rows]))
    found = tracks(fleet)
    assert found.keys() == expected.keys()
    for key, track in expected.items():
        assert found[key].fields == track.fields
        assert found[key].life.at_ns == track.life.at_ns
        assert found[key].life.intervals == track.life.intervals
        assert found[key].life.gaps == track.life.gaps
        newest = len(track.history)
        assert found[key].history[-newest:] == track.history or not newest


def test_a_snapshot_that_was_written_meanwhile_stays_the_newest(tmp_path: Path) -> None:
    """What the search finds later does not take a host back to what it was."""

    async def search() -> Fleet:
        fleet = make_fleet()
        shelf = Shelf(fleet, LIMIT_BYTES)
        path = tmp_path / "falco.log"
        path.write_bytes(b"".join(line_of(("node", "syscall", minute)) + b"\n" for minute in range(1, 5)))
        file = await shelf.open(str(path))
        search = warm.WarmSearch(fleet, LIMIT_BYTES)
        await search.add(file, path.stat().st_size)
        assert await search.run()
        fleet.fold(make_snapshot(at=600, scap__n_evts=1000))
        while await search.run():
            pass
        await shelf.close(file)
        return fleet

    with patch.object(warm, "TURN_SECONDS", 0), patch.object(warm, "BLOCK_BYTES", 400):
        fleet = asyncio.run(search())
    assert fleet.hosts["node"]["syscall"].life.at_ns == make_snapshot(at=600).at_ns  # type: ignore[union-attr]
    assert fleet.lines["snapshot"] == 5

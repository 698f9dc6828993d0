"""An open file that changes while it is being read: what a look saw may be gone when the read comes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from e2e.harness import append
from falco_enrichment_exporter.core.alerts import Limits
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.rotation import Change, compare
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.reading import facts_of
from falco_enrichment_exporter.sources.shelf import Shelf

LIMIT_BYTES = 1 << 20


def _lines(kind: str, count: int) -> bytes:
    return b"".join(b"Falco says %s %06d\n" % (kind.encode(), number) for number in range(count))


class Reader:
    """A file as the follow loop holds it: looked at, then read, with the world going on in between."""

    def __init__(self, path: Path, file: OpenFile) -> None:
        self.file = file
        self._path = path
        self._buffer = LineBuffer(LIMIT_BYTES)

    def look(self) -> Change:
        found = facts_of(self._path.stat())
        change = compare(self.file.facts, self.file.read_to_bytes, found)
        self.file.facts, self.file.is_doubtful = found, True
        return change

    async def read(self) -> int:
        return await self.file.read(self._buffer, LIMIT_BYTES)


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
            assert reader.file.sound_bytes - reader.file.offset_bytes == len(_lines("backlog", 12))

    asyncio.run(follow())

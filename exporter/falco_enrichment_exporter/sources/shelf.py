"""Find and open the files of a path, each where reading it goes on.

A file is known by its inode, a copy of it (copytruncate, gzip) by what stands before a place that was reached: a
*place* is an offset with a digest of the bytes before it. Files under rotated names are looked for when the file under
the path has become another one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.sources.follower import NO_ANCHOR, FileMark, Identity, OpenFile, Place
from falco_enrichment_exporter.sources.looking import is_rotated_name, siblings
from falco_enrichment_exporter.sources.reading import PACKED, PackedBytes, open_bytes

PLACES_KEPT = 64

_log = logging.getLogger(__name__)


class Shelf:
    """Open files at their places; ``places`` are how far files were read that are truncated or closed since."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.places: deque[Place] = deque(maxlen=PLACES_KEPT)
        self.open_files = 0
        self._fleet = fleet
        self._limit_bytes = limit_bytes

    async def open(self, path: str, held: Iterable[Place] = ()) -> OpenFile:
        """Open a file; if it is a copy of one that was read, it goes on where that was left. Raises OSError."""
        content, facts = await open_bytes(path)
        self.open_files += 1
        file = OpenFile(content, facts, Intake(self._fleet, self._limit_bytes))
        for place in sorted({*self.places, *held}, reverse=True):
            if place[0] and place[1] != NO_ANCHOR and await file.has_place(place):
                file.start_at(*place)
                break
        return file

    async def close(self, file: OpenFile) -> None:
        """Close a file."""
        self.open_files -= 1
        await file.bytes.close()

    async def open_marked(self, path: str, mark: FileMark) -> OpenFile | None:
        """Open the file of a mark, wherever it is now, or a copy of it; None if it is gone or was rewritten."""
        found = await asyncio.to_thread(siblings, path)
        own = [name for name, facts in found if (facts.device, facts.inode) == (mark.device, mark.inode)]
        copies = [
            name
            for name, facts in found
            if name not in own and facts.changed_ns >= mark.changed_ns and is_rotated_name(name, path)
        ]
        for name in [*own, *(copies if mark.place[1] != NO_ANCHOR else ())]:
            file = await self._open_or_none(name)
            if file is not None and await file.has_place(mark.place):
                file.start_at(*mark.place, is_skipping=mark.is_skipping)
                file.intake.unwrapper.fragments = mark.fragments
                return file
            if file is not None:
                await self.close(file)
        return None

    async def open_skipped(
        self, path: str, since_ns: int, known: Iterable[Identity], held: Iterable[Place]
    ) -> list[OpenFile]:
        """Open what came and went under a path since a time: siblings by name, written since, the oldest first.

        Not before: files that were written one after the other may have the same time, which goes in steps of some ms.
        """
        identities = set(known)
        found = await asyncio.to_thread(siblings, path)
        names = {name for name, _ in found}
        new = [
            (facts.changed_ns, name)
            for name, facts in found
            if (facts.device, facts.inode) not in identities
            and facts.changed_ns >= since_ns
            and is_rotated_name(name, path)
            and name != path
            and not (name.endswith(PACKED) and name.removesuffix(PACKED) in names)  # it is being packed
        ]
        files = [await self._open_new(name, since_ns, held) for _, name in sorted(new)]
        return [file for file in files if file is not None]

    async def _open_new(self, name: str, since_ns: int, held: Iterable[Place]) -> OpenFile | None:
        file = await self._open_or_none(name, held)
        if file is None:
            return None
        is_known = file.offset_bytes > 0
        if isinstance(file.bytes, PackedBytes) and not is_known and file.bytes.packed_at < since_ns // 10**9:
            await self.close(file)  # an old file that was packed only now
            return None
        return file

    async def _open_or_none(self, name: str, held: Iterable[Place] = ()) -> OpenFile | None:
        if name.endswith((".xz", ".zst", ".bz2")):
            return None
        try:
            return await self.open(name, held)
        except OSError as error:
            _log.warning("rotated file cannot be read", extra={"path": name, "error": error.strerror or str(error)})
            return None

"""Find and open the files of a path, each where reading it goes on.

A file is known by its inode, a copy of it by what stands before a place that was reached. Files under rotated names are
looked for when the file under the path has become another one.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection, Iterable

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.sources.copies import NO_KIN, Kin, is_as_read, leave_to_kin, shared_places
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.looking import Listing, list_files
from falco_enrichment_exporter.sources.marks import NO_ANCHOR, FileMark, Identity, Place, identity_of
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.reading import PackedBytes, open_bytes

MOST_LISTINGS = 10  # while files are renamed
NOT_READ = (".xz", ".zst", ".bz2", ".tmp", ".new", "~")

_log = logging.getLogger(__name__)


class Shelf:
    """Open files at their places, and count how many are open."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.open_files = 0
        self._fleet = fleet
        self._limit_bytes = limit_bytes

    async def open(self, path: str, kin: Kin = NO_KIN) -> OpenFile:
        """Open a file; if it is a copy of one that is or was read, its lines count once only. Raises OSError."""
        content, facts = await open_bytes(path)
        self.open_files += 1
        file = OpenFile(content, facts, Intake(self._fleet, self._limit_bytes))
        async with self._closed_on_error(file):
            await self.pass_known(file, kin)
        return file

    @contextlib.asynccontextmanager
    async def _closed_on_error(self, file: OpenFile) -> AsyncIterator[None]:
        """Close a file that could be opened and cannot be read."""
        try:
            yield
        except OSError:
            await self.close(file)
            raise

    async def pass_known(self, file: OpenFile, kin: Kin) -> None:
        """Go on behind the lines that the file's kin have, too. Raises OSError."""
        if not file.facts.size_bytes:
            return
        own_end = await file.end_place()
        parked = [place for mark in kin.parked for place in await self._shared_with_parked(file, own_end, mark)]
        await leave_to_kin(file, own_end, kin.files, [*kin.places, *parked])

    async def _shared_with_parked(self, file: OpenFile, own_end: Place | None, mark: FileMark) -> list[Place]:
        """Return how far a file is the same as a parked one, which may be longer; that one is opened for a moment."""
        with contextlib.suppress(OSError):  # it is parked for want of descriptors
            parked = await self.open(os.fsdecode(mark.path))
            try:
                parked.start_at(*mark.place)
                if parked.identity == identity_of(mark.facts) and await is_as_read(parked):
                    return [min(place, mark.place) for place in await shared_places(file, own_end, parked)]
            finally:
                await self.close(parked)
        return []

    async def close(self, file: OpenFile) -> None:
        """Close a file."""
        self.open_files -= 1
        file.leave_to(None)
        await file.content.close()

    async def open_marked(
        self, near: Collection[FollowedPath], mark: FileMark, held: Collection[Identity]
    ) -> OpenFile | None:
        """Open the file of a mark, wherever it is now, or a copy of it; None if it is gone or was rewritten.

        ``near``: the paths under which it may be, or be rotated from. Raises OSError if it cannot be said.
        """
        own = (mark.device, mark.inode)
        if mark.is_current and own not in held:
            with contextlib.suppress(FileNotFoundError):  # most are where they were, and a folder may hold thousands
                file = await self._open_first([(os.fsdecode(mark.path), own)], mark)
                if file is not None:
                    return file
        folders = {folder for followed in near for folder in followed.folders}
        tried: list[tuple[str, Identity]] | None = None
        for _ in range(MOST_LISTINGS):
            found = await asyncio.to_thread(_list_all, folders)
            listed = [(name, facts) for name, facts in found if identity_of(facts) not in held]
            candidates = _candidates(near, mark, listed)
            if candidates == tried:
                break
            with contextlib.suppress(FileNotFoundError):
                file = await self._open_first(candidates, mark)
                if file is not None:
                    return file
                tried = candidates  # a copy may have been made since, before the file was emptied
        return None

    async def _open_first(self, listed: Iterable[tuple[str, Identity]], mark: FileMark) -> OpenFile | None:
        """Open the first file that has the place of a mark. Raises FileNotFoundError if it was renamed since."""
        for name, identity in listed:
            is_own = identity == (mark.device, mark.inode)
            file = await (self.open(name) if is_own else self._open_or_none(name))
            if file is None:
                continue
            async with self._closed_on_error(file):
                is_it = file.identity == identity and await file.has_place(mark.place)
            if is_it:
                file.start_at(*mark.place, is_skipping=mark.is_skipping)
                file.intake.unwrapper.fragments = mark.fragments
                file.may_be_copy = True  # perhaps it was in the making when we ended
                return file
            await self.close(file)
            if file.identity != identity:
                raise FileNotFoundError
        return None

    async def open_rotated(self, name: str, since_ns: int, kin: Kin) -> OpenFile | None:
        """Open what came and went under a path since the last look; None if it cannot be read or is not so new.

        Raises FileNotFoundError if it is not under this name any more.
        """
        file = await self._open_or_none(name, kin)
        if file is None:
            return None
        is_known = file.offset_bytes > 0
        if isinstance(file.content, PackedBytes) and not is_known and file.content.packed_at < since_ns // 10**9:
            await self.close(file)  # an old file that was packed only now
            return None
        return file

    async def _open_or_none(self, name: str, kin: Kin = NO_KIN) -> OpenFile | None:
        if name.endswith(NOT_READ):
            return None
        try:
            return await self.open(name, kin)
        except FileNotFoundError:
            raise
        except OSError as error:
            _log.warning("rotated file cannot be read", extra={"path": name, "error": error.strerror or str(error)})
            return None


def _candidates(near: Collection[FollowedPath], mark: FileMark, listed: Listing) -> list[tuple[str, Identity]]:
    """Return what may be the file of a mark: that of its inode first, then those that may be a copy."""
    known = (mark.device, mark.inode)
    own = [(name, identity_of(facts)) for name, facts in listed if identity_of(facts) == known]
    copies = [
        (name, identity_of(facts))
        for name, facts in listed
        if identity_of(facts) != known and facts.changed_ns >= mark.changed_ns
        if any(name in followed.names or followed.is_rotated(name) for followed in near)
    ]
    return own + copies if mark.place[1] != NO_ANCHOR else own


def _list_all(folders: Iterable[str]) -> Listing:
    found: Listing = []
    for folder in folders:
        found += list_files(folder)
    return found

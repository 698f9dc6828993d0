"""Open the file that is under a path, or the one of a mark, and decide where reading it begins."""

import os

from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.copies import NO_KIN, kin_of
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.handover import Handover
from falco_enrichment_exporter.sources.marks import NO_ANCHOR, FileMark, Identity, identity_of
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.paths import FollowedPaths
from falco_enrichment_exporter.sources.shelf import Shelf
from falco_enrichment_exporter.sources.warm import WarmSearch


class Opener:
    """Open files at the start, later, and after a restart.

    At a start without history (``is_first``) a file begins at its end, behind what only snapshots are searched in.
    After a restart, or when it was closed for want of descriptors, it is gone on with.
    """

    def __init__(self, paths: FollowedPaths, shelf: Shelf, tally: Tally, warm: WarmSearch, handover: Handover) -> None:
        self.is_first = True
        self._paths = paths
        self._shelf = shelf
        self._tally = tally
        self._warm = warm
        self._handover = handover

    async def open(self, followed: FollowedPath) -> OpenFile | None:
        """Open what is under a path now. Raises OSError.

        None if that is a file which is held already: it was renamed since the look, and the next look will find it.
        """
        await self._paths.make_room()
        kin = NO_KIN if self.is_first else kin_of(self._paths.kin(followed))
        file = await self._shelf.open(followed.path, kin)
        if file.identity in self._paths.known_identities():
            await self._shelf.close(file)
            return None
        if followed.has_had_file:
            self._tally.rotations["rename"] += 1
        elif (old := self._old_part(followed, file)) is not None:
            self._tally.skipped_bytes += old
            await self._warm.add(file, old)
        followed.has_had_file, followed.unreadable = True, None
        return file

    def _old_part(self, followed: FollowedPath, file: OpenFile) -> int | None:
        """Return how much of a file was there at a start without history; None if it is all new."""
        if self.is_first:
            return file.facts.size_bytes
        found = followed.unreadable
        return found.size_bytes if found is not None and identity_of(found) == file.identity else None

    async def open_marked(self, followed: FollowedPath, mark: FileMark) -> OpenFile | None:
        """Open the file of a mark; None if it is open already, or gone: what was not read of it is counted as lost.

        Raises OSError if it cannot be said.
        """
        await self._paths.make_room()
        held = self._paths.identities()
        file = await self._shelf.open_marked([followed], mark, held)
        if file is None and len(near := self._paths.near(followed)) > 1:
            # It was perhaps rotated already, and its copy is named for what it was rotated from.
            file = await self._shelf.open_marked(near, mark, held)
        if file is not None:
            return file
        if await self._is_delivered(followed, mark) or identity_of(mark.facts) in held:
            followed.remember(mark.place)  # for other copies
            return None  # another mark has led to it, or to a copy of it
        unread = max(mark.size_bytes - mark.place[0], 0)
        if identity_under(followed.path) == identity_of(mark.facts):
            self._tally.rotations["truncate"] += 1
            self._tally.lost["truncated"] += unread
            followed.remember(mark.place)
            followed.has_had_file = False  # it is no other file that will be opened
        else:
            self._tally.lost["gone"] += unread
        return None

    async def _is_delivered(self, followed: FollowedPath, mark: FileMark) -> bool:
        """Say whether a resumed file is this one or a copy: it goes on there, behind what was read of either."""
        near = self._paths.near(followed) if mark.place[1] != NO_ANCHOR else ()
        for file, holder in {file: path for path in near for file in path.files}.items():
            if await file.has_place(mark.place):
                if file.offset_bytes < mark.place[0]:
                    file.start_at(*mark.place)
                    await self._handover.note_read(holder, file)
                return True
        return False


def identity_under(path: str) -> Identity | None:
    """Return what is under a path at this moment; None if nothing can be seen there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""Files that came and went under a path between two looks, or were copied from there: found by name and time."""

import asyncio
import os

from falco_enrichment_exporter.sources.copies import kin_of
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.looking import Folders, Listing, Patterns
from falco_enrichment_exporter.sources.marks import Identity, identity_of
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.paths import FollowedPaths
from falco_enrichment_exporter.sources.reading import PACKED
from falco_enrichment_exporter.sources.shelf import MOST_LISTINGS, Shelf


class RotatedFiles:
    """Look for rotated files in the folders of the followed paths, whenever something in them was made or renamed."""

    def __init__(self, paths: FollowedPaths, shelf: Shelf, patterns: Patterns) -> None:
        self._paths = paths
        self._shelf = shelf
        self._patterns = patterns
        self._folders = Folders()
        self.has_more = False  # files that could not be opened yet
        self._is_full = False  # for want of room
        self._old: dict[Identity, str] = {}  # files that were rotated before a start without history, and their folders

    async def pass_over(self) -> None:
        """Leave alone what is there now."""
        found = await asyncio.to_thread(self._folders.list_changed, self._paths.folders())
        strangers = [(name, facts) for name, facts in found if self._paths.named(name) is None]
        self._old = {identity_of(facts): os.path.dirname(name) for name, facts in strangers}

    def list_changed(self) -> Listing:
        """List the files of the folders in which something has happened since the last look. Blocking."""
        if self.has_more:
            self._folders = Folders()
            self.has_more = False
        return self._folders.list_changed(self._paths.folders())

    async def open_new(self, listing: Listing | None = None) -> list[tuple[FollowedPath, OpenFile]]:
        """Open what is new since the last look, as far as there is room."""
        found = self._strangers(await asyncio.to_thread(self.list_changed) if listing is None else listing)
        followed = self._paths if found else ()
        return [(path, file) for path in followed for file in await self._open(path, found)]

    async def open_copies(self, followed: FollowedPath) -> tuple[list[OpenFile], bool]:
        """Open what may have been copied from a path before its file was truncated; say whether there was room for all.

        The file may have been renamed since: then its copies are named for what it was rotated from.
        """
        near = self._paths.near(followed)
        folders = {folder for path in near for folder in path.folders}
        files: list[OpenFile] = []
        had_more = self.has_more
        for _ in range(MOST_LISTINGS):
            self.has_more = self._is_full = False
            found = self._strangers(await asyncio.to_thread(Folders().list_changed, folders), is_followed=True)
            files += [file for path in near for file in await self._open(path, found)]
            if self._is_full or not self.has_more:
                break
        self.has_more |= had_more
        return files, not self._is_full

    def _strangers(self, found: Listing, *, is_followed: bool = False) -> Listing:
        """Leave out what is held open, older than the start, just being packed, or soon to be opened as followed."""
        if not found:
            return []
        self._forget_removed(found)
        known, names = self._paths.known_identities() | self._old.keys(), {name for name, _ in found}
        return [
            (name, facts)
            for name, facts in found
            if identity_of(facts) not in known
            if is_followed or not (self._paths.named(name) or self._patterns.has_match(name))
            if not (name.endswith(PACKED) and name.removesuffix(PACKED) in names)
        ]

    def _forget_removed(self, found: Listing) -> None:
        """Forget old files that are gone: another file may get their inode."""
        there = {identity_of(facts) for _, facts in found}
        folders = {os.path.dirname(name) for name, _ in found}
        gone = [old for old, folder in self._old.items() if folder in folders and old not in there]
        for old in gone:
            del self._old[old]

    async def _open(self, followed: FollowedPath, found: Listing) -> list[OpenFile]:
        """Open those that were written since the last look, the oldest first, and make them files of the path.

        Not before: files that were written one after the other may have the same time, which goes in steps of some ms.
        """
        new = [
            (facts.changed_ns, name, identity_of(facts))
            for name, facts in found
            if facts.changed_ns >= followed.seen_ns and followed.is_rotated(name)
        ]
        if not new:
            return []
        files = []
        for _, name, identity in sorted(new):
            try:
                await self._paths.make_room()
            except OSError:
                self.has_more = self._is_full = True
                break
            kin = kin_of(self._paths.near(followed))  # those opened just now among them: two may be copies of one
            try:
                file = await self._shelf.open_rotated(name, followed.seen_ns, kin)
            except FileNotFoundError:
                self.has_more = True  # it was renamed since it was listed
                continue
            self.has_more |= file is not None and file.identity != identity  # and another one has its name
            if file is not None and file.identity in self._paths.known_identities():
                await self._shelf.close(file)  # it was renamed since it was listed
            elif file is not None:
                file.left_at = asyncio.get_running_loop().time()
                files.append(file)
                followed.left.append(file)
        return files

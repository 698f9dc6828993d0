"""The followed paths, and which files are open for them: bookkeeping of what files.py finds out."""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.follower import FollowedPath, unrotated
from falco_enrichment_exporter.sources.looking import Known, Patterns
from falco_enrichment_exporter.sources.marks import NO_ANCHOR, FileMark, Identity, Place, identity_of
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.shelf import Shelf

LINGER_SECONDS: Final = 10.0  # a writer may hold a rotated file for some seconds more
_CLOCK_TICK_NS: Final = 10**7  # the times of files go in steps


class PathsState(msgspec.Struct, frozen=True):
    """How far every file was taken in, closed and truncated ones too, and when each path was last looked at.

    ``unreadable`` are files that could not be read since the start without history: what they held then is not new.
    """

    files: list[FileMark]
    places: list[tuple[bytes, Place]]
    seen_ns: dict[bytes, int]
    unreadable: dict[bytes, FileFacts] = {}


class FollowedPaths:
    """Every path that is or was followed. No more than ``most_open`` files are held open, if some of them are quiet."""

    def __init__(self, shelf: Shelf, most_open: int, is_searched: Callable[[OpenFile], bool]) -> None:
        self.grown: dict[OpenFile, FollowedPath] = {}  # files that have more
        self._shelf = shelf
        self._is_searched = is_searched
        self._most_open = most_open
        self._paths: dict[str, FollowedPath] = {}
        self._forgotten: dict[str, FollowedPath] = {}  # gone, but what was rotated from there is followed
        self._folders: set[str] = set()
        self._names: dict[str, FollowedPath] = {}  # by what the kernel calls their files

    def __iter__(self) -> Iterator[FollowedPath]:
        return iter(list(self._paths.values()))

    def __getitem__(self, path: str) -> FollowedPath:
        """Return a path; it is followed from now on."""
        followed = self._paths.get(path)
        if followed is None:
            begun_ns = time.time_ns() - _CLOCK_TICK_NS
            known = self._forgotten.pop(path, None)
            followed = self._paths[path] = known or FollowedPath(path, changed_ns=begun_ns, seen_ns=begun_ns)
            self.rename(followed)
        return followed

    def rename(self, followed: FollowedPath) -> None:
        """Look up where a path leads to."""
        followed.find_names()
        self._names |= dict.fromkeys(followed.names, followed)
        self._folders |= followed.folders

    def marks(self) -> list[FileMark]:
        """Say how far every file was taken in."""
        return [mark for followed in self._paths.values() for mark in followed.marks()]

    def known(self) -> dict[str, Known]:
        """Say what is known of every path, to be compared with what is there."""
        return {path: followed.known for path, followed in self._paths.items()}

    def named(self, name: str) -> FollowedPath | None:
        """Return the path whose file the kernel calls so."""
        return self._names.get(name)

    def has_base_of(self, name: str) -> bool:
        """Say whether a file of this name may once have been under one of the paths."""
        return any(base in self._names for base in unrotated(name))

    def folders(self) -> set[str]:
        """Return the folders where the files are."""
        return self._folders

    def identities(self) -> set[Identity]:
        """Return all files that are held open."""
        return {file.identity for followed in self._paths.values() for file in followed.files}

    def current_identities(self) -> set[Identity]:
        """Return the files that are under the paths."""
        known = (followed.known_facts for followed in self._paths.values())
        return {identity_of(facts) for facts in known if facts is not None}

    def known_identities(self) -> set[Identity]:
        """Return all files that are held open or parked."""
        return self.identities() | self.current_identities()

    def left_files(self) -> dict[OpenFile, FollowedPath]:
        """Return the files that are no longer under their paths."""
        paths = [followed for followed in self._paths.values() if followed.left]
        return {file: followed for followed in paths for file in followed.left}

    def kin(self, followed: FollowedPath) -> list[FollowedPath]:
        """Return the paths whose files something under this path may be a copy of, by the names; itself among them.

        Those are what it was rotated from, and what was rotated from there, too.
        """
        names = (self._names.get(base) for name in followed.names for base in unrotated(name))
        bases = dict.fromkeys(base for base in names if base is not None and base is not followed)
        return list(dict.fromkeys([followed, *(other for base in bases for other in self.rotated_from(base))]))

    def dump(self) -> PathsState:
        """Return what must be stored to go on from here."""
        return PathsState(
            files=self.marks(),
            places=[(os.fsencode(followed.path), place) for followed in self for place in followed.places],
            seen_ns={os.fsencode(followed.path): followed.seen_ns for followed in self},
            unreadable={os.fsencode(followed.path): facts for followed in self if (facts := followed.unreadable)},
        )

    def restore(self, state: PathsState) -> None:
        """Follow the paths of a stored state; their files are to be opened."""
        for name, seen_ns in state.seen_ns.items():
            followed = self[os.fsdecode(name)]
            followed.changed_ns = followed.seen_ns = seen_ns
            followed.unreadable = state.unreadable.get(name)
        for name, place in state.places:
            self[os.fsdecode(name)].places.append(place)
        for mark in state.files:
            followed = self[os.fsdecode(mark.path)]
            followed.has_had_file = True
            followed.changed_ns = mark.changed_ns

    def place(self, followed: FollowedPath, file: OpenFile) -> None:
        """Make a file the one that is under a path now; it may have been held for another one."""
        followed.current = file
        self.rename(followed)
        if file in self.grown:
            self.grown[file] = followed
        self.note_growth(followed, file)

    def note_growth(self, followed: FollowedPath, file: OpenFile) -> None:
        """Have a file read if it has more."""
        if file.has_more:
            self.grown.setdefault(file, followed)

    def rotated_from(self, followed: FollowedPath) -> Iterator[FollowedPath]:
        """Return the paths that one may be rotated to, by the names; itself first."""
        yield followed
        for other in self:
            if other is not followed and any(followed.is_rotated(name) for name in other.names):
                yield other

    def near(self, followed: FollowedPath) -> list[FollowedPath]:
        """Return the paths that may have lines of one, too, by the names; itself among them."""
        return list(dict.fromkeys([*self.kin(followed), *self.rotated_from(followed)]))

    async def kept_bytes(self, file: OpenFile, followed: FollowedPath) -> int:
        """Return how much of what a file has had is in another one that is open, which so delivers it.

        Such a copy may have been found when it was still empty, and nobody knew of what. It has what was read of the
        file; if nothing was, it is as long and as new.
        """
        kept, is_known, sound = 0, file.place[1] != NO_ANCHOR, file.sound
        for other in [other for path in self.near(followed) for other in path.files if other is not file]:
            with contextlib.suppress(OSError):  # what is wrong with that one shows when it is read
                now = other.facts_now
                is_alike = now.size_bytes >= sound.size_bytes and now.changed_ns >= sound.changed_ns
                if (is_known or is_alike) and await other.has_place(file.place):
                    kept = max(kept, now.size_bytes)
        return kept

    def holders(self, files: Collection[OpenFile], near: FollowedPath) -> dict[OpenFile, FollowedPath]:
        """Return the paths that files are held open for, that of one of them given."""
        held = {file: near for file in near.files if file in files}
        if len(held) < len(files):
            held |= {file: path for path in self for file in path.files if file in files}
        return held

    def take_left(self, facts: FileFacts) -> OpenFile | None:
        """Take a file back that is under a path again, or under another one."""
        for followed in self._paths.values():
            for file in followed.left:
                if file.identity == identity_of(facts):
                    followed.left.remove(file)
                    file.left_at = None
                    return file
        return None

    async def make_room(self) -> None:
        """Close a file that is quiet if there are too many. Raises OSError if none is.

        A current file is opened again when it changes. A rotated one is not, so it is closed only if no other is left.
        """
        if self._shelf.open_files < self._most_open:
            return
        for followed in self:
            if followed.current is not None and self._is_quiet(followed.current):
                await self.park(followed)
                self._paths[followed.path] = self._paths.pop(followed.path)  # so the next time it is another's turn
                return
        for file, followed in self.left_files().items():
            if self._is_quiet(file) and file.is_shorter_than(file.offset_bytes + 1):
                await self.release(followed, file)
                return
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def close(self) -> None:
        """Close every file."""
        for followed in self:
            for file in followed.files:
                await self._shelf.close(file)

    async def close_quiet(self, now: float) -> list[int]:
        """Close rotated files that have not grown for a while; return the lengths of their unfinished last lines."""
        unfinished = []
        for file, followed in self.left_files().items():
            if file.left_at is not None and now - file.left_at > LINGER_SECONDS and self._is_quiet(file):
                await self.release(followed, file)
                unfinished += [file.lag_bytes] if file.lag_bytes else []
        return unfinished

    def forget_gone(self, patterns: Patterns, now: float) -> None:
        """Forget the paths of a glob whose files are gone for a while; paths that are named stay."""
        since = {path: followed.gone_at for path, followed in self._paths.items() if not followed.marks()}
        gone = [path for path, gone_at in since.items() if gone_at is not None and now - gone_at > LINGER_SECONDS]
        for path in [path for path in gone if path not in patterns]:
            self._forgotten[path] = forgotten = self._paths.pop(path)
            heirs = [other for other in self.near(forgotten) if other.path in self._paths]  # those are stored
            if heirs:
                heirs[0].places.extend(forgotten.places)
        if self._forgotten:
            bases = [base for base in self._forgotten.values() if len(list(self.rotated_from(base))) > 1]
            self._forgotten = {base.path: base for base in bases}
            known = {*self._paths.values(), *bases}
            self._names = {name: followed for name, followed in self._names.items() if followed in known}
            self._folders = {os.path.dirname(name) for name in self._names}

    async def release(self, followed: FollowedPath, file: OpenFile) -> None:
        """Close a file that is no longer under its path; a copy of it is known by the place that was reached."""
        followed.left.remove(file)
        followed.remember(file.place)
        await self._shelf.close(file)

    def _is_quiet(self, file: OpenFile) -> bool:
        is_waited_for = file.is_waiting or bool(file.waiting)  # once it is closed, nobody would know who delivers what
        is_busy = file in self.grown or self._is_searched(file)
        return not file.has_more and not is_waited_for and not is_busy

    async def park(self, followed: FollowedPath, *, is_stale: bool = False) -> None:
        """Close the current file; it is opened again once it has changed, or at the next look if it is stale."""
        file = followed.current
        if file is not None:
            mark = followed.mark(file)
            followed.parked, followed.current = replace(mark, changed_ns=0) if is_stale else mark, None
            await self._shelf.close(file)

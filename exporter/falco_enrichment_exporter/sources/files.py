"""Follow files and globs: they appear late, grow, are renamed, truncated, replaced, and lose their permissions.

One task for all files: be told of changes or look for them, read what grew in bounded turns, fold it, wait. Facts come
from stat(2); what they mean is decided by core.rotation.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.rotation import Change, FileFacts, compare
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.handover import Handover
from falco_enrichment_exporter.sources.looking import Known, Listing, Looker, Patterns, Sight, look_at_held
from falco_enrichment_exporter.sources.marks import NO_ANCHOR, FileMark, Identity, identity_of
from falco_enrichment_exporter.sources.notices import News, Notices
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.opening import Opener, identity_under
from falco_enrichment_exporter.sources.paths import FollowedPaths, PathsState
from falco_enrichment_exporter.sources.rotated import RotatedFiles
from falco_enrichment_exporter.sources.shelf import Shelf
from falco_enrichment_exporter.sources.warm import WarmSearch

READ_BYTES = 256 << 10
TURN_BYTES = 4 << 20

_log = logging.getLogger(__name__)


class FileSource:
    """Follow every file that the patterns match, now and later.

    A file that is there at the start is taken up at its end, after its newest snapshots were served; one that appears
    later is read from its start. ``caught_up`` is set once what was there at the start is taken in. No more than
    ``most_open`` files are held open; beyond that quiet ones are closed, and opened again when they grow.
    """

    def __init__(
        self,
        patterns: Iterable[str],
        *,
        fleet: Fleet,
        tally: Tally,
        limit_bytes: int,
        poll_seconds: float,
        notices: Notices[OpenFile] | None = None,
        most_open: int = 1 << 16,
        on_pipes: Callable[[Mapping[str, Identity]], None] = lambda _: None,
    ) -> None:
        self.caught_up = asyncio.Event()
        self.shelf = Shelf(fleet, limit_bytes)
        self.paths = FollowedPaths(self.shelf, most_open, self._is_searched)
        self._patterns = Patterns(patterns)
        self._fleet = fleet
        self._tally = tally
        self._poll_seconds = poll_seconds
        self._notices: Notices[OpenFile] = notices or Notices(is_enabled=False)
        self._watched: Mapping[OpenFile, FollowedPath] = {}
        self._on_pipes = on_pipes
        self._buffer = LineBuffer(limit_bytes, min(limit_bytes, READ_BYTES))
        self._warm = WarmSearch(fleet, limit_bytes)
        self._looker = Looker()
        self._known: dict[str, Known] | None = None  # of the paths, while nothing happens
        self._touched: set[FollowedPath] = set()  # since the last look at everything
        self._failed: dict[OpenFile, FollowedPath] = {}  # could not be read, and are tried at each look
        self._rotated = RotatedFiles(self.paths, self.shelf, self._patterns)
        self._handover = Handover(self.paths, self.shelf, self._rotated, tally, self._look_at)
        self._opener = Opener(self.paths, self.shelf, tally, self._warm, self._handover)
        self._has_moved = False  # something has, of which the kernel has told

    async def resume(self, state: PathsState) -> None:
        """Open the files of a checkpoint where they are now, and go on where they were left. Before ``run``."""
        self._opener.is_first = False
        self.paths.restore(state)
        # What can be known by its content comes first: the inode of one of which nothing was read may be another's now.
        for mark in sorted(state.files, key=lambda mark: mark.place[1] == NO_ANCHOR):
            followed = self.paths[os.fsdecode(mark.path)]
            try:
                await self._go_on(followed, mark)
            except OSError as error:  # a folder that is not there yet, or a file that may not be read now
                followed.parked = replace(mark, changed_ns=0)  # it is looked for at each look
                self._lose(followed, error)

    async def _go_on(self, followed: FollowedPath, mark: FileMark) -> None:
        file = await self._opener.open_marked(followed, mark)
        if file is not None and followed.current is None and identity_under(followed.path) == file.identity:
            self._place(followed, file)  # so that it is parked if others need its descriptor, and not given up
        elif file is not None:
            file.left_at = asyncio.get_running_loop().time()
            followed.left.append(file)
            self.paths.note_growth(followed, file)

    async def run(self) -> None:
        """Follow until cancelled."""
        now = asyncio.get_running_loop().time
        is_due = await self._look_at_all()
        await self._warm.run()
        self._opener.is_first = False
        due = now() + (0 if is_due else self._poll_seconds)
        while True:
            has_more = await self._read_turn()
            if not has_more:
                self.caught_up.set()
                has_more = await self._warm.run()
            if now() < due:
                news = await self._notices.wait(0 if has_more else due - now())
                if not await self._take_news(news):
                    continue
            is_due = await self._look_at_all()
            due = now() + (0 if is_due else self._poll_seconds)

    async def close(self) -> None:
        """Close every file."""
        self._notices.close()
        await self.paths.close()

    # -- looking -------------------------------------------------------------------------------------------------

    async def _take_news(self, news: News[OpenFile]) -> bool:
        """Look at the files that were written to; True if what happened needs a look at everything."""
        if news.written:
            await self._look_at({file: self._watched[file] for file in news.written})
        if news.is_overflow:
            self._looker.trust_nothing()
        self._has_moved = news.is_overflow or any(self._concerns(path) for path in news.moved)
        return self._has_moved

    def _concerns(self, path: str) -> bool:
        """Say whether something under this name may be a followed file, or have been one."""
        return self._patterns.has_match(path) or self.paths.has_base_of(path)

    async def _look_at(self, files: Mapping[OpenFile, FollowedPath]) -> None:
        held = {file.identity: number for file in files if (number := file.content.descriptor) is not None}
        found = await asyncio.to_thread(look_at_held, held)
        for file, followed in files.items():
            if file.identity in found:
                await self._update(followed, file, found[file.identity])

    async def _look_at_all(self) -> bool:
        """Compare what is held open with what is under the paths; open, move and close accordingly.

        True if that is to be done again at once: there are folders of which the kernel did not tell.
        """
        now = asyncio.get_running_loop().time()
        self.paths.grown |= self._failed
        left = self.paths.left_files() if self._known is None else {}
        if left:
            await self._look_at(left)
        known = self._known or self.paths.known()
        sight, listing = await asyncio.to_thread(self._look, known)
        self._known = None if sight.paths or left or listing else known  # until something is read
        for path, found in sight.paths.items():
            followed = self.paths[path]
            self._touched.add(followed)
            if isinstance(found, OSError):
                self._lose(followed, found)
            else:
                await self._meet(followed, found, now)
        await self._find_rotated(listing)
        await self._fill(sight)
        for unfinished in await self.paths.close_quiet(now) if left else ():
            self._fleet.reject("unfinished")
            self._tally.lost["unfinished"] += unfinished
        if sight.paths:
            self.paths.forget_gone(self._patterns, now)
        self._on_pipes(sight.pipes)
        is_due = False
        if self._known is None or self._has_moved or self._looker.was_whole:
            self._has_moved = False
            is_due = self._notices.watch(self._patterns.folders() | self.paths.folders())
            await self._watch_files()
            self._tally.is_notified = self._notices.is_up
        return is_due

    async def _watch_files(self) -> None:
        """Be told of what is written to the files that are held open; look at what was not told before."""
        self._watched = {file: followed for followed in self.paths for file in followed.files}
        held = {file: number for file in self._watched if (number := file.content.descriptor) is not None}
        new = self._notices.watch_files(held)
        if new:
            await self._look_at({file: self._watched[file] for file in new})

    def _look(self, known: dict[str, Known]) -> tuple[Sight, Listing | None]:
        """Look at the paths; if all is as it was, at the folders, too."""
        named = {path: known.get(path) or Known(os.path.dirname(path)) for path in self._patterns.expand()}
        sight = self._looker.look(named | known, is_notified=self._notices.is_up)
        return sight, None if sight.paths or self._opener.is_first else self._rotated.list_changed()

    async def _meet(self, followed: FollowedPath, found: FileFacts, now: float) -> None:
        """Take notice of what is under a path: the file that was there, grown perhaps, or another one."""
        if followed.current is not None:
            if compare(followed.current.facts, 0, found) is Change.REPLACED:
                left = followed.current
                followed.leave_current(now)
                await self._look_at({left: followed})
            else:
                await self._update(followed, followed.current, found)
        elif followed.parked is not None:
            try:
                await self._go_on(followed, followed.parked)
                followed.parked = None
            except OSError as error:
                self._lose(followed, error)

    async def _update(self, followed: FollowedPath, file: OpenFile, facts: FileFacts) -> None:
        self._known = None
        self._touched.add(followed)
        if file.left_at is not None and facts.size_bytes > file.facts.size_bytes:
            file.left_at = asyncio.get_running_loop().time()
        if not file.is_doubtful:
            file.sound = file.facts
        least_bytes = max(file.read_to_bytes or file.sound.size_bytes, *(copy.passed_bytes for copy in file.waiting), 0)
        is_shorter = compare(file.facts, least_bytes, facts) is Change.TRUNCATED
        if is_shorter and facts.changed_ns <= file.facts.changed_ns and not file.is_shorter_than(least_bytes):
            return  # more is known of it than what this look saw
        if (is_shorter or file.is_emptied) and not await self._handover.begin_anew(followed, file):
            return
        has_changed = file.is_doubtful or facts.changed_ns != file.facts.changed_ns
        file.is_doubtful = has_changed and file.read_to_bytes > 0  # of what was not read, nothing is to be doubted
        file.facts = facts
        self.paths.note_growth(followed, file)

    def _is_searched(self, file: OpenFile) -> bool:
        return file in self._warm.files()

    async def _fill(self, sight: Sight) -> None:
        """Give every path its file, held already or new; a link to one that is followed elsewhere is no other file."""
        current = self.paths.current_identities() if sight.paths else set()
        moved: dict[OpenFile, FollowedPath] = {}
        for path, found in sight.paths.items():
            if isinstance(found, OSError):
                continue
            followed = self.paths[path]
            try:
                if followed.known_facts is None and identity_of(found) not in current:
                    left = self.paths.take_left(found)
                    file = left or await self._opener.open(followed)
                    if file is not None:
                        self._place(followed, file)
                        current.add(file.identity)
                    if left is not None:
                        moved[left] = followed
                if self._failed.keys().isdisjoint(followed.files):
                    followed.recover()
            except OSError as error:
                self._lose(followed, error)
                if self._opener.is_first:
                    followed.unreadable = found
        if moved:
            await self._look_at(moved)  # once all are open that may be copies of them

    def _place(self, followed: FollowedPath, file: OpenFile) -> None:
        self.paths.place(followed, file)
        if file in self._failed:
            self._failed[file] = followed

    async def _find_rotated(self, listing: Listing | None) -> None:
        if self._opener.is_first:
            await self._rotated.pass_over()
        for followed, file in await self._rotated.open_new(listing):
            self.paths.note_growth(followed, file)
        if self._rotated.has_more:
            return  # there was no room for all
        for followed in self._touched:
            followed.note_seen()
        self._touched.clear()

    def _lose(self, followed: FollowedPath, error: OSError) -> None:
        if followed.fail(error, asyncio.get_running_loop().time()):
            self._tally.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1
            _log.warning("source cannot be read", extra={"path": followed.label, "error": error.strerror or str(error)})

    # -- reading -------------------------------------------------------------------------------------------------

    async def _read_turn(self) -> bool:
        """Read a bounded piece of every file that has grown, in turn; tell whether any has more."""
        for file, followed in list(self.paths.grown.items()):
            if file not in self.paths.grown:
                continue  # it was parked meanwhile
            self._known = None
            self._failed.pop(file, None)
            try:
                await self._read(followed, file)
            except OSError as error:
                self._lose(followed, error)
                self.paths.grown.pop(file, None)
                if error.errno == errno.ESTALE and file is followed.current:  # of a network file system
                    self._handover.take_over(file.waiting, followed)
                    await self.paths.park(followed, is_stale=True)
                else:
                    self._failed[file] = followed
            else:
                if not file.has_more:
                    self.paths.grown.pop(file, None)
        return bool(self.paths.grown)

    async def _read(self, followed: FollowedPath, file: OpenFile) -> None:
        if file is followed.current and any(left.has_more and left not in self._failed for left in followed.left):
            return  # the older lines first
        if file.is_doubtful and await file.is_rewritten() and not await self._handover.begin_anew(followed, file):
            return
        if not await self._handover.may_read(followed, file):
            return
        if not file.read_to_bytes:
            followed.hand_on_fragments(file)
        before = file.place
        # No further than a copy goes that leaves its lines to this file: then the copy can tell whether they were read.
        most_bytes = min([TURN_BYTES, *(copy.passed_bytes - file.read_to_bytes for copy in file.waiting)])
        async for new_bytes in file.read(self._buffer, most_bytes):
            self._tally.read_bytes += new_bytes
        if file.place != before:
            await self._handover.note_read(followed, file)

"""Follow files and globs: they appear late, grow, are renamed, truncated, replaced, and lose their permissions.

One task for all files: look at the paths, read what grew in bounded turns, fold it, sleep. Facts come from stat(2);
what they mean is decided by core.rotation.
"""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.rotation import Change, FileFacts, compare
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.checkpoint import FileMark
from falco_enrichment_exporter.sources.follower import NO_ANCHOR, FollowedPath, OpenFile, Place, open_file
from falco_enrichment_exporter.sources.looking import Sight, look, look_for_skipped, siblings
from falco_enrichment_exporter.sources.warm import WarmStart

READ_BYTES = 1 << 20  # a read is a hop to a thread and back, which a small one does not repay
TURN_BYTES = 4 << 20
LINGER_SECONDS = 10.0  # a writer may hold a rotated file for some seconds more
WARM_SECONDS = 0.2  # of searching before it is ready; the rest of a long file is searched afterwards

_log = logging.getLogger(__name__)


class FileSource:
    """Follow every file that the patterns match, now and later.

    A file that is there at the start is taken up at its end, after its newest snapshots were served; one that appears
    later is read from its start. ``caught_up`` is set once what was there at the start is taken in.
    """

    def __init__(
        self, patterns: Iterable[str], *, fleet: Fleet, tally: Tally, limit_bytes: int, poll_seconds: float
    ) -> None:
        self.paths: dict[str, FollowedPath] = {}
        self.caught_up = asyncio.Event()
        self._patterns = list(patterns)
        self._fleet = fleet
        self._tally = tally
        self._limit_bytes = limit_bytes
        self._poll_seconds = poll_seconds
        self._buffer = LineBuffer(limit_bytes, min(limit_bytes, READ_BYTES))
        self._is_starting = True
        self._is_resumed = False
        self._searches: list[WarmStart] = []
        self._truncated: deque[Place] = deque(maxlen=16)  # how far files had been read when they were truncated

    def __iter__(self) -> Iterator[FollowedPath]:
        return iter(self.paths.values())

    def marks(self) -> list[FileMark]:
        """Say how far every file was taken in."""
        return [
            FileMark(
                path=os.fsencode(followed.path),
                device=file.facts.device,
                inode=file.facts.inode,
                changed_ns=file.facts.changed_ns,
                place=file.place,
                is_skipping=file.is_skipping,
                is_current=file is followed.current,
                fragments=file.intake.unwrapper.fragments,
            )
            for followed in self
            for file in followed.files
        ]

    async def resume(self, marks: list[FileMark]) -> None:
        """Open the files of a checkpoint where they are now, and go on where they were left. Before ``run``."""
        self._is_resumed = True
        for mark in marks:
            path = os.fsdecode(mark.path)
            followed = self.paths.setdefault(path, FollowedPath(path))
            followed.has_had_file, followed.changed_ns = True, mark.changed_ns
            try:
                await self._resume_file(followed, mark)
            except OSError as error:
                self._lose(followed, error, 0)

    async def _resume_file(self, followed: FollowedPath, mark: FileMark) -> None:
        """Find the file by its inode, or, if that was rewritten or is gone, a copy of it by its content."""
        identity = (mark.device, mark.inode)
        found = await asyncio.to_thread(siblings, followed.path)
        own = [(path, facts) for path, facts in found if (facts.device, facts.inode) == identity]
        copies = [
            (path, facts) for path, facts in found if facts.changed_ns >= mark.changed_ns and (path, facts) not in own
        ]
        for path, facts in [*own, *copies]:
            file = await open_file(path, facts, Intake(self._fleet, self._limit_bytes))
            has_place = (path, facts) in own or mark.place[1] != NO_ANCHOR
            if has_place and await file.has_place(mark.place):
                file.start_at(*mark.place, is_skipping=mark.is_skipping)
                file.intake.unwrapper.fragments = mark.fragments
                followed.left.append(file)
                file.left_at = asyncio.get_running_loop().time()
                return
            await file.file.close()
        if any(path == followed.path for path, _ in own):
            self._tally.rotations["truncate"] += 1
            followed.has_had_file = False  # it is no other file that will be opened

    async def run(self) -> None:
        """Follow until cancelled."""
        now = asyncio.get_running_loop().time
        await self._look(now())
        await self._search(now() + WARM_SECONDS)
        self._is_starting = False
        while True:
            due = now() + self._poll_seconds
            has_more = True
            while has_more and now() < due:
                has_more = await self._read_turn()
                if not has_more:
                    self.caught_up.set()
                    has_more = await self._search(now() + WARM_SECONDS)
            await asyncio.sleep(max(due - now(), 0))
            await self._look(now())

    async def close(self) -> None:
        """Close every file."""
        for followed in self:
            for file in followed.files:
                await file.file.close()

    # -- looking -------------------------------------------------------------------------------------------------

    async def _look(self, now: float) -> None:
        """Compare what is held open with what is under the paths; open, move and close accordingly."""
        held = {file.identity: file.file.fileno() for followed in self for file in followed.files}
        sight = await asyncio.to_thread(look, self._patterns, list(self.paths), held)
        for followed in self:
            for file in followed.files:
                self._update(file, sight.held[file.identity], now)
        for path, found in sight.paths.items():
            followed = self.paths.setdefault(path, FollowedPath(path))
            if isinstance(found, OSError):
                self._lose(followed, found, now)
            elif followed.current is not None and compare(followed.current.facts, 0, found) is Change.REPLACED:
                followed.leave_current(now)
        await self._fill(sight)
        await self._close_left(now)

    def _update(self, file: OpenFile, facts: FileFacts, now: float) -> None:
        if file.left_at is not None and facts.size_bytes > file.facts.size_bytes:
            file.left_at = now
        if compare(file.facts, file.read_to_bytes, facts) is Change.TRUNCATED:
            self._begin_anew(file)
        file.is_doubtful = file.is_doubtful or facts.changed_ns != file.facts.changed_ns
        file.facts = facts

    def _begin_anew(self, file: OpenFile) -> None:
        self._tally.rotations["truncate"] += 1
        self._truncated.append(file.place)
        file.start_at(0)

    async def _fill(self, sight: Sight) -> None:
        """Give every path that has a file its file: one that is held already (a rename within a glob), or a new one."""
        for path, found in sight.paths.items():
            if isinstance(found, OSError):
                continue
            followed = self.paths[path]
            try:
                if followed.current is None and not self._is_current(found):
                    followed.current = self._take(found) or await self._open(followed, found)
                followed.is_up, followed.has_failed = True, False
            except OSError as error:
                self._lose(followed, error, 0)
                if self._is_starting:
                    followed.unreadable = found.device, found.inode

    async def _open(self, followed: FollowedPath, facts: FileFacts) -> OpenFile:
        file = await self._open_at_its_place(followed.path, facts)
        if followed.has_had_file:
            self._tally.rotations["rename"] += 1
            await self._open_skipped(followed, facts)
        elif (self._is_starting and not self._is_resumed) or followed.unreadable == file.identity:
            self._start_at_end(file)
        followed.has_had_file = True
        return file

    async def _open_at_its_place(self, path: str, facts: FileFacts) -> OpenFile:
        """Open a file; if it is a copy of one that was read (copytruncate), go on where that was left."""
        file = await open_file(path, facts, Intake(self._fleet, self._limit_bytes))
        held = [file.place for followed in self for file in followed.files]
        for place in [*self._truncated, *held] if not self._is_starting or self._is_resumed else ():
            if place[0] and place[1] != NO_ANCHOR and await file.has_place(place):
                file.start_at(*place)
                break
        return file

    async def _open_skipped(self, followed: FollowedPath, facts: FileFacts) -> None:
        """Open what came and went under the path since the last look."""
        held = [file.identity for other in self for file in other.files]
        known = [*held, (facts.device, facts.inode)]
        for path, skipped in await asyncio.to_thread(look_for_skipped, followed.path, followed.changed_ns, known):
            if path not in self.paths:
                file = await self._open_at_its_place(path, skipped)
                file.left_at = asyncio.get_running_loop().time()
                followed.left.append(file)
                self._tally.rotations["rename"] += 1

    def _is_current(self, facts: FileFacts) -> bool:
        """Say whether the file is followed under another of the paths: a link to it is not another file."""
        return any(
            followed.current is not None and followed.current.identity == (facts.device, facts.inode)
            for followed in self
        )

    def _take(self, facts: FileFacts) -> OpenFile | None:
        for followed in self:
            for file in followed.left:
                if file.identity == (facts.device, facts.inode):
                    followed.left.remove(file)
                    file.left_at = None
                    return file
        return None

    def _lose(self, followed: FollowedPath, error: OSError, now: float) -> None:
        if followed.is_up or not followed.has_failed:
            self._tally.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1
            _log.warning("source cannot be read", extra={"path": followed.label, "error": error.strerror or str(error)})
        followed.is_up, followed.has_failed = False, True
        if isinstance(error, FileNotFoundError):
            followed.leave_current(now)

    async def _close_left(self, now: float) -> None:
        for path, followed in list(self.paths.items()):
            for file in list(followed.left):
                if file.left_at is not None and now - file.left_at > LINGER_SECONDS and not file.has_more:
                    followed.left.remove(file)
                    await file.file.close()
                    if file.lag_bytes:
                        self._fleet.reject("unfinished")
            if not followed.files and not followed.is_up and path not in self._patterns:
                del self.paths[path]  # a glob's file that is gone

    # -- reading -------------------------------------------------------------------------------------------------

    async def _read_turn(self) -> bool:
        """Read a bounded piece of every file that has grown, in turn; tell whether any has more."""
        has_more = False
        for followed in list(self):
            for file in followed.files:
                if file.has_more:
                    try:
                        await self._read(file)
                    except OSError as error:
                        self._lose(followed, error, 0)
                    else:
                        has_more = has_more or file.has_more
        return has_more

    async def _read(self, file: OpenFile) -> None:
        if await file.is_rewritten():
            self._begin_anew(file)
        self._tally.read_bytes += await file.read(self._buffer, TURN_BYTES)
        self._fleet.reject("oversize", self._buffer.oversize_lines)
        self._buffer.oversize_lines = 0

    # -- the start -----------------------------------------------------------------------------------------------

    def _start_at_end(self, file: OpenFile) -> None:
        """Serve the newest snapshots of a file that was there at the start, and follow it from its end."""
        self._searches.append(WarmStart(file, self._limit_bytes))
        self._tally.skipped_bytes += file.facts.size_bytes

    async def _search(self, until: float) -> bool:
        """Search on for snapshots, the newest blocks of all files first; tell whether there is more to search."""
        now = asyncio.get_running_loop().time
        searches, is_first_block = list(self._searches), True
        while self._searches and (is_first_block or now() < until):
            for search in list(self._searches):
                await self._step(search)
            is_first_block = False
        found = [snapshot for search in searches for snapshot in search.snapshots()]
        for snapshot in sorted(found, key=lambda snapshot: snapshot.at_ns):
            self._fleet.fold(snapshot)
        return bool(self._searches)

    async def _step(self, search: WarmStart) -> None:
        try:
            if not search.is_over:
                await search.step()
            is_over = search.is_over
        except OSError:
            is_over = True
        if is_over:
            self._searches.remove(search)

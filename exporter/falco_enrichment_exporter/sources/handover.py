"""Between a file and its copies: who reads on, what the copies of a truncated file deliver, and what is lost."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.copies import kin_of
from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.openfile import OpenFile
from falco_enrichment_exporter.sources.paths import FollowedPaths
from falco_enrichment_exporter.sources.rotated import RotatedFiles
from falco_enrichment_exporter.sources.shelf import Shelf

LookAt = Callable[[Mapping[OpenFile, FollowedPath]], Awaitable[None]]


class Handover:
    """Let each line be delivered by one of the files that have it. ``look_at`` finds out what files are by now."""

    def __init__(
        self, paths: FollowedPaths, shelf: Shelf, rotated: RotatedFiles, tally: Tally, look_at: LookAt
    ) -> None:
        self._paths = paths
        self._shelf = shelf
        self._rotated = rotated
        self._tally = tally
        self._look_at = look_at

    async def may_read(self, followed: FollowedPath, file: OpenFile) -> bool:
        """Say whether what a file has more is its own to deliver, as far as can be told; if not, it was passed over."""
        if file.may_be_copy:
            before, kin = file.place, self._paths.kin(followed)
            await self._look_at({other: path for path in kin for other in path.files})
            if file not in self._paths.grown:
                return False  # it was parked
            await self._shelf.pass_known(file, kin_of(kin))
            if file.place != before and not file.is_waiting:
                await self.note_read(followed, file)
        if file.is_waiting or file.may_be_copy:
            # What it has more by now may be of the original, too; or it comes behind the lines that are waited for.
            file.read_to_bytes = max(file.facts.size_bytes, file.offset_bytes)
            return False
        return True

    async def note_read(self, near: FollowedPath, file: OpenFile) -> None:
        """Tell the copies of a file how far it was read; what they have beyond that they may deliver then.

        If it was emptied before it was read as far as a copy goes, the copy delivers that.
        """
        is_emptied = False
        for copy, followed in self._paths.holders(file.waiting, near).items():
            is_passed = copy.offset_bytes < file.offset_bytes  # it went on behind what others have delivered
            place = copy.place if is_passed else file.place
            if not await (file if is_passed else copy).has_place(place):
                is_emptied = True
                self.take_over([copy], followed)
                continue
            copy.delivered = place
            if not copy.is_waiting:
                copy.read_to_bytes = copy.offset_bytes  # what it has more can be read
                self._paths.note_growth(followed, copy)
                await self.note_read(followed, copy)
        if is_emptied:
            self._tally.rotations["truncate"] += 1
            file.forget_size()

    def take_over(self, copies: Collection[OpenFile], near: FollowedPath) -> None:
        """Let copies deliver what their original does not any more."""
        for copy, followed in self._paths.holders(copies, near).items():
            copy.take_over()
            self._paths.note_growth(followed, copy)

    async def begin_anew(self, followed: FollowedPath, file: OpenFile) -> bool:
        """Read a file that was truncated or rewritten from its start, and what was not read of it from a copy.

        False if it is parked instead: there was no room for copies that may have it.
        """
        self._paths.grown.setdefault(file, followed)  # so that it is not closed to make room for its copies
        offset_bytes = file.offset_bytes
        if file.is_waiting:
            file.leave_to(None)
            file.start_at(0)  # it is another file that delivers these lines
        elif offset_bytes:
            followed.remember(file.place)
        copies, has_room = await self._rotated.open_copies(followed)
        await self._look_at(self._paths.holders(file.copies, followed))
        self.take_over(file.waiting, followed)
        for copy in list(file.copies):
            copy.leave_to(None)  # what the original has from now on is not what the copy has
        for copy, path in self._paths.holders(copies, followed).items():
            self._paths.note_growth(path, copy)
        if lost_bytes := await self._lost_bytes(followed, file, offset_bytes):
            if not has_room and file is followed.current:  # whether any of it is lost shows when there is
                del self._paths.grown[file]
                await self._paths.park(followed)
                return False
            self._tally.lost["truncated"] += lost_bytes
        self._tally.rotations["truncate"] += 1
        file.start_at(0)
        file.forget_size()
        return True

    async def _lost_bytes(self, followed: FollowedPath, file: OpenFile, offset_bytes: int) -> int:
        """Return how much of what was seen behind an offset, before the file was emptied, is in no other file."""
        seen_bytes = file.sound.size_bytes
        kept_bytes = await self._paths.kept_bytes(file, followed) if seen_bytes > offset_bytes else 0
        return max(seen_bytes - max(offset_bytes, kept_bytes), 0)

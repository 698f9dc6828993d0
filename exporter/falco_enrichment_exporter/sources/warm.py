"""The start without history: the newest snapshots of files, searched for from their ends."""

import asyncio

from falco_enrichment_exporter.core.backwards import SNAPSHOTS_KEPT, BackwardScan
from falco_enrichment_exporter.core.fleet import Fleet, HostSource
from falco_enrichment_exporter.core.records import Snapshot
from falco_enrichment_exporter.sources.marks import anchor_of
from falco_enrichment_exporter.sources.openfile import OpenFile

BLOCK_BYTES = 1 << 20
MOST_HELD = 32  # files of which what was found is held, before it is served
TURN_SECONDS = 0.2  # of searching before it is ready; the rest of a long file is searched afterwards


class WarmStart:
    """Search one file backwards, a block a step, and set where following it begins: after its last newline."""

    def __init__(self, file: OpenFile, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = min(size_bytes, file.facts.size_bytes)
        self.file = file
        self._limit_bytes = limit_bytes
        self._scan = BackwardScan(limit_bytes)
        self._position = self.size_bytes
        self._is_placed = False
        file.start_at(self.size_bytes)

    @property
    def is_over(self) -> bool:
        """Say whether the whole file was searched."""
        return self._position == 0

    def snapshots(self) -> list[Snapshot]:
        """Return what was found since the last call."""
        return self._scan.snapshots()

    async def step(self) -> None:
        """Search the block before the last one. Raises OSError."""
        start = max(self._position - BLOCK_BYTES, 0)
        block = await self.file.bytes_at(start, self._position - start)
        if not self._is_placed:
            self._place(block, start)
        self._scan.take(block)
        self._position = start
        if self.is_over:
            self._scan.finish()

    def _place(self, block: bytearray, start: int) -> None:
        newline = block.rfind(b"\n")
        if newline >= 0 or start == 0:
            self.file.start_at(start + newline + 1, anchor_of(block[: newline + 1]))
            self._is_placed = True
        elif self.size_bytes - start > self._limit_bytes:
            self.file.start_at(self.size_bytes, is_skipping=True)
            self._is_placed = True


class WarmSearch:
    """Search the files that were there at the start, all at once: the newest blocks of all of them first."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self._fleet = fleet
        self._limit_bytes = limit_bytes
        self._searches: list[WarmStart] = []
        self._over: list[WarmStart] = []  # whose snapshots are not served yet
        self._served: dict[HostSource, list[Snapshot]] = {}  # the newest ones, oldest first: older ones may be found

    def files(self) -> set[OpenFile]:
        """Return the files that are being searched."""
        return {search.file for search in self._searches}

    async def add(self, file: OpenFile, size_bytes: int) -> None:
        """Serve the newest snapshots of what was in a file at the start, and follow it from there."""
        search = WarmStart(file, size_bytes, self._limit_bytes)
        self._searches.append(search)
        await self._step(search)  # which tells where following begins
        if len(self._over) >= MOST_HELD:
            self._serve_all()

    async def run(self) -> bool:
        """Serve what was found, and search on for a while; tell whether there is more to search."""
        now = asyncio.get_running_loop().time
        until = now() + TURN_SECONDS
        while self._searches:
            for search in list(self._searches):
                await self._step(search)
                await asyncio.sleep(0)
            if now() >= until:
                break
        self._serve_all()
        if not self._searches:
            self._served.clear()
        return bool(self._searches)

    def _serve_all(self) -> None:
        found: dict[HostSource, list[Snapshot]] = {}
        for search in (*self._searches, *self._over):
            for snapshot in search.snapshots():
                found.setdefault(self._fleet.key_of(snapshot), []).append(snapshot)
        for key, snapshots in found.items():
            self._serve(key, snapshots)
        self._over.clear()

    def _serve(self, key: HostSource, found: list[Snapshot]) -> None:
        """Show what the newest snapshots of a host tell, those of earlier turns and those just found."""
        served = self._served.get(key, [])
        newest = _newest([*served, *found])
        if served and self._fleet.is_newest(key, served[-1]):
            self._fleet.begin_anew(key, newest, found=len(found))
        else:
            for snapshot in _newest(found):
                self._fleet.fold(snapshot)
        if self._fleet.is_newest(key, newest[-1]):
            self._served[key] = newest

    async def _step(self, search: WarmStart) -> None:
        try:
            if not search.is_over:
                await search.step()
            is_over = search.is_over
        except OSError:
            is_over = True
        if is_over:
            self._searches.remove(search)
            self._over.append(search)


def _newest(snapshots: list[Snapshot]) -> list[Snapshot]:
    """Return as many as are kept of one host, oldest first, and what has the same time as one of them."""
    kept = sorted({snapshot.at_ns for snapshot in snapshots})[-SNAPSHOTS_KEPT:]
    return sorted((s for s in snapshots if s.at_ns >= kept[0]), key=lambda snapshot: snapshot.at_ns)

"""The start without history: the newest snapshots of a file, searched for from its end."""

from falco_enrichment_exporter.core.backwards import BackwardScan
from falco_enrichment_exporter.core.records import Snapshot
from falco_enrichment_exporter.sources.follower import OpenFile, anchor_of

BLOCK_BYTES = 1 << 20


class WarmStart:
    """Search one file backwards, a block a step, and set where following it begins: after its last newline."""

    def __init__(self, file: OpenFile, limit_bytes: int) -> None:
        self.size_bytes = file.facts.size_bytes
        self._file = file
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
        await self._file.file.seek(start)
        block = await self._file.file.read(self._position - start)
        if not self._is_placed:
            self._place(block, start)
        self._scan.take(block)
        self._position = start
        if self.is_over:
            self._scan.finish()

    def _place(self, block: bytes, start: int) -> None:
        newline = block.rfind(b"\n")
        if newline >= 0 or start == 0:
            self._file.start_at(start + newline + 1, anchor_of(block[: newline + 1]))
            self._is_placed = True
        elif self.size_bytes - start > self._limit_bytes:
            self._file.start_at(self.size_bytes, is_skipping=True)
            self._is_placed = True

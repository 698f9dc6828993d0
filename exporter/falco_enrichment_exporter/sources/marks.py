"""What tells files and places in them from others, so that both are known again after a restart."""

from hashlib import blake2b
from typing import Final

import msgspec

from falco_enrichment_exporter.core.rotation import FileFacts

ANCHOR_BYTES: Final = 1024  # about a line, which holds a time in nanoseconds: no two are the same

Identity = tuple[int, int]
"""(device, inode)."""

Anchor = tuple[int, bytes]
"""Length and digest of what stands right before an offset: if it does no more, the file was rewritten."""

NO_ANCHOR: Final[Anchor] = (0, b"")

Place = tuple[int, Anchor]
"""An offset, and by what to know it again."""


class FileMark(msgspec.Struct, frozen=True):
    """One file: which it is, how far it was taken in, and the fragments of a line that was split. Can be stored."""

    path: bytes  # a file name may hold bytes that are no text
    device: int
    inode: int
    changed_ns: int
    place: Place
    is_skipping: bool
    is_current: bool
    fragments: dict[str, bytes]
    size_bytes: int = 0

    @property
    def facts(self) -> FileFacts:
        """The facts of the file when it was marked."""
        return FileFacts(self.device, self.inode, self.size_bytes, self.changed_ns)


def identity_of(facts: FileFacts) -> Identity:
    """Return what tells the file of these facts from any other one."""
    return facts.device, facts.inode


def anchor_of(before: bytes | bytearray | memoryview) -> Anchor:
    """Make the anchor of an offset from the bytes before it."""
    tail = before[-ANCHOR_BYTES:]
    return len(tail), blake2b(tail, digest_size=16).digest()

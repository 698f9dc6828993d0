"""What happened to a followed path, decided from facts alone."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Identity and size of a file as stat(2) tells them."""

    device: int
    inode: int
    size_bytes: int
    changed_ns: int = 0  # mtime: moves when a file is rewritten to the same size


class Change(Enum):
    """The five things a look at a path can tell about the file that is being read from it."""

    SAME = "same"
    GREW = "grew"
    TRUNCATED = "truncated"  # shorter than what was read: begin again at 0
    REPLACED = "replaced"  # another file under the path: finish the old one, begin the new at 0
    GONE = "gone"  # nothing under the path: keep the old one until something is


def compare(held: FileFacts, offset_bytes: int, found: FileFacts | None) -> Change:
    """Compare the file that is held open, read up to ``offset_bytes``, with what is under its path now."""
    if found is None:
        return Change.GONE
    if (found.device, found.inode) != (held.device, held.inode):
        return Change.REPLACED
    if found.size_bytes < offset_bytes:
        return Change.TRUNCATED
    return Change.GREW if found.size_bytes > offset_bytes else Change.SAME

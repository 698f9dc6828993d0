"""A look at the file system: which files are under the paths, and how far the held ones have grown. Blocking."""

import errno
import glob
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.follower import Identity

PACKED: Final = (".gz", ".xz", ".zst", ".bz2")
_KINDS: Final = ((stat.S_ISDIR, errno.EISDIR), (stat.S_ISFIFO, errno.ESPIPE), (stat.S_ISSOCK, errno.ENXIO))


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look has found: facts or an error for every path, and the facts of every file that is held open."""

    paths: dict[str, FileFacts | OSError]
    held: dict[Identity, FileFacts]


def look(patterns: Iterable[str], known: Iterable[str], held: Mapping[Identity, int]) -> Sight:
    """Look at the paths of the patterns, at those known from before, and at held files by their descriptor."""
    paths = dict.fromkeys(path for pattern in patterns for path in _expand(pattern))
    paths |= dict.fromkeys(known)
    return Sight(
        paths={path: _look_at(path) for path in paths},
        held={identity: _facts(os.fstat(descriptor)) for identity, descriptor in held.items()},
    )


def siblings(path: str) -> list[tuple[str, FileFacts]]:
    """Find the plain files in the folder of a path whose names begin with its name: it, and what it was rotated to."""
    folder, name = os.path.split(path)
    with os.scandir(folder or ".") as entries:
        return [
            (entry.path, _facts(entry.stat()))
            for entry in entries
            if entry.name.startswith(name) and not entry.name.endswith(PACKED) and entry.is_file()
        ]


def look_for_skipped(path: str, since_ns: int, held: Iterable[Identity]) -> list[tuple[str, FileFacts]]:
    """Find files that were under a path and rotated away again between two looks: siblings by name, written since.

    Not before: files that were written one after the other may have the same time, which goes in steps of some ms.
    """
    known = set(held)
    new = [
        (at, facts)
        for at, facts in siblings(path)
        if at != path and (facts.device, facts.inode) not in known and facts.changed_ns >= since_ns
    ]
    return sorted(new, key=lambda item: item[1].changed_ns)


def _expand(pattern: str) -> list[str]:
    if not glob.has_magic(pattern):
        return [pattern]
    matches = glob.glob(pattern, recursive=True)  # noqa: PTH207  patterns may be absolute
    return sorted(path for path in matches if not path.endswith(PACKED))


def _look_at(path: str) -> FileFacts | OSError:
    try:
        found = os.stat(path)  # noqa: PTH116  text paths throughout
    except OSError as error:
        return error
    if stat.S_ISREG(found.st_mode):
        return _facts(found)
    number = next((number for is_kind, number in _KINDS if is_kind(found.st_mode)), errno.EINVAL)
    return OSError(number, "not a regular file", path)


def _facts(found: os.stat_result) -> FileFacts:
    return FileFacts(device=found.st_dev, inode=found.st_ino, size_bytes=found.st_size, changed_ns=found.st_mtime_ns)

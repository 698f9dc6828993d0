"""A look at the file system: which files are under the paths, and how far the held ones have grown. Blocking."""

import contextlib
import errno
import fnmatch
import glob
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from falco_enrichment_exporter.core.rotation import FileFacts
from falco_enrichment_exporter.sources.marks import Identity
from falco_enrichment_exporter.sources.reading import PACKED, facts_of

Listing = list[tuple[str, FileFacts]]  # real paths of files, and what stat(2) says of them

_COMPRESSED: Final = (PACKED, ".xz", ".zst", ".bz2")
_KINDS: Final = ((stat.S_ISDIR, errno.EISDIR), (stat.S_ISSOCK, errno.ENXIO))
_SETTLED_NS: Final = 2 * 10**9  # a folder may change again within the tick of its time


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look has found: what is new under the paths, facts of files held open, and the pipes."""

    paths: dict[str, FileFacts | OSError] = field(default_factory=dict)
    held: dict[Identity, FileFacts] = field(default_factory=dict)
    pipes: dict[str, Identity] = field(default_factory=dict)


class Patterns:
    """Paths and globs; what matches is listed anew only when a folder has changed."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = list(dict.fromkeys(patterns))
        self._real = list(self._patterns)  # with folders as the kernel names them
        self._listed: dict[str, tuple[int, list[str]]] = {}  # glob -> the time of its folder, and its matches

    def __contains__(self, path: str) -> bool:
        return path in self._patterns

    def has_match(self, path: str) -> bool:
        """Say whether a path may be one of them."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self._real)

    def folders(self) -> set[str]:
        """Return the folders where a new match may appear, as far as they are known beforehand."""
        parts = [os.path.split(pattern) for pattern in self._patterns]
        parts = [(folder if glob.has_magic(folder) else os.path.realpath(folder), name) for folder, name in parts]
        magic = [folder for folder, _ in parts if glob.has_magic(folder)]
        self._real = [os.path.join(folder, name) for folder, name in parts] + magic
        above = {re.split(r"[*?\[]", folder)[0].rpartition("/")[0] or "/" for folder in magic}
        matches = {match for folder in magic for match in glob.glob(folder, recursive=True)}
        return {folder for folder, _ in parts if folder not in magic} | above | matches

    def expand(self) -> list[str]:
        """Return the paths that there are, and those that are named without a glob."""
        return [path for pattern in self._patterns for path in self._expand(pattern)]

    def _expand(self, pattern: str) -> list[str]:
        if not glob.has_magic(pattern):
            return [pattern]
        folder = os.path.dirname(pattern) or "."
        changed_ns = 0 if glob.has_magic(folder) else _changed_ns(folder)
        known_ns, paths = self._listed.get(pattern, (0, []))
        if not changed_ns or changed_ns != known_ns:
            matches = glob.glob(pattern, recursive=True)
            paths = sorted(path for path in matches if not path.endswith(_COMPRESSED))
            is_settled = changed_ns < time.time_ns() - _SETTLED_NS
            self._listed[pattern] = (changed_ns if is_settled else 0), paths
        return paths


def look(paths: Mapping[str, FileFacts | None], held: Mapping[Identity, int]) -> Sight:
    """Look at the paths, and at held files by their descriptor; what is as it was known to be is left out."""
    sight = Sight()
    for identity, descriptor in held.items():
        with contextlib.suppress(OSError):  # what is wrong with it shows when it is read
            sight.held[identity] = facts_of(os.fstat(descriptor))
    for path, known in paths.items():
        try:
            found = os.stat(path)
        except OSError as error:
            sight.paths[path] = error
            continue
        if known is None or _is_news(known, found):
            if stat.S_ISFIFO(found.st_mode):
                sight.pipes[path] = found.st_dev, found.st_ino
            else:
                sight.paths[path] = facts_of(found) if stat.S_ISREG(found.st_mode) else _refusal(path, found)
    return sight


def list_files(folder: str) -> Listing:
    """Return all files in a folder; sizes of packed ones as packed. Raises OSError."""
    found: Listing = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found += [(entry.path, facts_of(entry.stat()))] if entry.is_file() else []
    return found


class Folders:
    """The files of folders that have changed since they were last asked for."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def list_changed(self, folders: Iterable[str]) -> Listing:
        """Return all files of the folders where something was made, renamed or removed."""
        seen, found = {}, []
        for folder in folders:
            changed_ns = _changed_ns(folder)
            if self._seen.get(folder) != changed_ns:
                with contextlib.suppress(OSError):
                    found += list_files(folder)
            seen[folder] = changed_ns if changed_ns < time.time_ns() - _SETTLED_NS else -1
        self._seen = seen
        return found


def _is_news(known: FileFacts, found: os.stat_result) -> bool:
    return (
        found.st_size != known.size_bytes
        or found.st_mtime_ns != known.changed_ns
        or found.st_ino != known.inode
        or found.st_dev != known.device
    )


def _refusal(path: str, found: os.stat_result) -> OSError:
    number = next((number for is_kind, number in _KINDS if is_kind(found.st_mode)), errno.EINVAL)
    return OSError(number, "not a regular file or a pipe", path)


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0

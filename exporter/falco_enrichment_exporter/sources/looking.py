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
_MOST_LISTINGS: Final = 20  # while files are renamed
_SETTLED_NS: Final = 2 * 10**9  # a folder may change again within the tick of its time


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at paths has found: what is new under them, and the pipes."""

    paths: dict[str, FileFacts | OSError] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a path: its folder, and the file that was there.

    ``descriptor`` is that of the file if it is held open and the path is no link: only then does its folder tell
    whether it is still the same file.
    """

    folder: str
    facts: FileFacts | None = None
    descriptor: int | None = None


class Looker:
    """Looks at paths again and again; what is as it was known to be is left out.

    As long as its folder is as it was, a path has the file that it had, which is asked by its descriptor: that costs
    half, and an eighth if only its size is asked for, which does where the kernel tells of changes. What does not show
    so (a file that is mounted over another) is found by looking at all paths every ``whole_seconds``. Blocking.
    """

    def __init__(self, *, settled_ns: int = _SETTLED_NS, whole_seconds: float = 5) -> None:
        self._settled_ns = settled_ns
        self._whole_seconds = whole_seconds
        self._folders: dict[str, object] = {}
        self._due = 0.0
        self.was_whole = False  # the last look

    def look(self, paths: Mapping[str, Known], *, is_notified: bool = False) -> Sight:
        """Look at these paths."""
        sight = Sight()
        is_as_known = _has_known_size if is_notified else _is_as_known
        same = self._unchanged({known.folder for known in paths.values()})
        for path, known in paths.items():
            facts = known.facts
            if known.descriptor is not None and known.folder in same and is_as_known(known.descriptor, facts):
                continue
            try:
                found = os.stat(path)
            except OSError as error:
                sight.paths[path] = error
            else:
                if facts is None or not _is_same(found, facts):
                    _enter(sight, path, found)
        return sight

    def trust_nothing(self) -> None:
        """Look at all paths the next time: what the kernel has told is not all that has happened."""
        self._due = 0.0

    def _unchanged(self, folders: Iterable[str]) -> set[str]:
        """Return the folders that are as they were at the last look, before the paths in them were looked at."""
        stamps = {folder: self._stamp(folder) for folder in folders}
        same = {folder for folder, stamp in stamps.items() if stamp is not None and stamp == self._folders.get(folder)}
        self._folders = stamps
        self.was_whole = time.monotonic() >= self._due
        if not self.was_whole:
            return same
        self._due = time.monotonic() + self._whole_seconds
        return set()

    def _stamp(self, folder: str) -> object:
        """Return what changes with a folder; None while it may have changed without a trace, or cannot be seen."""
        try:
            found = os.stat(folder or ".")
        except OSError:
            return None
        is_settled = max(found.st_ctime_ns, found.st_mtime_ns) < time.time_ns() - self._settled_ns
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns) if is_settled else None


def _has_known_size(descriptor: int, facts: FileFacts | None) -> bool:
    try:
        return facts is not None and os.lseek(descriptor, 0, os.SEEK_END) == facts.size_bytes  # reading seeks first
    except OSError:
        return False


def _is_as_known(descriptor: int, facts: FileFacts | None) -> bool:
    try:
        return facts is not None and _is_same(os.fstat(descriptor), facts)
    except OSError:
        return False


def _is_same(found: os.stat_result, facts: FileFacts) -> bool:
    return (
        found.st_size == facts.size_bytes
        and found.st_mtime_ns == facts.changed_ns
        and found.st_ino == facts.inode
        and found.st_dev == facts.device
    )


def _enter(sight: Sight, path: str, found: os.stat_result) -> None:
    if stat.S_ISFIFO(found.st_mode):
        sight.pipes[path] = found.st_dev, found.st_ino
    else:
        sight.paths[path] = facts_of(found) if stat.S_ISREG(found.st_mode) else _refusal(path, found)


def look_at_held(held: Mapping[Identity, int]) -> dict[Identity, FileFacts]:
    """Look at files that are held open, by their descriptors. Blocking, as a look is at a network file system."""
    found = {}
    for identity, descriptor in held.items():
        with contextlib.suppress(OSError):  # what is wrong with it shows when it is read
            found[identity] = facts_of(os.fstat(descriptor))
    return found


def list_files(folder: str) -> Listing:
    """Return all files in a folder; sizes of packed ones as packed. Raises OSError.

    A file that is renamed after its name was read is under a name that was not: then all are listed anew, for a while.
    """
    found: Listing = []
    for _ in range(_MOST_LISTINGS):
        found, is_whole = [], True
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found += [(entry.path, facts_of(entry.stat()))] if entry.is_file() else []
                except FileNotFoundError:  # or a link to nothing, which is no file
                    is_whole = is_whole and entry.is_symlink()
        if is_whole:
            break
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


def _refusal(path: str, found: os.stat_result) -> OSError:
    number = next((number for is_kind, number in _KINDS if is_kind(found.st_mode)), errno.EINVAL)
    return OSError(number, "not a regular file or a pipe", path)


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0

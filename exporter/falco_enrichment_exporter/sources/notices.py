"""Be told by the kernel (inotify) that something happened; whoever is not told looks for himself.

Open files are watched for what is written to them, whatever they are called by now; folders for what comes, goes and is
renamed there. What others write into the same folder, as many do to /var/log, wakes nobody. What inotify does not tell
(network file systems, lower layers of an overlay, a folder that is not there yet) is found by looking at the files
every poll interval all the same.
"""

import asyncio
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

COALESCE_SECONDS: Final = 0.02  # a busy log changes thousands of times a second
_READ_BYTES: Final = 1 << 16
_EVENT: Final = struct.Struct("iIII")
_MODIFY: Final = 0x2
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
# attrib, moved from, moved to, create, delete, delete self, move self
_STRUCTURAL: Final = 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_ONLY_FOLDERS: Final = 0x01000000
_LIMITS: Final = frozenset({errno.ENOSPC, errno.ENOMEM})

_log = logging.getLogger(__name__)

File = TypeVar("File", bound=Hashable)


@dataclass(slots=True)
class News(Generic[File]):
    """Files that were written to, and paths that came, went or were changed otherwise; or more than can be told."""

    written: set[File] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    is_overflow: bool = False


class Notices(Generic[File]):
    """One inotify instance; without one (switched off, or limits of the kernel exhausted) ``wait`` only waits."""

    def __init__(self, *, is_enabled: bool = True) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._open() if is_enabled else None
        self._folders: dict[int, str] = {}
        self._files: dict[int, File] = {}
        self._refused: set[str] = set()  # of what the kernel does not tell: of all folders, or of all files
        self._woke_at = 0.0

    @property
    def is_up(self) -> bool:
        """Say whether the kernel tells of every folder and file."""
        return self._descriptor is not None and not self._refused

    def watch(self, folders: Iterable[str]) -> bool:
        """Watch these folders and no others; one that was replaced by another of its name is watched anew.

        True if any was not watched before: what has happened there until now was not told.
        """
        if self._descriptor is None:
            return False
        added = {folder: self._add(folder, _STRUCTURAL | _ONLY_FOLDERS) for folder in folders}
        self._note_refused("folders", {-number for number in added.values()} & _LIMITS)  # others are not there yet
        watched = {number: folder for folder, number in added.items() if number >= 0}
        self._remove(self._folders.keys() - watched.keys())
        is_more = not watched.keys() <= self._folders.keys()
        self._folders = watched
        return is_more

    def watch_files(self, files: Mapping[File, int]) -> set[File]:
        """Watch these files, of which the descriptors are given, for what is written to them; and no others.

        Return those that were not watched before: what has happened to them until now was not told.
        """
        if self._descriptor is None:
            return set()
        known = {file: number for number, file in self._files.items() if file in files}
        added = {file: self._add(f"/proc/self/fd/{files[file]}", _MODIFY) for file in files.keys() - known.keys()}
        self._note_refused("files", {-number for number in added.values() if number < 0})
        watched = {number: file for file, number in (known | added).items() if number >= 0}
        self._remove(self._files.keys() - watched.keys())
        self._files = watched
        return {file for file, number in added.items() if number >= 0}

    async def wait(self, seconds: float) -> News[File]:
        """Return what happened; if nothing has, wait for it so long. With 0 it does not wait at all."""
        if self._descriptor is None:
            await asyncio.sleep(seconds)
            return News()
        now = asyncio.get_running_loop().time
        if seconds > 0:
            if not await self._is_told(self._descriptor, seconds):
                return News()
            await asyncio.sleep(max(self._woke_at + COALESCE_SECONDS - now(), 0))
        self._woke_at = now()
        return self._read(self._descriptor)

    def close(self) -> None:
        """Give the instance back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int | None:
        descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            _warn(ctypes.get_errno())
            return None
        return descriptor

    def _add(self, path: str, mask: int) -> int:
        """Return the number of a watch, or a negative errno."""
        number: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        return number if number >= 0 else -ctypes.get_errno()

    def _remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._libc.inotify_rm_watch(self._descriptor, number)

    def _note_refused(self, what: str, errors: set[int]) -> None:
        if errors and not self._refused:
            _warn(min(errors))
        self._refused = self._refused - {what} | ({what} if errors else set())

    async def _is_told(self, descriptor: int, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(descriptor, told.set)
        try:
            async with asyncio.timeout(seconds):
                await told.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
        return True

    def _read(self, descriptor: int) -> News[File]:
        news: News[File] = News()
        try:
            while data := os.read(descriptor, _READ_BYTES):
                self._take(data, news)
        except BlockingIOError:
            pass
        return news

    def _take(self, data: bytes, news: News[File]) -> None:
        at = 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            folder = self._folders.get(number)
            if mask & _OVERFLOW:
                news.is_overflow = True
            elif mask & _IGNORED:
                self._folders.pop(number, None)
                self._files.pop(number, None)
            elif folder is not None:
                news.moved.add(os.path.join(folder, os.fsdecode(name)))
            elif number in self._files:
                news.written.add(self._files[number])


def _warn(number: int) -> None:
    _log.warning(
        "the kernel cannot tell of changes; looking every poll interval instead",
        extra={"error": os.strerror(number), "hint": "raise fs.inotify.max_user_instances or max_user_watches"},
    )

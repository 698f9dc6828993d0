"""Be told by the kernel (inotify) that something happened in a folder; whoever is not told looks for himself.

Folders are watched, not files: a rename is then seen at once, and a thousand files in a folder are one watch. What
inotify does not tell (network file systems, lower layers of an overlay, a folder that is not there yet) is found by
looking at the files every poll interval all the same.
"""

import asyncio
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

COALESCE_SECONDS: Final = 0.02  # a busy log changes thousands of times a second
_READ_BYTES: Final = 1 << 16
_EVENT: Final = struct.Struct("iIII")
_MODIFY: Final = 0x2
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
# attrib, moved from, moved to, create, delete, delete self, move self
_STRUCTURAL: Final = 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_ONLY_FOLDERS: Final = 0x01000000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class News:
    """Paths that were written to, and paths that came, went or were changed otherwise; or more than can be told."""

    written: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    is_overflow: bool = False


class Notices:
    """One inotify instance; without one (switched off, or limits of the kernel exhausted) ``wait`` only waits."""

    def __init__(self, *, is_enabled: bool = True) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._open() if is_enabled else None
        self._folders: dict[int, str] = {}
        self._are_all_watched = True
        self._woke_at = 0.0

    @property
    def is_up(self) -> bool:
        """Say whether the kernel tells of every folder."""
        return self._descriptor is not None and self._are_all_watched

    def watch(self, folders: Iterable[str]) -> bool:
        """Watch these folders and no others; one that was replaced by another of its name is watched anew.

        True if any was not watched before: what has happened there until now was not told.
        """
        if self._descriptor is None:
            return False
        watched: dict[int, str] = {}
        refused = 0
        for folder in folders:
            mask = _MODIFY | _STRUCTURAL | _ONLY_FOLDERS
            number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask)
            if number >= 0:
                watched[number] = folder
            elif ctypes.get_errno() in (errno.ENOSPC, errno.ENOMEM):
                refused = ctypes.get_errno()
        for number in self._folders.keys() - watched.keys():
            self._libc.inotify_rm_watch(self._descriptor, number)
        is_more = not watched.keys() <= self._folders.keys()
        self._folders = watched
        if refused and self._are_all_watched:
            _warn(refused)
        self._are_all_watched = not refused
        return is_more

    async def wait(self, seconds: float) -> News:
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

    def _read(self, descriptor: int) -> News:
        news = News()
        try:
            while data := os.read(descriptor, _READ_BYTES):
                self._take(data, news)
        except BlockingIOError:
            pass
        return news

    def _take(self, data: bytes, news: News) -> None:
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
            elif folder is not None:
                paths = news.written if mask & _MODIFY else news.moved
                paths.add(os.path.join(folder, os.fsdecode(name)))


def _warn(number: int) -> None:
    _log.warning(
        "the kernel cannot tell of changes; looking every poll interval instead",
        extra={"error": os.strerror(number), "hint": "raise fs.inotify.max_user_instances or max_user_watches"},
    )

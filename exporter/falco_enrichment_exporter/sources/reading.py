"""The bytes of a file that is held open: a plain one, or what is packed in a .gz."""

import asyncio
import errno
import gzip
import os
import stat
import zlib
from typing import Final, Protocol

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from falco_enrichment_exporter.core.rotation import FileFacts

PACKED: Final = ".gz"
RECENT_BYTES: Final = 4 << 20
_CANNOT_ASK: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Bytes(Protocol):
    """What can be read at an offset. Reading raises OSError."""

    @property
    def descriptor(self) -> int | None: ...  # noqa: D102  by what to look at it again; None: it does not change

    async def read_at(self, free: memoryview, position: int) -> int: ...  # noqa: D102  fill from there; 0: the end

    async def close(self) -> None: ...  # noqa: D102


class PlainBytes:
    """A plain file. What the page cache holds is read at once, without a thread; the rest with aiofiles."""

    def __init__(self, file: AsyncFileIO) -> None:
        self._file = file
        self._number: int = file.fileno()
        self._may_ask = True

    @property
    def descriptor(self) -> int | None:
        """The open file."""
        return self._number

    async def read_at(self, free: memoryview, position: int) -> int:
        """Read from the page cache, or wait for the disk in a thread."""
        if self._may_ask:
            try:
                return os.preadv(self._number, [free], position, os.RWF_NOWAIT)
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in _CANNOT_ASK:
                    raise
                self._may_ask = False  # this file system cannot say what it has at hand
        await self._file.seek(position)
        return await self._file.readinto(free) or 0

    async def close(self) -> None:
        """Close the file. Its descriptor may be another file's from then on."""
        self._number, self._may_ask = -1, True
        await self._file.close()


class PackedBytes:
    """What a .gz holds. It can only be read forwards; the newest few MiB are kept, to begin at a line's start again."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._recent = b""

    @property
    def descriptor(self) -> int | None:
        """None: what is packed does not grow."""
        return None

    @property
    def packed_at(self) -> int:
        """When the packed file was last written to, in Unix seconds; 0 if the packer did not say."""
        return self._file.mtime or 0

    async def read_at(self, free: memoryview, position: int) -> int:
        """Unpack in a thread; offsets are those of the unpacked text."""
        return await asyncio.to_thread(self._read, free, position)

    async def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, free: memoryview, position: int) -> int:
        begin = self._file.tell() - len(self._recent)
        if not begin <= position <= self._file.tell():
            self._recent = b""
            begin = self._file.seek(position)
        known = self._recent[position - begin : position - begin + len(free)]
        if not known:
            known = _unpack(self._file, len(free))
            self._recent = (self._recent + known)[-RECENT_BYTES:]
        free[: len(known)] = known
        return len(known)


def _unpack(file: gzip.GzipFile, most_bytes: int) -> bytes:
    try:
        return file.read(most_bytes)
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"torn or no gzip file: {error}", file.name) from error


async def open_bytes(path: str) -> tuple[Bytes, FileFacts]:
    """Open a file for reading; return it with its facts as they are now. Raises OSError."""
    if path.endswith(PACKED):
        return await asyncio.to_thread(_open_packed, path)
    file = await aiofiles.open(path, "rb", buffering=0, opener=_open_without_waiting)
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        await file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return PlainBytes(file), facts_of(found)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # what has become a pipe since it was looked at has perhaps no writer


def _open_packed(path: str) -> tuple[Bytes, FileFacts]:
    """Unpack it once to see that it is whole, and how long; its facts are those of the unpacked text."""
    file = gzip.GzipFile(path, "rb")
    try:
        size = 0
        while part := _unpack(file, RECENT_BYTES):
            size += len(part)
        file.rewind()
        found = os.fstat(file.fileno())
    except BaseException:
        file.close()
        raise
    return PackedBytes(file), FileFacts(found.st_dev, found.st_ino, size, found.st_mtime_ns)


def facts_of(found: os.stat_result) -> FileFacts:
    """Take from stat(2) what is needed."""
    return FileFacts(device=found.st_dev, inode=found.st_ino, size_bytes=found.st_size, changed_ns=found.st_mtime_ns)

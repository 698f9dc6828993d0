"""Checkpoints: how far every file was taken in, together with the counts that came of it, in one atomic file.

A checkpoint is written before a scrape is answered, so nothing that was ever shown is taken back, and every few seconds
with fsync, against a loss of power.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import threading
import time
import zlib
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from falco_enrichment_exporter.core.fleet import FleetState
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.sources.paths import PathsState

MAGIC: Final = b"falco-enrichment-exporter checkpoint 1"
SYNC_SECONDS: Final = 5.0
SYNC_PAUSES: Final = 20  # times what the writing took
EXPIRE_SECONDS: Final = 30 * 86400
_OURS: Final = re.compile(r"[0-9a-f]{12}\.(?:checkpoint|new|unusable-\d+)")  # see name_of

_log = logging.getLogger(__name__)


class State(msgspec.Struct, frozen=True):
    """All that is stored."""

    paths: PathsState
    fleet: FleetState
    tally: dict[str, dict[str, int]]


class Checkpoint:
    """The checkpoint of one state directory; ``revision`` tells when there is something new to write."""

    def __init__(
        self, directory: Path, name: str, tally: Tally, *, state: Callable[[], State], revision: Callable[[], object]
    ) -> None:
        self._path = directory / f"{name}.checkpoint"
        self._tally = tally
        self._state = state
        self._revision = revision
        self.has_tried = False  # to write: what was counted before that would be lost with the process
        self._written: object = None  # the revision that is in the file,
        self._synced: object = None  # and the one that would survive a loss of power
        self._prepared = 0  # how many states were,
        self._number = 0  # and which of these is in the file
        self._writing = threading.Lock()
        self._lock = _lock(directory, name)
        _expire(directory, keep=self._path)

    def load(self) -> State | None:
        """Return what was stored. A file that is torn, foreign or of another version is set aside and counted."""
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._tally.checkpoint_errors += 1
            aside = self._path.with_suffix(f".unusable-{int(time.time())}")
            with contextlib.suppress(OSError):
                self._path.rename(aside)
            _log.warning("checkpoint cannot be used and is set aside", extra={"path": aside, "error": error})
            return None

    async def save(self, *, is_durable: bool = False) -> None:
        """Write the state as it is now, if it is not the one that is there. Never raises: what fails is counted."""
        write = self._prepare(is_durable=is_durable)
        if write is not None:
            await asyncio.to_thread(write)

    def _prepare(self, *, is_durable: bool) -> Callable[[], None] | None:
        """Encode the state if there is news; return what writes it, in a thread: a disk may take its time."""
        revision = self._revision()
        if revision == (self._synced if is_durable else self._written):
            return None
        self._prepared += 1
        return partial(self._write, self._prepared, revision, msgspec.json.encode(self._state()), is_durable=is_durable)

    def _write(self, number: int, revision: object, body: bytes, *, is_durable: bool) -> None:
        with self._writing:
            if number < self._number:
                return  # what is there was prepared later
            try:
                self._replace(MAGIC + b" %08x\n" % zlib.crc32(body) + body, is_durable=is_durable)
            except OSError as error:
                _log.warning("checkpoint cannot be written", extra={"path": self._path, "error": error.strerror})
                self._tally.checkpoint_errors += 1
                return
            self._number, self._written = number, revision
            self._synced = revision if is_durable else self._synced
            self._tally.checkpoint_at = time.time()

    async def run(self, caught_up: asyncio.Event) -> None:
        """Write as soon as the sources have caught up, then every few seconds if there is news, until cancelled.

        The state of ten thousand hosts, or a slow disk, is written more seldom: it must not keep us or the disk busy.
        An older state loses nothing, either: more is read again.
        """
        now = asyncio.get_running_loop().time
        await caught_up.wait()
        while True:
            began = now()
            await self.save(is_durable=True)
            self.has_tried = True
            await asyncio.sleep(max(SYNC_SECONDS, SYNC_PAUSES * (now() - began)))

    def close(self) -> None:
        """Write for the last time, and let another instance have the directory."""
        write = self._prepare(is_durable=True)
        if write is not None:
            write()
        os.close(self._lock)

    def _replace(self, data: bytes, *, is_durable: bool) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        new.rename(self._path)
        if is_durable:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _decode(data: bytes) -> State:
    head, _, body = data.partition(b"\n")
    if head != MAGIC + b" %08x" % zlib.crc32(body):
        raise ValueError("not a whole checkpoint of this version")
    return msgspec.json.decode(body, type=State)


def name_of(patterns: list[str]) -> str:
    """Name the checkpoint of a set of sources: with other sources the counts are others, too."""
    return blake2b("\0".join(sorted(patterns)).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def _expire(directory: Path, keep: Path) -> None:
    """Remove checkpoints that are older than a month, unless somebody follows their sources, which may be quiet.

    The directory may have other files. Locks stay: who holds one must not find another in its place.
    """
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            is_old = _OURS.fullmatch(path.name) and path.stat().st_mtime < time.time() - EXPIRE_SECONDS
            if is_old and path != keep and (path.stem == keep.stem or _is_free(directory, path.stem)):
                path.unlink()


def _is_free(directory: Path, name: str) -> bool:
    try:
        os.close(_lock(directory, name))
    except SetupError:
        return False
    return True


def _lock(directory: Path, name: str) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            f"--state.directory: cannot use {directory}: {error.strerror}; give one that can be written,"
            " or --state.directory= to keep nothing over restarts"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SetupError(
            f"--state.directory: another instance follows the same sources with {directory}; give each one its own"
        ) from error
    return descriptor

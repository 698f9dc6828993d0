"""Read files of Falco's output once, all of them in the order of their times."""

import contextlib
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from msgspec.structs import replace

from falco_enrichment_exporter.commands import findings
from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.envelope import Broken, Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import NEEDLE, Intake
from falco_enrichment_exporter.core.lines import Block, LineBuffer
from falco_enrichment_exporter.errors import SetupError

READ_BYTES: Final = 256 << 10
FIRST_BYTES: Final = 4 << 20
STDIN: Final = "-"
PACKED: Final = ".gz"
LAST: Final = sys.maxsize

Readable = IO[bytes] | gzip.GzipFile
Advance = Callable[[int], None]
"""Told how many bytes were read."""


class Reader:
    """All files into one fleet, and the newest time that was seen: a log is judged as of its end."""

    def __init__(self, fleet: Fleet, limit_bytes: int) -> None:
        self.fleet = fleet
        self._limit_bytes = limit_bytes
        self._newest_ns = 0

    @property
    def now(self) -> float:
        """The newest time of a snapshot or an alert, in seconds since 1970."""
        newest = [track.life.at_ns for tracks in self.fleet.hosts.values() for track in tracks.values()]
        return max([self._newest_ns, *newest]) / 1e9

    def hostnames(self) -> list[str]:
        """Return all hosts that were seen."""
        ledger = self.fleet.alerts.ledger
        return sorted({*self.fleet.hosts, *ledger.hosts, *ledger.without_fields})

    def read(self, paths: Sequence[str]) -> None:
        """Read all files to their ends: rotated ones one after another, those of the same time side by side.

        A last line without newline counts, for nothing will complete it. Pipes come last. Raises SetupError for what
        cannot be read, and if nothing in it is Falco's.
        """
        plain = [path for path in paths if _is_file(path) and not path.endswith(PACKED)]
        label = plain[0] if len(plain) == 1 else f"{len(plain)} files"
        with findings.progress(label, sum(Path(path).stat().st_size for path in plain)) as advance:
            waiting = [_Source(path, self.fleet, self._limit_bytes, advance) for path in dict.fromkeys(paths)]
            while waiting:
                waiting.sort(key=lambda source: source.next_ns)
                if not waiting[0].take(waiting[1].next_ns if len(waiting) > 1 else LAST):
                    self._newest_ns = max(self._newest_ns, waiting.pop(0).newest_ns)
        self._refuse_strangers(paths)

    def _refuse_strangers(self, paths: Sequence[str]) -> None:
        lines = self.fleet.lines
        if not lines["snapshot"] and not lines["alert"]:
            why = [f"{count} {reason}" for reason, count in self.fleet.rejections.items()]
            why += [f"{lines['other']} other lines"] * bool(lines["other"])
            hint = "; are its alerts text? Set json_output: true in falco.yaml" if lines["other"] else ""
            raise SetupError(
                f"no snapshot and no alert of Falco in {', '.join(paths)}: {', '.join(why) or 'no line at all'}{hint}"
            )


class _Source:
    """One file, and the time of its first line that was not taken in."""

    def __init__(self, path: str, fleet: Fleet, limit_bytes: int, advance: Advance) -> None:
        self._path = path
        self._fleet = fleet
        self._limit_bytes = limit_bytes
        self._intake = Intake(fleet, limit_bytes)
        self._blocks = self._read(advance)
        self._rest: Block | None = None
        self.next_ns = self._first_ns() if _is_file(path) else LAST
        self.newest_ns = 0

    def take(self, until_ns: int) -> bool:
        """Take in all lines up to a time, one at least; False at the end. A line without time belongs to the last."""
        while (block := self._rest or next(self._blocks, None)) is not None:
            end_ns = self._time_ns(block.last_line())
            is_whole = until_ns == LAST or 0 < end_ns <= until_ns
            part, self._rest = (block, None) if is_whole else self._split(block, until_ns)
            self._intake.take(part)
            if self._rest is not None:
                return True
            self.newest_ns = max(self.newest_ns, end_ns)
        return False

    def _split(self, block: Block, until_ns: int) -> tuple[Block, Block | None]:
        """Cut a block behind the lines up to a time; the first one is among them."""
        at = block.start
        for line in block.lines():
            time_ns = self._time_ns(line)
            if at > block.start and time_ns > until_ns:
                self.next_ns = time_ns
                return replace(block, end=at), replace(block, start=at)
            at += len(line) + 1
        return block, None

    def _first_ns(self) -> int:
        """Return the time of the first line that has one, near the file's start; 0 if none has."""
        with _told(self._path), _opened(self._path) as file:
            data = file.read(FIRST_BYTES)
        return next(filter(None, map(self._time_ns, LineBuffer(self._limit_bytes).feed(data))), 0)

    def _time_ns(self, line: bytes) -> int:
        """Return the time of a line in nanoseconds since 1970; 0 if it has none."""
        with contextlib.suppress(Broken):
            text = Unwrapper(self._limit_bytes).unwrap(line) or b""
            decoded = records.decode_all(text) if NEEDLE in text else []
            shown = [record.at_ns for record in decoded if isinstance(record, records.Snapshot)]
            return max(shown, default=0) or records.time_ns(text)
        return 0

    def _read(self, advance: Advance) -> Iterator[Block]:
        """Cut the file into blocks of complete lines; each is valid until the next one."""
        buffer = LineBuffer(self._limit_bytes, READ_BYTES)
        with _told(self._path), _opened(self._path) as file:
            while data := file.read(READ_BYTES):
                advance(len(data))
                yield from self._cut(buffer, data)
        yield from self._cut(buffer, b"\n")

    def _cut(self, buffer: LineBuffer, data: bytes) -> Iterator[Block]:
        view = memoryview(data)
        while view:
            with buffer.writable() as free:
                count = min(len(free), len(view))
                free[:count] = view[:count]
            view = view[count:]
            block = buffer.commit(count)
            self._fleet.reject("oversize", buffer.oversize_lines)
            buffer.oversize_lines = 0
            if block:
                yield block


def _is_file(path: str) -> bool:
    return path != STDIN and Path(path).is_file()


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Say of which file it is that it cannot be read. Raises SetupError."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise SetupError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Readable]:
    """Open a file, packed or not."""
    if path == STDIN:
        yield sys.stdin.buffer
    elif path.endswith(PACKED):
        with gzip.open(path, "rb") as packed:
            yield packed
    else:
        with Path(path).open("rb", buffering=0) as file:
            yield file

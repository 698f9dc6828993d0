"""Read Falco's output once, and say of every host what is degraded, why, and what to do next."""

import contextlib
import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from falco_enrichment_exporter import loading
from falco_enrichment_exporter.commands import findings
from falco_enrichment_exporter.core import records
from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.envelope import Broken, Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import Block, LineBuffer
from falco_enrichment_exporter.core.verdicts import HostJudge
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.settings import DiagnoseSettings

READ_BYTES: Final = 256 << 10
STDIN: Final = "-"
PROG: Final = "falco-enrichment-exporter diagnose"

Readable = IO[bytes] | gzip.GzipFile
Advance = Callable[[int], None]
"""Told how many bytes were read."""


def run(arguments: Sequence[str]) -> int:
    """Diagnose the files; return 0 if nothing is wrong, 1 if something is. Raises SetupError."""
    paths, flags = loading.operands(arguments)
    settings = loading.read(DiagnoseSettings, flags, prog=PROG)
    if not paths:
        raise SetupError(f"nothing to read; give files, or - for standard input: {PROG} /var/log/falco/falco.json")
    reader = Reader(settings)
    for path in dict.fromkeys(paths):
        reader.read(path)
    reader.refuse_strangers(paths)
    judged = [judge(reader, hostname, settings) for hostname in reader.hostnames()]
    findings.show(judged, reader.fleet, as_json=settings.output == "json", now=reader.now)
    return int(any(host.findings for host in judged))


def judge(reader: "Reader", hostname: str, settings: DiagnoseSettings) -> findings.Judged:
    """Judge one host by all that was read, as of the newest time that was read."""
    fleet = reader.fleet
    ledger, track = fleet.alerts.ledger, fleet.hosts.get(hostname, {}).get(SYSCALL)
    host = HostJudge(
        hostname,
        track,
        ledger.hosts.get(hostname),
        limits=settings.thresholds.model_dump(),
        table_limit=fleet.thread_table_limit(track) if track is not None else settings.source.thread_table_size,
        now=reader.now,
        without_fields=ledger.without_fields[hostname],
    )
    found = host.findings()
    version = track.fields.get("falco.version") if track is not None else None
    return findings.Judged(hostname, str(version) if version else None, found, host.not_judged)


class Reader:
    """All files into one fleet, and the newest time that was seen: a log is judged as of its end."""

    def __init__(self, settings: DiagnoseSettings) -> None:
        self.fleet = Fleet(
            default_hostname=settings.source.hostname,
            thread_table_size=settings.source.thread_table_size,
            limits=settings.limits.of_fleet,
        )
        self._limit_bytes = settings.limits.max_line_bytes
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

    def read(self, path: str) -> None:
        """Read a file to its end; a last line without newline counts, for nothing will complete it."""
        intake, buffer = Intake(self.fleet, self._limit_bytes), LineBuffer(self._limit_bytes, READ_BYTES)
        try:
            with _opened(path) as (file, advance):
                while data := file.read(READ_BYTES):
                    advance(len(data))
                    self._take(intake, buffer, data)
                self._take(intake, buffer, b"\n")
        except (OSError, EOFError) as error:
            raise SetupError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error

    def refuse_strangers(self, paths: Sequence[str]) -> None:
        """Refuse input in which nothing was Falco's."""
        lines = self.fleet.lines
        if not lines["snapshot"] and not lines["alert"]:
            raise SetupError(
                f"no snapshot and no alert of Falco in {', '.join(paths)}: {lines['other']} other lines,"
                f" {self.fleet.rejections.total()} that could not be read; set json_output: true in falco.yaml"
            )

    def _take(self, intake: Intake, buffer: LineBuffer, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with buffer.writable() as free:
                count = min(len(free), len(view))
                free[:count] = view[:count]
            view = view[count:]
            block = buffer.commit(count)
            intake.take(block)
            self._note_time(block)
        self.fleet.reject("oversize", buffer.oversize_lines)
        buffer.oversize_lines = 0

    def _note_time(self, block: Block) -> None:
        """Take the time of the last line; between it and the next block's there is no gap that matters."""
        if block:
            start = block.data.rfind(b"\n", block.start, block.end - 1) + 1
            line = bytes(block.data[max(start, block.start) : block.end - 1])
            with contextlib.suppress(Broken):
                text = Unwrapper(self._limit_bytes).unwrap(line)
                self._newest_ns = max(self._newest_ns, records.time_ns(text) if text else 0)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Readable, Advance]]:
    """Open a file, packed or not, with a progress bar if somebody is watching."""
    if path == STDIN:
        yield sys.stdin.buffer, lambda _: None
    elif path.endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            yield packed, lambda _: None
    else:
        with Path(path).open("rb", buffering=0) as file, findings.progress(path, Path(path).stat().st_size) as advance:
            yield file, advance

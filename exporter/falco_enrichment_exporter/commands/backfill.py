"""Turn old output of Falco's into OpenMetrics with times, which Prometheus takes in as if it had scraped it then."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

from falco_enrichment_exporter import loading
from falco_enrichment_exporter.commands.reader import STDIN, Reader
from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.alerts import AlertSeries
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.hosts import Part
from falco_enrichment_exporter.exposition.native import NativeSeries
from falco_enrichment_exporter.exposition.recording import Recording
from falco_enrichment_exporter.exposition.rules import read_rules
from falco_enrichment_exporter.settings import BackfillSettings

PROG: Final = "falco-enrichment-exporter backfill"
HELD_INTERVALS: Final = 3
HELD_SECONDS: Final = 3600  # where no interval is known: Falco's default
MOST_HELD_SECONDS: Final = 3 * 86_400  # whatever times the log may claim


def run(arguments: Sequence[str]) -> int:
    """Read the files, write the history; return 0. Raises SetupError."""
    paths, flags = loading.operands(arguments)
    settings = loading.read(BackfillSettings, flags, prog=PROG, operand="FILE...")
    if not paths or settings.to is None:
        raise SetupError(f"give files, and where to write: {PROG} /var/log/falco/falco.json* --to history.om")
    if str(settings.to) == STDIN:
        raise SetupError("--to: give a file; it is replaced when all is written")
    if settings.to.resolve() in {Path(path).resolve() for path in paths}:
        raise SetupError(f"--to: {settings.to} is one of the files to read")
    history = History(settings)
    with contextlib.closing(history.recording):
        history.reader.read(paths)
        if not history.snapshots:
            raise SetupError(f"no snapshot of Falco in {', '.join(paths)}: only those tell when something was counted")
        with _replacing(settings.to) as file:
            samples = history.recording.write(file, end_ms=round(history.reader.now * 1000))
    history.report(samples, settings.to)
    return 0


class History:
    """What every snapshot shows, at its time."""

    def __init__(self, settings: BackfillSettings) -> None:
        self._fleet = fleet = Fleet(
            default_hostname=settings.source.hostname,
            thread_table_size=settings.source.thread_table_size,
            limits=settings.limits.of_fleet,
            counts_alerts=settings.alerts.enabled,
            watch=self._record,
        )
        self.reader = Reader(fleet, settings.limits.max_line_bytes)
        self.recording = Recording(round(settings.step * 1000))
        self.snapshots = 0
        self._own: Part = HostSeries(fleet)
        self._others: list[Part] = []  # with the snapshot of system calls, which every number of a host is in
        if settings.native.enabled:
            self._others.append(NativeSeries(read_rules([Path(path) for path in settings.native.rules_files])))
        if settings.alerts.enabled:
            self._others.append(AlertSeries(fleet.alerts))

    def report(self, samples: int, to: Path) -> None:
        """Say what was written, and what to do with it."""
        first, last = (
            datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds") for ms in self.recording.span_ms
        )
        ignored = self._fleet.ignored
        hosts = len(self._fleet.hosts)
        of = f"{self.snapshots} snapshots of {hosts} host{'' if hosts == 1 else 's'}"
        print(f"{to}: {samples} samples of {of}, {first} to {last}")  # noqa: T201
        if ignored["older"]:
            print(f"left out, as older than what was read of their host before: {ignored['older']}")  # noqa: T201
        if ignored["duplicate"]:
            print(f"there twice, and taken once: {ignored['duplicate']}")  # noqa: T201
        print(f"next: promtool tsdb create-blocks-from openmetrics {to} PROMETHEUS_DATA_FOLDER")  # noqa: T201

    def _record(self, hostname: str, source: str) -> None:
        track = self._fleet.hosts[hostname][source]
        interval = track.life.interval_seconds
        held = HELD_INTERVALS * interval if interval is not None else HELD_SECONDS
        hold_ms = round(1000 * min(held, MOST_HELD_SECONDS))
        if self.recording.begin((hostname, source), track.life.at_ns // 10**6, hold_ms):
            self.snapshots += 1
            for part in [self._own, *(self._others if source == SYSCALL else ())]:
                part(self.recording, hostname, {source: track})


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there as a whole or not at all. Raises SetupError."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror or error}") from error

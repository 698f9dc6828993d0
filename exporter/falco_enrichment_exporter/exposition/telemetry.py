"""Series about the exporter itself: prefix ``falco_enrichment_exporter_``."""

import logging
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.core import series
from falco_enrichment_exporter.core.catalog import PREFIX
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.exposition.families import Families

_log = logging.getLogger(__name__)


class SourceStatus(Protocol):
    """What every kind of source can say of itself."""

    is_up: bool
    failure: int  # the errno with which it cannot be read; 0: with none

    @property
    def label(self) -> str: ...  # noqa: D102  the path, fit for a label

    @property
    def lag_bytes(self) -> int | None: ...  # noqa: D102  bytes that are there and not read yet; None: unknown


class Tally:
    """Counts of what the sources did to the outside world; shared by all of them."""

    def __init__(self) -> None:
        self.read_bytes = 0
        self.skipped_bytes = 0
        self.lost: Counter[str] = Counter(truncated=0, gone=0, unfinished=0)
        self.is_notified = False
        self.rotations: Counter[str] = Counter(rename=0, truncate=0)
        self.errors: Counter[str] = Counter()
        self.ingest_requests: Counter[str] = Counter()
        self.collect_errors: Counter[str] = Counter()
        self.checkpoint_errors = 0
        self.checkpoint_at: float | None = None

    def dump(self) -> dict[str, dict[str, int]]:
        """Return the counts, to be stored."""
        bytes_ = {"read": self.read_bytes, "skipped": self.skipped_bytes, "checkpoint_errors": self.checkpoint_errors}
        return {"bytes": bytes_} | {name: dict(counter) for name, counter in self._counters.items()}

    def restore(self, counts: dict[str, dict[str, int]]) -> None:
        """Take over stored counts."""
        plain = counts.get("bytes", {})
        self.read_bytes, self.skipped_bytes = plain.get("read", 0), plain.get("skipped", 0)
        self.checkpoint_errors += plain.get("checkpoint_errors", 0)
        for name, counter in self._counters.items():
            counter.update(counts.get(name, {}))

    @property
    def _counters(self) -> dict[str, Counter[str]]:
        return {
            "lost": self.lost,
            "rotations": self.rotations,
            "errors": self.errors,
            "collect_errors": self.collect_errors,
            "ingest_requests": self.ingest_requests,
        }


class TelemetryCollector(Collector):
    """Expose the exporter's own health."""

    def __init__(self, fleet: Fleet, tally: Tally, sources: Iterable[SourceStatus], *, started_at: float) -> None:
        self._fleet = fleet
        self._tally = tally
        self._sources = sources
        self._started_at = started_at

    def describe(self) -> list[Metric]:
        """Return nothing: the names are fixed elsewhere and cannot clash."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Make all families from the counts as they are now."""
        families = Families()
        fleet, tally = self._fleet, self._tally
        build = {"version": __version__, "python": platform.python_version()}
        _add(families, "build_info", 1, build)
        _add(families, "start_time_seconds", self._started_at)
        _add(families, "read_bytes_total", tally.read_bytes)
        _add(families, "skipped_bytes_total", tally.skipped_bytes)
        _add(families, "checkpoint_errors_total", tally.checkpoint_errors)
        if tally.checkpoint_at is not None:
            _add(families, "checkpoint_timestamp_seconds", tally.checkpoint_at)
        _add(families, "inotify_up", int(tally.is_notified))
        _add(families, "hosts", len(fleet.hosts))
        _add(families, "dropped_hosts_total", fleet.dropped_hosts)
        counts: dict[str, Mapping[str, int]] = {
            "lines_total": fleet.lines,
            "lines_rejected_total": fleet.rejections,
            "snapshots_ignored_total": fleet.ignored,
            "limit_hits_total": fleet.limit_hits,
            "rotations_total": tally.rotations,
            "lost_bytes_total": tally.lost,
            "ingest_requests_total": tally.ingest_requests,
            "source_errors_total": tally.errors,
            "collect_errors_total": tally.collect_errors,
        }
        for name, by_label in counts.items():
            (label,) = series.SELF_SERIES[name].labels
            for value, count in by_label.items():
                _add(families, name, count, {label: value})
        for source in self._sources:
            _add(families, "source_up", int(source.is_up), {"path": source.label})
            if source.lag_bytes is not None:
                _add(families, "source_lag_bytes", source.lag_bytes, {"path": source.label})
        return iter(families)


def _add(families: Families, name: str, value: float, labels: dict[str, str] | None = None) -> None:
    row = series.SELF_SERIES[name]
    families.add(PREFIX + series.SELF_PREFIX + name, row.kind, row.help, labels or {}, value)

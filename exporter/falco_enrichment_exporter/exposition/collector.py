"""Our own series of a host: what its snapshots say, and what lies between two of them."""

from collections.abc import Mapping

from falco_enrichment_exporter.core import series
from falco_enrichment_exporter.core.catalog import COUNTERS, PREFIX, REPORTED_GROUPS, SERIES_FIELDS, Kind
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intervals import WINDOWS
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.exposition.families import Labels
from falco_enrichment_exporter.exposition.hosts import Sink


class HostSeries:
    """Our own series of one host, under ``falco_enrichment_``. Unknown is absent, never 0 and never NaN."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def __call__(self, sink: Sink, hostname: str, tracks: dict[str, Track]) -> None:
        """Add all samples of the host."""
        for source, track in tracks.items():
            key = {"hostname": hostname, "source": source}
            _add_fields(sink, key, track)
            _add_intervals(sink, key, track)
            _add_snapshot(sink, key, track, self._fleet.thread_table_limit(track))


def _add_fields(sink: Sink, key: Labels, track: Track) -> None:
    for field in SERIES_FIELDS:
        value = track.life.marks.get(field.key) if field.kind is Kind.COUNTER else track.fields.get(field.key)
        if isinstance(value, int | float) and field.series is not None:
            sink.add(PREFIX + field.series, field.kind, field.help, key | dict(field.labels), value)


def _add_intervals(sink: Sink, key: Labels, track: Track) -> None:
    for field in COUNTERS:
        value = track.life.per_second(field.key)
        if value is not None and field.series is not None:
            name = PREFIX + per_second_name(field.series)
            sink.add(name, Kind.GAUGE, per_second_help(field.series), key | dict(field.labels), value)
    for window, length in WINDOWS.items():
        labels = key | {"window": window}
        values: dict[str, float | None] = {
            ratio.name: track.life.ratio(ratio.over, ratio.under, length) for ratio in series.RATIOS
        }
        values[series.IMAGE_RATIO] = track.life.missing_image_ratio(length)
        for name, (counter, _) in series.WINDOW_COUNTS.items():
            values[name] = track.life.increase(counter, length)
        _add_known(sink, labels, values)
    _add_known(
        sink,
        key,
        {name + series.IN_A_ROW: track.life.in_a_row(counter) for name, (counter, _) in series.WINDOW_COUNTS.items()},
    )


def _add_snapshot(sink: Sink, key: Labels, track: Track, table_limit: int) -> None:
    life, fields = track.life, track.fields
    threads = fields.get("falco.n_threads")
    _add_known(
        sink,
        key,
        {
            "snapshot_timestamp_seconds": life.at_ns / 1e9,
            "snapshot_interval_seconds": life.interval_seconds,
            "snapshots_total": track.snapshots,
            "life_snapshots": life.snapshots,
            "falco_start_timestamp_seconds": life.start_ns / 1e9 if life.start_ns else None,
            "falco_reload_timestamp_seconds": life.reload_ns / 1e9 if life.reload_ns else None,
            "falco_uptime_seconds": track.uptime_seconds,
            "falco_restarts_total": track.restarts,
            "falco_reloads_total": track.reloads,
            "threadtable_limit": table_limit if isinstance(threads, int | float) else None,
            "threadtable_usage_ratio": threads / table_limit if isinstance(threads, int | float) else None,
        },
    )
    info = {
        "version": str(fields.get("falco.version", "")),
        "engine": str(fields.get("scap.engine_name", "")),
        "kernel_release": str(fields.get("falco.kernel_release", "")),
    }
    _add_known(sink, key | info, {"falco_info": 1})
    for group in REPORTED_GROUPS:
        _add_known(sink, key | {"group": group.value}, {"snapshot_group_enabled": int(group in track.groups)})


def _add_known(sink: Sink, labels: Labels, values: Mapping[str, float | None]) -> None:
    for name, value in values.items():
        if value is not None:
            row = series.SNAPSHOT_SERIES[name]
            sink.add(PREFIX + name, row.kind, row.help, labels, value)


def per_second_name(counter: str) -> str:
    """Name the per-interval rate of a counter."""
    return counter.removesuffix("_total") + "_per_second"


def per_second_help(counter: str) -> str:
    """Describe the per-interval rate of a counter."""
    return f"Increase of {PREFIX}{counter} per second between the last two snapshots of one Falco life."

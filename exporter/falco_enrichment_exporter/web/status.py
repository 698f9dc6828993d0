"""What the status page and /api/v1/status show: the fleet, judged by the configured thresholds. Pure."""

from typing import Any

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.core import intervals
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.series import IMAGE_RATIO, RATIOS, WINDOW_COUNTS
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.exposition.alerts import Thresholds
from falco_enrichment_exporter.exposition.telemetry import SourceStatus

STALE_INTERVALS = 2.5
STALE_SLACK_SECONDS = 120
IN_A_ROW = frozenset(WINDOW_COUNTS)  # whose critical limit counts snapshots in a row: not judged by one value


def status(
    fleet: Fleet, sources: list[SourceStatus], thresholds: Thresholds, *, now: float, waiting_for: str | None
) -> dict[str, Any]:
    """Describe everything that is known, hosts with trouble first. ``now`` is in seconds since 1970."""
    hosts = [
        describe(hostname, source, track, table_limit=fleet.thread_table_limit(track), thresholds=thresholds, now=now)
        for hostname, tracks in fleet.hosts.items()
        for source, track in tracks.items()
    ]
    order = {"critical": 0, "warning": 1, "stale": 2, "unknown": 3, "ok": 4}
    hosts.sort(key=lambda host: (order[host["state"]], host["hostname"], host["source"]))
    return {
        "version": __version__,
        "now": now,
        "ready": waiting_for is None,
        "waiting_for": waiting_for,
        "hosts": hosts,
        "sources": [{"path": s.label, "up": s.is_up, "lag_bytes": s.lag_bytes} for s in sources],
        "lines": dict(fleet.lines),
        "rejected": dict(fleet.rejections),
        "limit_hits": {name: count for name, count in fleet.limit_hits.items() if count},
    }


def describe(
    hostname: str, source: str, track: Track, *, table_limit: int, thresholds: Thresholds, now: float
) -> dict[str, Any]:
    """Describe one (host, source); None stands for unknown throughout."""
    signals = {name: _judged(name, value, thresholds) for name, value in _signals(track, table_limit).items()}
    age = max(now - track.life.at_ns / 1e9, 0)
    return {
        "hostname": hostname,
        "source": source,
        "state": _state(track, age, signals),
        "snapshot_timestamp_seconds": track.life.at_ns / 1e9,
        "snapshot_age_seconds": age,
        "snapshot_interval_seconds": track.life.interval_seconds,
        "falco_version": track.fields.get("falco.version"),
        "engine": track.fields.get("scap.engine_name"),
        "uptime_seconds": track.uptime_seconds,
        "restarts": track.restarts,
        "reloads": track.reloads,
        "containers": intervals.gauge(track.fields, "falco.n_containers", "plugins.container.n_containers"),
        "threads": intervals.gauge(track.fields, "falco.n_threads"),
        "signals": signals,
    }


def _signals(track: Track, table_limit: int) -> dict[str, float | None]:
    threads = intervals.gauge(track.fields, "falco.n_threads")
    values: dict[str, float | None] = {r.name: track.life.ratio(r.over, r.under, 1) for r in RATIOS}
    values["threadtable_usage_ratio"] = threads / table_limit if threads is not None else None
    values[IMAGE_RATIO] = track.life.missing_image_ratio(1)
    values |= {name: track.life.increase(key, 1) for name, (key, _) in WINDOW_COUNTS.items()}
    return values


def _judged(name: str, value: float | None, thresholds: Thresholds) -> dict[str, Any]:
    limits = thresholds.get(name, {})
    warning, critical = limits.get("warning"), limits.get("critical")
    if value is None:
        verdict = "unknown"
    elif warning is None and critical is None:
        verdict = "unjudged"
    elif critical is not None and value > critical and name not in IN_A_ROW:
        verdict = "critical"
    elif warning is not None and value > warning:
        verdict = "warning"
    else:
        verdict = "ok"
    return {"value": value, "state": verdict, "warning": warning, "critical": critical}


def _state(track: Track, age: float, signals: dict[str, dict[str, Any]]) -> str:
    if is_stale(age, track.life.interval_seconds):
        return "stale"
    found = {signal["state"] for signal in signals.values()}
    if "critical" in found or "warning" in found:
        return "critical" if "critical" in found else "warning"
    return "ok" if "ok" in found else "unknown"


def is_stale(age_seconds: float, interval_seconds: float | None) -> bool:
    """Say whether a snapshot is too old: 2.5 intervals and two minutes; Falco's default interval until one is known."""
    return age_seconds > STALE_INTERVALS * (interval_seconds or 3600) + STALE_SLACK_SECONDS

"""What the status page and /api/v1/status show: the fleet, and the findings of core.verdicts. Pure."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.core import intervals
from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.domains import Domain
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.ledger import HostCounts
from falco_enrichment_exporter.core.signals import SIGNALS, signal_value
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.core.verdicts import Finding, HostJudge, Limits, is_stale
from falco_enrichment_exporter.exposition.telemetry import SourceStatus

_ABOUT = (
    "snapshot_timestamp_seconds", "snapshot_interval_seconds", "falco_version", "engine", "uptime_seconds", "restarts",
    "reloads", "containers", "threads",
)  # fmt: skip
PAGE_HOSTS = 100
_ORDER = {"critical": 0, "warning": 1, "stale": 2, "unknown": 3, "ok": 4}


def status(
    fleet: Fleet, sources: list[SourceStatus], thresholds: Limits, *, now: float, waiting_for: str | None
) -> dict[str, Any]:
    """Describe everything that is known, hosts with trouble first. ``now`` is in seconds since 1970."""
    ledger = fleet.alerts.ledger
    names = dict.fromkeys([*fleet.hosts, *ledger.hosts, *ledger.without_fields])
    hosts = [row for hostname in names for row in describe(hostname, fleet, thresholds=thresholds, now=now)]
    hosts.sort(key=lambda host: (_ORDER[host["state"]], host["hostname"], host["source"]))
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


def narrowed(status: dict[str, Any], search: str, page: int) -> dict[str, Any]:
    """Return what one page shows: hosts whose name contains ``search``, a hundred at a time; and counts of all."""
    found = [host for host in status["hosts"] if search.lower() in host["hostname"].lower()]
    states = Counter(host["state"] for host in status["hosts"])
    pages = max(-(-len(found) // PAGE_HOSTS), 1)
    page = min(max(page, 1), pages)
    shown = found[(page - 1) * PAGE_HOSTS : page * PAGE_HOSTS]
    about = {"all_hosts": len(status["hosts"]), "found_hosts": len(found), "pages": pages, "page": page}
    counts = {state: states[state] for state in _ORDER if states[state]}
    return status | about | {"hosts": shown, "states": counts, "search": search}


def describe(hostname: str, fleet: Fleet, *, thresholds: Limits, now: float) -> list[dict[str, Any]]:
    """Describe the sources of a host; None stands for unknown throughout. Findings are with its syscalls."""
    tracks, ledger = fleet.hosts.get(hostname, {}), fleet.alerts.ledger
    track = tracks.get(SYSCALL)
    judge = HostJudge(
        hostname,
        track,
        ledger.hosts.get(hostname),
        limits=thresholds,
        table_limit=fleet.thread_table_limit(track) if track is not None else 1,
        now=now,
        without_fields=ledger.without_fields[hostname],
    )
    findings = judge.findings()
    sources: dict[str, Track | None] = {SYSCALL: None} | tracks if hostname in ledger.hosts else {**tracks}
    rows: list[dict[str, Any]] = []
    for source, known in sources.items():
        found = findings if source == SYSCALL else []
        age = max(now - known.life.at_ns / 1e9, 0) if known is not None else None
        row: dict[str, Any] = {
            "hostname": hostname,
            "source": source,
            "state": _state(known, age, found),
            "snapshot_age_seconds": age,
        }
        row |= _about(known) | {"signals": _signals(known, fleet, found), "recent_fields": {}}
        row["findings"] = [asdict(finding) | {"title": finding.title} for finding in found]
        row["not_judged"] = []
        if source == SYSCALL:
            row["not_judged"] = [{"cause": item.cause, "reason": item.reason} for item in judge.not_judged]
            row["recent_fields"] = _recent_fields(ledger.hosts.get(hostname))
        rows.append(row)
    return rows


def _about(track: Track | None) -> dict[str, Any]:
    if track is None:
        return dict.fromkeys(_ABOUT)
    values = (
        track.life.at_ns / 1e9,
        track.life.interval_seconds,
        track.fields.get("falco.version"),
        track.fields.get("scap.engine_name"),
        track.uptime_seconds,
        track.restarts,
        track.reloads,
        intervals.gauge(track.fields, "falco.n_containers", "plugins.container.n_containers"),
        intervals.gauge(track.fields, "falco.n_threads"),
    )
    return dict(zip(_ABOUT, values, strict=True))


def _recent_fields(counts: HostCounts | None) -> dict[str, dict[str, int]]:
    """Return how often fields of each domain were present and missing in the last alerts."""
    shares = {domain.value: counts.recent_share(domain) for domain in Domain} if counts is not None else {}
    return {domain: {"present": present, "missing": missing} for domain, (present, missing) in shares.items()}


def _signals(track: Track | None, fleet: Fleet, findings: list[Finding]) -> dict[str, dict[str, Any]]:
    """Return the newest value of every signal, and what the findings say of it."""
    severities = {finding.signal: finding.severity for finding in reversed(findings)}
    limit = fleet.thread_table_limit(track) if track is not None else 1
    values = {s.name: signal_value(track, s.name, 1, limit) if track is not None else None for s in SIGNALS}
    return {
        name: {"value": value, "state": "unknown" if value is None else severities.get(name, "ok")}
        for name, value in values.items()
    }


def _state(track: Track | None, age: float | None, findings: list[Finding]) -> str:
    if track is not None and age is not None and is_stale(age, track.life.interval_seconds):
        return "stale"
    severities = {finding.severity for finding in findings}
    if severities:
        return "critical" if "critical" in severities else "warning"
    return "ok" if track is not None and track.life.intervals else "unknown"

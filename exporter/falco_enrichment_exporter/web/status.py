"""What the status page and /api/v1/status show: the fleet, and the findings of core.verdicts."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.core import history, intervals
from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.domains import Domain
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.ledger import HostCounts
from falco_enrichment_exporter.core.signals import ALERT_RATIO, SIGNALS, signal_value
from falco_enrichment_exporter.core.track import Track, age_seconds
from falco_enrichment_exporter.core.verdicts import Finding, HostJudge, Limits, is_stale, judged_source
from falco_enrichment_exporter.exposition.telemetry import SourceStatus
from falco_enrichment_exporter.turns import Turns

PAGE_HOSTS: Final = 100
_AT_ONCE: Final = 10  # rows, which are mostly of as many hosts
_ABOUT: Final = (
    "snapshot_timestamp_seconds", "snapshot_interval_seconds", "falco_version", "engine", "uptime_seconds", "restarts",
    "reloads", "containers", "threads",
)  # fmt: skip
_RANKS: Final = {"critical": 0, "warning": 1, "stale": 2, "unknown": 3, "ok": 4}

Place = tuple[int, str, str, str]
"""Rank (the worst is 0), hostname, source and state of a row."""


class Overview:
    """Describes the fleet, hosts with trouble first. It judges anew only hosts of which something has changed."""

    def __init__(
        self,
        fleet: Fleet,
        sources: Iterable[SourceStatus],
        limits: Limits,
        *,
        waiting_for: Callable[[], str | None],
    ) -> None:
        self._fleet = fleet
        self._sources = sources
        self._limits = limits
        self._waiting_for = waiting_for
        self._known: dict[str, tuple[object, list[Place]]] = {}  # hostname -> what it was judged by, its rows

    async def everything(self, now: float, search: str = "") -> dict[str, Any]:
        """Describe all hosts whose name contains ``search``. ``now`` is in seconds since 1970."""
        places = found(await self._places(now), search)
        hosts: list[dict[str, Any]] = []
        turns = Turns()
        for first in range(0, len(places), _AT_ONCE):
            hosts += self._rows(places[first : first + _AT_ONCE], now)
            await turns.pause()
        return self._about(now) | {"hosts": hosts}

    async def page(self, now: float, search: str, number: int) -> dict[str, Any]:
        """Describe a hundred of these hosts, and count all of them; a page that is not there is the nearest one."""
        places = await self._places(now)
        shown = found(places, search)
        states = Counter(state for *_, state in places)
        pages = max(-(-len(shown) // PAGE_HOSTS), 1)
        number = min(max(number, 1), pages)
        rows = self._rows(shown[(number - 1) * PAGE_HOSTS : number * PAGE_HOSTS], now)
        counts = {state: states[state] for state in _RANKS if states[state]}
        about = {"all_hosts": len(places), "found_hosts": len(shown), "pages": pages, "page": number}
        return self._about(now) | about | {"hosts": rows, "states": counts, "search": search, "limits": self._limits}

    def _about(self, now: float) -> dict[str, Any]:
        fleet, waiting_for = self._fleet, self._waiting_for()
        return {
            "version": __version__,
            "now": now,
            "ready": waiting_for is None,
            "waiting_for": waiting_for,
            "sources": [
                {"path": s.label, "up": s.is_up, "error": _error(s.failure), "lag_bytes": s.lag_bytes}
                for s in self._sources
            ],
            "lines": dict(fleet.lines),
            "rejected": dict(fleet.rejections),
            "limit_hits": {name: count for name, count in fleet.limit_hits.items() if count},
        }

    async def _places(self, now: float) -> list[Place]:
        """Return a place for each row, the worst first."""
        ledger = self._fleet.alerts.ledger
        known: dict[str, tuple[object, list[Place]]] = {}
        names = list(dict.fromkeys([*self._fleet.hosts, *ledger.hosts, *ledger.without_fields]))
        turns = Turns()
        for hostname in names:
            revision = self._revision(hostname, now)
            before = self._known.get(hostname)
            if before is not None and before[0] == revision:
                known[hostname] = before
            else:
                rows = describe(hostname, self._fleet, limits=self._limits, now=now)
                known[hostname] = revision, [_place(row) for row in rows]
            await turns.pause()
        self._known = known
        return sorted(place for _, places in known.values() for place in places)

    def _revision(self, hostname: str, now: float) -> object:
        """Return something that is another whenever a judgement could be another."""
        tracks, ledger = self._fleet.hosts.get(hostname, {}), self._fleet.alerts.ledger
        counts = ledger.hosts.get(hostname)
        snapshots = [(source, track.snapshots, _freshness(track, now)) for source, track in tracks.items()]
        return snapshots, counts and counts.revision, hostname in ledger.without_fields

    def _rows(self, places: list[Place], now: float) -> list[dict[str, Any]]:
        described: dict[str, dict[str, dict[str, Any]]] = {}
        for _, hostname, _, _ in places:
            if hostname not in described:
                rows = describe(hostname, self._fleet, limits=self._limits, now=now)
                described[hostname] = {row["source"]: row for row in rows}
        # A host may have got another name since the places were given.
        return [described[name][source] for _, name, source, _ in places if source in described[name]]


def found(places: list[Place], search: str) -> list[Place]:
    """Return the rows of hosts whose name contains a text, in any case."""
    return [place for place in places if search.lower() in place[1].lower()] if search else places


def describe(hostname: str, fleet: Fleet, *, limits: Limits, now: float) -> list[dict[str, Any]]:
    """Describe the sources of a host; None stands for unknown throughout. Findings are with the one it is judged by."""
    tracks, ledger = fleet.hosts.get(hostname, {}), fleet.alerts.ledger
    counts = ledger.hosts.get(hostname)
    judge = HostJudge(
        hostname,
        tracks,
        counts,
        limits=limits,
        table_limit=fleet.thread_table_limit,
        now=now,
        without_fields=ledger.without_fields[hostname],
    )
    findings = judge.findings()
    has_alerts = counts is not None or hostname in ledger.without_fields
    sources: dict[str, Track | None] = {SYSCALL: None} | tracks if has_alerts else {**tracks}
    judged = SYSCALL if has_alerts else judged_source(tracks)
    rows: list[dict[str, Any]] = []
    for source, known in sources.items():
        is_judged = source == judged
        row: dict[str, Any] = {
            "hostname": hostname,
            "source": source,
            "state": _state(known, findings if is_judged else [], now),
            "snapshot_age_seconds": age_seconds(known.life.at_ns, now) if known is not None else None,
        }
        row |= _about(known)
        row["signals"] = _signals(known, fleet, counts if is_judged else None)
        severities = {finding.signal: finding.severity for finding in reversed(findings if is_judged else [])}
        for name, signal in row["signals"].items():
            known_state = _signal_state(signal["value"], row["state"], is_judged=is_judged and name in judge.judged)
            signal["state"] = severities.get(name, known_state)
        row["findings"] = [asdict(finding) | {"title": finding.title} for finding in findings if is_judged]
        row["not_judged"] = [{"cause": n.cause, "reason": n.reason} for n in judge.not_judged if is_judged]
        row["recent_fields"] = _recent_fields(counts) if is_judged else {}
        rows.append(row)
    return rows


def _error(failure: int) -> str | None:
    """Return in words why a source cannot be read; None if nothing is wrong with it."""
    if not failure:
        return None
    return os.strerror(failure).lower() if failure in errno.errorcode else "cannot be read"


def _place(row: dict[str, Any]) -> Place:
    return _RANKS[row["state"]], row["hostname"], row["source"], row["state"]


def _freshness(track: Track | None, now: float) -> str:
    """Return whether the newest snapshot is ``fresh`` or ``stale``; ``unknown`` if nothing tells."""
    age = age_seconds(track.life.at_ns, now) if track is not None else None
    if track is None or age is None:
        return "unknown"
    return "stale" if is_stale(age, track.life.interval_seconds) else "fresh"


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


def _signals(track: Track | None, fleet: Fleet, counts: HostCounts | None) -> dict[str, dict[str, Any]]:
    """Return the newest value of every signal, and the values before it."""
    limit = fleet.thread_table_limit(track) if track is not None else 1
    values = {s.name: signal_value(track, s.name, 1, limit) if track is not None else None for s in SIGNALS}
    values[ALERT_RATIO] = max(counts.missing_ratios.values(), default=None) if counts is not None else None
    past = history.by_signal(track.history if track is not None else b"")
    return {name: {"value": value, "history": past[name]} for name, value in values.items()}


def _signal_state(value: float | None, state: str, *, is_judged: bool) -> str:
    """Return the state of a signal of which nothing was found, in a row of some state: old or unjudged is not ok."""
    if value is None:
        return "unknown"
    if is_judged:
        return "ok"
    return "stale" if state == "stale" else "unknown"


def _state(track: Track | None, findings: list[Finding], now: float) -> str:
    freshness = _freshness(track, now)
    if freshness == "stale":
        return "stale"
    severities = {finding.severity for finding in findings}
    if severities:
        return "critical" if "critical" in severities else "warning"
    return "ok" if freshness == "fresh" and track is not None and track.life.intervals else "unknown"

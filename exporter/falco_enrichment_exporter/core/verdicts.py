"""From what is known of a host to findings: what is degraded, since when, why, and what to do next. The one place.

Snapshot signals count only if the newest interval and the last three together breach, so persistence is counted in
snapshots; old values count for nothing, and start-up is no fault. The alerts' own fields are the primary evidence of
metadata that is lost: Falco's counters can be 0 while every alert is null.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from falco_enrichment_exporter.core import intervals
from falco_enrichment_exporter.core.catalog import SYSCALL, Version
from falco_enrichment_exporter.core.causes import ORDER, TITLES, Cause, Pattern, next_step
from falco_enrichment_exporter.core.domains import Domain
from falco_enrichment_exporter.core.ledger import LEAST_ALERTS, HostCounts
from falco_enrichment_exporter.core.series import IMAGE_RATIO, WINDOW_COUNTS
from falco_enrichment_exporter.core.signals import ALERT_RATIO, SIGNALS, USAGE_RATIO, Signal, signal_value
from falco_enrichment_exporter.core.track import Track, age_seconds
from falco_enrichment_exporter.core.words import duration

Limits = Mapping[str, Mapping[str, float | None]]
"""signal -> severity -> limit; None: no such limit."""

STALE_INTERVALS: Final = 2.5
STALE_SLACK_SECONDS: Final = 120
UNKNOWN_INTERVAL_SECONDS: Final = 3600  # Falco's default
WARM_SECONDS: Final = 1800
LEAST_CONTAINERS: Final = 5
MOST: Final = 0.5
ALL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``since`` is in seconds since 1970, None where only the present is known."""

    hostname: str
    domain: str
    severity: str
    signal: str
    value: float
    threshold: float
    since: float | None
    cause: Cause
    evidence: str
    next_step: str
    runbook: str

    @property
    def title(self) -> str:
        """What is wrong, in words."""
        return TITLES[self.cause]


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Something that could not be judged, and why."""

    hostname: str
    cause: Cause
    reason: str


_DOMAIN_CAUSES: Final = {
    Domain.CONTAINER_IMAGE: Cause.CONTAINER_RUNTIME,
    Domain.KUBERNETES: Cause.CONTAINER_RUNTIME,
    Domain.USER_NAME: Cause.USER_MOUNTS,
    Domain.PROCESS_TREE: Cause.THREAD_LOOKUPS,
    Domain.PROCESS: Cause.THREAD_LOOKUPS,
}
_NO_SYSCALLS: Final = "no metrics snapshot of the syscall source was seen"
_ALERT_RUNBOOK: Final = "falcoalertswithoutmetadata"


def is_stale(age_seconds: float, interval_seconds: float | None) -> bool:
    """Say whether a snapshot is too old: 2.5 intervals and two minutes; Falco's default interval until one is known."""
    return age_seconds > STALE_INTERVALS * (interval_seconds or UNKNOWN_INTERVAL_SECONDS) + STALE_SLACK_SECONDS


def judged_source(tracks: Mapping[str, Track]) -> str:
    """Return the source by which a host is judged: ``syscall``, or another one of a Falco that watches no syscalls."""
    return SYSCALL if SYSCALL in tracks or not tracks else min(tracks)


class HostJudge:
    """Judge one host: its newest snapshots by source, and the fields of its last alerts, whichever there are."""

    def __init__(
        self,
        hostname: str,
        tracks: Mapping[str, Track],
        counts: HostCounts | None,
        *,
        limits: Limits,
        table_limit: Callable[[Track], int],
        now: float,
        without_fields: int = 0,
    ) -> None:
        self._hostname = hostname
        self._source = judged_source(tracks)
        self._track = tracks.get(self._source)
        self._counts = counts
        self._limits = limits
        self._table_limit = table_limit(self._track) if self._track is not None else 1
        self._now = now
        self._without_fields = without_fields
        self.judged: set[str] = set()  # the signals
        self.not_judged: list[NotJudged] = []

    def findings(self) -> list[Finding]:
        """Return what is wrong, causes first; what could be judged is in ``judged`` and ``not_judged`` then."""
        self.judged, self.not_judged = set(), []
        found = [*self._of_snapshots(), *self._of_alerts()]
        severities = ("critical", "warning")
        return sorted(found, key=lambda finding: (ORDER[finding.cause], severities.index(finding.severity)))

    @property
    def _version(self) -> Version | None:
        return self._track.version if self._track is not None else None

    def _skip(self, reason: str, *causes: Cause) -> None:
        self.not_judged += [NotJudged(self._hostname, cause, reason) for cause in dict.fromkeys(causes)]

    # -- snapshots -----------------------------------------------------------------------------------------------

    def _of_snapshots(self) -> Iterator[Finding]:
        track, causes = self._track, [signal.cause for signal in SIGNALS]
        if track is None:
            self._skip(_NO_SYSCALLS, Cause.STALE, *causes)
            return
        age = age_seconds(track.life.at_ns, self._now)
        if age is None:
            ahead = duration(track.life.at_ns / 1e9 - self._now)
            self._skip(f"the newest snapshot is {ahead} ahead of the time", Cause.STALE)
        elif is_stale(age, track.life.interval_seconds):
            yield self._stale(track, age)
            self._skip("the newest snapshot is too old", *causes)
            return
        for signal in SIGNALS:
            if not track.life.intervals and signal.name != USAGE_RATIO:
                self._skip("Falco's counters have one snapshot only since they began", signal.cause)
            else:
                yield from self._of_signal(track, signal)

    def _stale(self, track: Track, age: float) -> Finding:
        interval = track.life.interval_seconds or UNKNOWN_INTERVAL_SECONDS
        return self._finding(
            Cause.STALE, "warning", "snapshot_age_seconds", age, STALE_INTERVALS * interval + STALE_SLACK_SECONDS,
            domain="all", since=track.life.at_ns / 1e9 + interval, runbook="falcosnapshotstale",
            evidence=f"the newest snapshot is {duration(age)} old; {_rhythm(track)}",
        )  # fmt: skip

    def _of_signal(self, track: Track, signal: Signal) -> Iterator[Finding]:
        reason = self._why_not(track, signal)
        if reason:
            self._skip(reason, signal.cause)
            return
        newest = signal_value(track, signal.name, 1, self._table_limit)
        three = signal_value(track, signal.name, 3, self._table_limit)
        if newest is None or three is None:
            return
        self.judged.add(signal.name)
        severity, limit = self._severity(track, signal.name, newest, three)
        if severity:
            yield self._finding(
                signal.cause, severity, signal.name, newest, limit, domain=signal.domain, runbook=signal.runbook,
                since=self._since(track, signal.name), evidence=signal.text.format(value=newest),
            )  # fmt: skip

    def _why_not(self, track: Track, signal: Signal) -> str:
        """Say why a signal is not to be judged; empty if it is."""
        if signal.group not in track.groups and self._source != SYSCALL:
            return _NO_SYSCALLS
        if signal.group not in track.groups:
            return f"the snapshots have no {signal.group} counters (falco.yaml: metrics)"
        if signal.is_warm and track.uptime_seconds is None:
            return "the snapshots do not tell how long Falco has run"
        if signal.is_warm and (track.uptime_seconds or 0) < WARM_SECONDS:
            return "Falco started less than 30 minutes ago"
        is_of_few = signal.name == IMAGE_RATIO and not self._has_containers(track)
        return f"fewer than {LEAST_CONTAINERS} containers are known" if is_of_few else ""

    def _severity(self, track: Track, name: str, newest: float, three: float) -> tuple[str, float]:
        """Return the severity, empty if none, and the limit that was breached."""
        limits = self._limits.get(name, {})
        warning, critical = limits.get("warning"), limits.get("critical")
        if critical is not None and name in WINDOW_COUNTS:  # its critical limit is a number of snapshots
            if (track.life.in_a_row(WINDOW_COUNTS[name][0], warning or 0) or 0) >= critical:
                return "critical", critical
        elif critical is not None and min(newest, three) > critical:
            return "critical", critical
        return ("warning", warning) if warning is not None and min(newest, three) > warning else ("", 0)

    def _since(self, track: Track, name: str) -> float | None:
        """Return when it began: with the newest interval, or with the earliest one kept if all are over the limit."""
        kept = track.life.intervals
        if name == USAGE_RATIO or not kept:
            return None
        least = self._limits.get(name, {}).get("warning") or 0
        is_long = name not in WINDOW_COUNTS or track.life.in_a_row(WINDOW_COUNTS[name][0], least) == len(kept)
        return track.life.at_ns / 1e9 - sum(interval.seconds for interval in (kept if is_long else kept[-1:]))

    def _has_containers(self, track: Track) -> bool:
        containers = intervals.gauge(track.fields, "falco.n_containers", "plugins.container.n_containers")
        return containers is not None and containers >= LEAST_CONTAINERS

    # -- alerts --------------------------------------------------------------------------------------------------

    def _of_alerts(self) -> Iterator[Finding]:
        counts = self._counts
        if counts is None or not counts.fields:
            why = "alerts have no output_fields" if self._without_fields else "no alerts with fields were seen"
            self._skip(why, Cause.CONTAINER_RUNTIME, Cause.USER_MOUNTS)
            return
        causes: dict[Cause, list[tuple[float, Domain]]] = {}
        ratios = counts.missing_ratios
        self.judged |= {ALERT_RATIO} if ratios else set()
        for domain, ratio in ratios.items():
            if ratio:
                causes.setdefault(_DOMAIN_CAUSES[domain], []).append((ratio, domain))
        for cause in (Cause.CONTAINER_RUNTIME, Cause.USER_MOUNTS):
            if cause not in {_DOMAIN_CAUSES[domain] for domain in ratios}:
                self._skip(f"fewer than {LEAST_ALERTS} alerts show fields that must be there", cause)
        for cause, shares in causes.items():
            yield from self._of_shares(counts, cause, *max(shares))

    def _of_shares(self, counts: HostCounts, cause: Cause, value: float, domain: Domain) -> Iterator[Finding]:
        limits = self._limits.get(ALERT_RATIO, {})
        known = [(name, limits.get(name)) for name in ("critical", "warning")]
        over = [(name, limit) for name, limit in known if limit is not None and value > limit]
        if over:
            severity, limit = over[0]
            pattern = runtime_pattern(counts) if cause is Cause.CONTAINER_RUNTIME else None
            rows = counts.worst(domain)
            worst = "; ".join(f"{name} is missing in {missing} of {total}" for name, missing, total in rows)
            yield self._finding(
                cause, severity, ALERT_RATIO, value, limit, domain=domain, since=None, runbook=_ALERT_RUNBOOK,
                evidence=f"in the last alerts {worst}" + (f" ({pattern})" if pattern else ""), pattern=pattern,
            )  # fmt: skip

    def _finding(
        self, cause: Cause, severity: str, signal: str, value: float, threshold: float, *,
        domain: str, since: float | None, runbook: str, evidence: str, pattern: Pattern | None = None,
    ) -> Finding:  # fmt: skip
        step = next_step(cause, self._version, pattern)
        return Finding(
            self._hostname, domain, severity, signal, value, threshold, since, cause, evidence, step, runbook
        )  # fmt: skip


def _rhythm(track: Track) -> str:
    interval = track.life.interval_seconds
    return f"one came every {duration(interval)}" if interval is not None else "it is the only one of its Falco"


def runtime_pattern(counts: HostCounts) -> Pattern | None:
    """Tell by which fields of containers are missing what is wrong with the runtime's answers."""

    def missing(*fields: str) -> float:
        shares = [counts.recent_share(domain, *fields) for domain in (Domain.CONTAINER_IMAGE, Domain.KUBERNETES)]
        total = sum(map(sum, shares))
        return sum(share[1] for share in shares) / total if total else 0

    image = missing("container.image.repository", "container.image")
    if image > ALL:
        return Pattern.NO_ANSWER
    if missing("container.name") > max(image, MOST):
        return Pattern.NO_NAMES
    if missing("k8s.pod.name", "k8s.ns.name") > max(image, MOST):
        return Pattern.NO_PODS
    return Pattern.SOME_CONTAINERS

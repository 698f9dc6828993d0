"""State of every host: fold(record) changes it, collectors read it, and nobody else does."""

from collections import Counter
from operator import attrgetter
from typing import Final

import msgspec

from falco_enrichment_exporter.core.records import Alert, Head, Record, Rejection, Snapshot, classify
from falco_enrichment_exporter.core.track import Track, advance, new_track

FIXED_TABLE_UNTIL: Final = (0, 38)
FIXED_TABLE_SIZE: Final = 131072  # libs before 0.14: no setting
OVERFLOW: Final = "(other)"
MAX_SOURCES: Final = 32


Kind = tuple[str | None, str | None, str | None]
"""Three names that an alert is counted by; a key of the counts has no None, a line just read may."""

_KIND: Final = attrgetter("hostname", "source", "priority", "rule")


class Limits(msgspec.Struct, frozen=True):
    """How much is kept, whatever is written into the log."""

    max_hosts: int = 10_000
    max_rules: int = 1_000


class FleetState(msgspec.Struct):
    """Everything a Fleet knows, in types that can be stored."""

    hosts: dict[str, dict[str, Track]]
    alerts: list[tuple[str, str, str, int]]
    rule_alerts: list[tuple[str, str, str, int]]
    counts: dict[str, dict[str, int]]
    names: dict[str, str]
    turned_away: list[str]


class Fleet:
    """All that is known about the hosts, and the counts of what was read.

    ``hosts`` maps hostname -> source -> Track. ``default_hostname`` names hosts of lines that carry no name.
    """

    def __init__(
        self,
        *,
        default_hostname: str,
        thread_table_size: int,
        limits: Limits | None = None,
        counts_alerts: bool = True,
    ) -> None:
        self.hosts: dict[str, dict[str, Track]] = {}
        self.alerts: dict[Kind, int] = {}  # hostname, source, priority
        self.rule_alerts: dict[Kind, int] = {}  # rule, priority, source
        kinds = ("snapshot", "alert", "other") if counts_alerts else ("snapshot",)
        self.lines: Counter[str] = Counter(dict.fromkeys(kinds, 0))
        self.rejections: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter(duplicate=0, older=0)
        self.limit_hits: Counter[str] = Counter(hosts=0, rules=0, sources=0)
        self.limits = limits or Limits()
        self._default_hostname = default_hostname
        self._thread_table_size = thread_table_size
        self.counts_alerts = counts_alerts
        self._names: dict[str, str] = {}  # evt.hostname -> hostname of the envelope
        self._turned_away: set[str] = set()
        self._rules: set[str] = set()
        self._alert_hosts: set[str] = set()
        self._alert_sources: set[str] = set()

    @property
    def dropped_hosts(self) -> int:
        """Count the distinct hosts that were turned away (exact up to ``max_hosts``)."""
        return len(self._turned_away)

    def fold(self, record: Record) -> None:
        """Take in one record."""
        if isinstance(record, Snapshot):
            self.lines["snapshot"] += 1
            self._fold_snapshot(record)
        elif isinstance(record, Rejection):
            self.reject(record.reason)
        elif self.counts_alerts:
            if isinstance(record, Alert):
                self._fold_alert(record)
            else:
                self.lines["other"] += 1

    def reject(self, reason: str, count: int = 1) -> None:
        """Count lines that could not be used."""
        if count:
            self.rejections[reason] += count

    def dump(self) -> FleetState:
        """Return the state, to be stored or encoded before anything is folded."""
        return FleetState(
            hosts=self.hosts,
            alerts=[(*_named(key), count) for key, count in self.alerts.items()],
            rule_alerts=[(*_named(key), count) for key, count in self.rule_alerts.items()],
            counts={name: dict(counter) for name, counter in self._counters.items()},
            names=self._names,
            turned_away=sorted(self._turned_away),
        )

    def restore(self, state: FleetState) -> None:
        """Take over a stored state; the fleet must be new."""
        self.hosts = state.hosts
        self.alerts = {(a, b, c): count for a, b, c, count in state.alerts}
        self.rule_alerts = {(a, b, c): count for a, b, c, count in state.rule_alerts}
        for name, counter in self._counters.items():
            counter.update(state.counts.get(name, {}))
        self._names = state.names
        self._turned_away = set(state.turned_away)
        self._alert_hosts = {hostname for hostname, *_ in state.alerts}
        self._alert_sources = {source for _, source, *_ in state.alerts}
        self._rules = {rule for rule, *_ in state.rule_alerts}

    @property
    def _counters(self) -> dict[str, Counter[str]]:
        return {
            "lines": self.lines,
            "rejections": self.rejections,
            "ignored": self.ignored,
            "limit_hits": self.limit_hits,
        }

    def thread_table_limit(self, track: Track) -> int:
        """Return the size of the thread table: the setting, or the fixed one of Falco before 0.38."""
        version = track.version
        return FIXED_TABLE_SIZE if version is not None and version < FIXED_TABLE_UNTIL else self._thread_table_size

    def fold_heads(self, heads: list[Head]) -> None:
        """Take in lines whose top level is decoded: ``fold(classify(head))``, but alerts of known kinds all at once.

        The keys of the counts are names as ``classify`` leaves them, so a line whose names are keys already is an
        ordinary alert and needs no second look.
        """
        kinds = list(map(_KIND, heads))
        others = set()
        for kind, count in Counter(kinds).items():
            hostname, source, priority, rule = kind
            host_key, rule_key = (hostname, source, priority), (rule, priority, source)
            if host_key in self.alerts and rule_key in self.rule_alerts:
                self.alerts[host_key] += count
                self.rule_alerts[rule_key] += count
                self.lines["alert"] += count
            else:
                others.add(kind)
        if others:
            for kind, head in zip(kinds, heads, strict=True):
                if kind in others:
                    self.fold(classify(head))

    def _fold_alert(self, alert: Alert) -> None:
        self.lines["alert"] += 1
        hostname = alert.hostname or self._default_hostname
        if hostname not in self._alert_hosts:
            if len(self._alert_hosts) >= self.limits.max_hosts:
                self._turn_away(hostname)
                return
            self._alert_hosts.add(hostname)
        source = self._within_limit("sources", alert.source, self._alert_sources, MAX_SOURCES)
        rule = self._within_limit("rules", alert.rule, self._rules, self.limits.max_rules)
        for counts, key in (
            (self.alerts, (hostname, source, alert.priority)),
            (self.rule_alerts, (rule, alert.priority, source)),
        ):
            counts[key] = counts.get(key, 0) + 1

    def _within_limit(self, limit: str, name: str, known: set[str], most: int) -> str:
        """Return the name itself while there is room for another one, else the name of all that are left out."""
        if name in known:
            return name
        if len(known) >= most:
            self.limit_hits[limit] += 1
            return OVERFLOW
        known.add(name)
        return name

    def _fold_snapshot(self, snapshot: Snapshot) -> None:
        hostname = self._hostname(snapshot)
        tracks = self.hosts.get(hostname)
        if tracks is None:
            if len(self.hosts) >= self.limits.max_hosts:
                self._turn_away(hostname)
                return
            tracks = self.hosts[hostname] = {}
        track = tracks.get(snapshot.source)
        if track is None:
            if len(tracks) < MAX_SOURCES:
                tracks[snapshot.source] = new_track(snapshot)
            else:
                self.limit_hits["sources"] += 1
        elif snapshot.at_ns == track.life.at_ns:
            self.ignored["duplicate"] += 1
        elif snapshot.at_ns < track.life.at_ns:
            self.ignored["older"] += 1
        else:
            advance(track, snapshot)

    def _turn_away(self, hostname: str) -> None:
        self.limit_hits["hosts"] += 1
        if len(self._turned_away) < self.limits.max_hosts:
            self._turned_away.add(hostname)

    def _hostname(self, snapshot: Snapshot) -> str:
        """Name the host: the envelope's name, else what an envelope called this evt.hostname, else evt.hostname."""
        event = snapshot.event_hostname
        if snapshot.hostname is None:
            return self._names.get(event, event) if event is not None else self._default_hostname
        if event is not None and event != snapshot.hostname:
            self._learn_name(event, snapshot.hostname)
        return snapshot.hostname

    def _learn_name(self, event: str, hostname: str) -> None:
        known = self._names.get(event)
        if known is None and len(self._names) < self.limits.max_hosts:
            self._names[event] = hostname
            self._rename(event, hostname)
        elif known is not None and known != hostname:
            self._names[event] = event  # two hosts go by this evt.hostname: it names neither

    def _rename(self, old: str, new: str) -> None:
        """Give a host that so far had only file-shape lines the name its envelope has just told."""
        if new not in self.hosts and old in self.hosts:
            self.hosts[new] = self.hosts.pop(old)


def _named(key: Kind) -> tuple[str, str, str]:
    first, second, third = key
    return first or "", second or "", third or ""

"""State of every host: fold(record) changes it, collectors read it, and nobody else does."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from falco_enrichment_exporter.core import history
from falco_enrichment_exporter.core.alerts import MAX_SOURCES, AlertCounts, AlertsState, Limits
from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.records import Alert, Head, Record, Rejection, Snapshot, classify, is_alert
from falco_enrichment_exporter.core.schema import Alike
from falco_enrichment_exporter.core.signals import SIGNALS, signal_value
from falco_enrichment_exporter.core.track import Track, advance, age_seconds, new_track

FIXED_TABLE_UNTIL: Final = (0, 38)
FIXED_TABLE_SIZE: Final = 131072  # libs before 0.14: no setting


HostSource = tuple[str, str]
"""Which track a snapshot belongs to: hostname and source."""


class FleetState(msgspec.Struct):
    """Everything a Fleet knows, in types that can be stored."""

    hosts: dict[str, dict[str, Track]]
    alerts: AlertsState
    counts: dict[str, dict[str, int]]
    names: dict[str, str]
    turned_away: list[str]


class Fleet:
    """All that is known about the hosts, and the counts of what was read.

    ``hosts`` maps hostname -> source -> Track. ``default_hostname`` names hosts of lines that carry no name.
    ``watch`` is told the hostname and source of every snapshot that has just been taken in.
    ``clock`` tells the Unix time. Without it all snapshots are of times to come, and the newest one stands.
    """

    def __init__(
        self,
        *,
        default_hostname: str,
        thread_table_size: int,
        limits: Limits | None = None,
        counts_alerts: bool = True,
        watch: Callable[[str, str], None] | None = None,
        clock: Callable[[], float] = lambda: 0,
    ) -> None:
        self.hosts: dict[str, dict[str, Track]] = {}
        self._watch = watch
        self._clock = clock
        kinds = ("snapshot", "alert", "other") if counts_alerts else ("snapshot",)
        self.lines: Counter[str] = Counter(dict.fromkeys(kinds, 0))
        self.rejections: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter(duplicate=0, older=0)
        self._limit_hits: Counter[str] = Counter(hosts=0, rules=0, sources=0, fields=0)
        self.limits = limits or Limits()
        self.alerts = AlertCounts(default_hostname, self.limits, self._limit_hits, self._turn_away)
        self._default_hostname = default_hostname
        self._thread_table_size = thread_table_size
        self.counts_alerts = counts_alerts
        self._names: dict[str, str] = {}  # evt.hostname -> hostname of the envelope
        self._turned_away: set[str] = set()

    @property
    def limit_hits(self) -> Counter[str]:
        """How often each limit kept something out."""
        self.alerts.settle()
        return self._limit_hits

    @property
    def dropped_hosts(self) -> int:
        """Count the distinct hosts that were turned away (exact up to ``max_hosts``)."""
        self.alerts.settle()
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
                self.lines["alert"] += 1
                self.alerts.add(record)
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
            alerts=self.alerts.dump(),
            counts={name: dict(counter) for name, counter in self._counters.items()},
            names=self._names,
            turned_away=sorted(self._turned_away),
        )

    def restore(self, state: FleetState) -> None:
        """Take over a stored state; the fleet must be new."""
        self.hosts = state.hosts
        self.alerts.restore(state.alerts)
        for name, counter in self._counters.items():
            counter.update(state.counts.get(name, {}))
        self._names = state.names
        self._turned_away = set(state.turned_away)

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

    def fold_heads(self, heads: Sequence[Head]) -> None:
        """Take in lines that are decoded: ``fold(classify(head))``."""
        for head in heads:
            if self.counts_alerts and is_alert(head):
                self.lines["alert"] += 1
                self.alerts.add(head)
            else:
                self.fold(classify(head))

    def fold_alike(self, alerts: Sequence[Alike]) -> None:
        """Take in alerts that the schema has decoded."""
        self.lines["alert"] += len(alerts)
        self.alerts.add_alike(alerts)

    def key_of(self, snapshot: Snapshot) -> HostSource:
        """Say which track a snapshot belongs to."""
        return self._hostname(snapshot), snapshot.source

    def is_newest(self, key: HostSource, snapshot: Snapshot) -> bool:
        """Say whether a snapshot is the newest one of its track."""
        track = self.hosts.get(key[0], {}).get(key[1])
        return track is not None and track.life.at_ns == snapshot.at_ns

    def begin_anew(self, key: HostSource, snapshots: list[Snapshot], *, found: int) -> None:
        """Let a track be what these snapshots tell, oldest first; so many of them are new here.

        For a search that goes backwards: what it finds later comes before what was folded already.
        """
        hostname, source = key
        self.lines["snapshot"] += found
        track = new_track(snapshots[0])
        self._remember(track, source)
        for snapshot in snapshots[1:]:
            if snapshot.at_ns > track.life.at_ns:
                advance(track, snapshot)
                self._remember(track, source)
        self.hosts[hostname][source] = track

    def _fold_snapshot(self, snapshot: Snapshot) -> None:
        hostname, source = self.key_of(snapshot)
        tracks = self.hosts.get(hostname)
        if tracks is None:
            if len(self.hosts) >= self.limits.max_hosts:
                self._turn_away(hostname)
                return
            tracks = self.hosts[hostname] = {}
        track = tracks.get(source)
        if track is None:
            if len(tracks) >= MAX_SOURCES:
                self._limit_hits["sources"] += 1
                return
            track = tracks[source] = new_track(snapshot)
        elif snapshot.at_ns <= track.life.at_ns and not self._is_put_back(track.life.at_ns, snapshot.at_ns):
            self.ignored["duplicate" if snapshot.at_ns == track.life.at_ns else "older"] += 1
            return
        else:
            advance(track, snapshot)
            interval = track.life.interval_seconds
            if source == SYSCALL and interval is not None:
                self.alerts.tick(hostname, snapshot.at_ns, interval)
        self._remember(track, source, hostname)
        if self._watch is not None:
            self._watch(hostname, source)

    def _is_put_back(self, before_ns: int, at_ns: int) -> bool:
        """Say whether a host's clock was ahead and is right now; who waits for that time sees nothing until then."""
        now = self._clock()
        return age_seconds(before_ns, now) is None and age_seconds(at_ns, now) is not None

    def _remember(self, track: Track, source: str, hostname: str | None = None) -> None:
        """Add the newest values of the signals to the history of a track, those of the host's alerts among them."""
        if source == SYSCALL:
            limit = self.thread_table_limit(track)
            counts = self.alerts.known_of(hostname) if hostname is not None else None
            ratios = counts.missing_ratios if counts is not None else {}
            values = [*(signal_value(track, s.name, 1, limit) for s in SIGNALS), max(ratios.values(), default=None)]
            track.history = history.extended(track.history, values, is_correction=track.life.is_after_twin)

    def _turn_away(self, hostname: str, count: int = 1) -> None:
        self._limit_hits["hosts"] += count
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

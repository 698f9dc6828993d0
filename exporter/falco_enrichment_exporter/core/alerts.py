"""Counts of ordinary alerts: by host, by rule, and by what their fields show.

An alert costs a look at its fields and one count of its kind and evidence. Names are checked against the limits, and
fields are judged, when somebody reads the counts: thousands of alerts are of a few kinds by then.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.evidence import NOTHING, Evidence, Layouts
from falco_enrichment_exporter.core.ledger import HostCounts, Ledger, LedgerState
from falco_enrichment_exporter.core.records import Alert, Head, alert_of

OVERFLOW: Final = "(other)"
MAX_SOURCES: Final = 32
_MOST_PENDING: Final = 16_384

RawKind = tuple[str | None, str | None, str | None, str | None]
"""Hostname, source, priority, rule as Falco wrote them."""

_KIND: Final[Callable[[Head], RawKind]] = attrgetter("hostname", "source", "priority", "rule")

_SOURCE: Final[Callable[[Head], str | None]] = attrgetter("source")
_FIELDS: Final[Callable[[Head], dict[str, Any] | None]] = attrgetter("output_fields")

Key = tuple[str, str, str]


class Limits(msgspec.Struct, frozen=True):
    """How much is kept, whatever is written into the log."""

    max_hosts: int = 10_000
    max_rules: int = 1_000
    max_fields: int = 200


class AlertsState(msgspec.Struct):
    """Everything about the alerts, in types that can be stored."""

    by_host: list[tuple[str, str, str, int]]
    by_rule: list[tuple[str, str, str, int]]
    ledger: LedgerState


class AlertCounts:
    """Counts of alerts. ``turn_away`` is told of alerts of hosts beyond the limit."""

    def __init__(
        self, default_hostname: str, limits: Limits, limit_hits: Counter[str], turn_away: Callable[[str, int], None]
    ) -> None:
        self._default_hostname = default_hostname
        self._limits = limits
        self._limit_hits = limit_hits
        self._turn_away = turn_away
        self._by_host: defaultdict[Key, int] = defaultdict(int)
        self._by_rule: defaultdict[Key, int] = defaultdict(int)
        self._ledger = Ledger(limits.max_fields, limit_hits)
        self._layouts = Layouts()
        self._pending: Counter[tuple[RawKind, Evidence | None]] = Counter()
        self._hosts: set[str] = set()
        self._sources: set[str] = set()
        self._rules: set[str] = set()

    def add(self, alert: Alert) -> None:
        """Count one alert."""
        kind = alert.hostname, alert.source, alert.priority, alert.rule
        self._note([kind], [alert.source], [alert.fields])

    def add_heads(self, heads: list[Head]) -> None:
        """Count many, which are known to be alerts."""
        self._note(list(map(_KIND, heads)), list(map(_SOURCE, heads)), list(map(_FIELDS, heads)))

    def known_of(self, hostname: str) -> HostCounts | None:
        """Return what the fields of a host's alerts showed as of the last time that somebody has read it."""
        return self._ledger.hosts.get(hostname)

    def tick(self, hostname: str, at_ns: int, interval_seconds: float) -> None:
        """Take notice of a snapshot: what a host's last alerts are is told by its time."""
        counts = self._ledger.hosts.get(hostname)
        if counts is None or counts.is_due(at_ns, interval_seconds):
            self.settle()
            counts = self._ledger.hosts.get(hostname)
        if counts is not None:
            counts.tick(at_ns, interval_seconds)

    @property
    def by_host(self) -> Mapping[Key, int]:
        """Alerts by hostname, source and priority."""
        self.settle()
        return self._by_host

    @property
    def by_rule(self) -> Mapping[Key, int]:
        """Alerts by rule, priority and source."""
        self.settle()
        return self._by_rule

    @property
    def ledger(self) -> Ledger:
        """What their fields showed."""
        self.settle()
        return self._ledger

    def dump(self) -> AlertsState:
        """Return the state, to be stored or encoded before anything is added."""
        return AlertsState(
            by_host=[(*key, count) for key, count in self.by_host.items()],
            by_rule=[(*key, count) for key, count in self.by_rule.items()],
            ledger=self._ledger.dump(),
        )

    def restore(self, state: AlertsState) -> None:
        """Take over a stored state; nothing may have been added before."""
        self._by_host.update({(a, b, c): count for a, b, c, count in state.by_host})
        self._by_rule.update({(a, b, c): count for a, b, c, count in state.by_rule})
        self._ledger.restore(state.ledger)
        self._hosts = {hostname for hostname, *_ in state.by_host}
        self._sources = {source for _, source, *_ in state.by_host}
        self._rules = {rule for rule, *_ in state.by_rule}

    def _note(
        self, kinds: list[RawKind], sources: Sequence[str | None], shown: Sequence[dict[str, Any] | None]
    ) -> None:
        """Count alerts by kind and evidence. Only syscalls show processes and containers."""
        judged = [fields for source, fields in zip(sources, shown, strict=True) if fields and source in (SYSCALL, None)]
        found = iter(self._layouts.evidence(judged))
        if len(judged) == len(kinds):
            self._pending.update(zip(kinds, found, strict=True))
        else:
            for kind, source, fields in zip(kinds, sources, shown, strict=True):
                is_judged = fields and source in (SYSCALL, None)
                self._pending[kind, next(found) if is_judged else None if fields is None else NOTHING] += 1
        if len(self._pending) >= _MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Enter what was only noted so far; whoever reads the counts has this done."""
        if not self._pending:
            return
        pending, self._pending = self._pending, Counter()
        kinds: defaultdict[RawKind, int] = defaultdict(int)
        for (kind, _), count in pending.items():
            kinds[kind] += count
        names = {kind: self._enter(kind, count) for kind, count in kinds.items()}
        by_host: defaultdict[tuple[str, Evidence | None], int] = defaultdict(int)
        by_rule: defaultdict[tuple[str, Evidence | None], int] = defaultdict(int)
        for (kind, evidence), count in pending.items():
            known = names[kind]
            if known is not None:
                by_host[known[0], evidence] += count
                by_rule[known[1], evidence] += count
        self._ledger.add(by_host, by_rule)

    def _enter(self, kind: RawKind, count: int) -> tuple[str, str] | None:
        """Count alerts of a kind; return the names of its host and rule, None if the host is turned away."""
        alert = alert_of(*kind)
        hostname = alert.hostname or self._default_hostname
        if hostname not in self._hosts:
            if len(self._hosts) >= self._limits.max_hosts:
                self._turn_away(hostname, count)
                return None
            self._hosts.add(hostname)
        source = self._within_limit("sources", alert.source, self._sources, MAX_SOURCES, count)
        rule = self._within_limit("rules", alert.rule, self._rules, self._limits.max_rules, count)
        self._by_host[hostname, source, alert.priority] += count
        self._by_rule[rule, alert.priority, source] += count
        return hostname, rule

    def _within_limit(self, limit: str, name: str, known: set[str], most: int, count: int) -> str:
        """Return the name itself while there is room for another one, else the name of all that are left out."""
        if name in known:
            return name
        if len(known) >= most:
            self._limit_hits[limit] += count
            return OVERFLOW
        known.add(name)
        return name

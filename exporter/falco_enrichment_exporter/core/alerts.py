"""Counts of ordinary alerts: by host, by rule, and by what their fields show.

An alert costs a look at its fields and one count of its kind and evidence. Names are checked against the limits, and
fields are judged, when somebody reads the counts: thousands of alerts are of a few kinds by then.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.evidence import NOTHING, Counts, Evidence, evidence_of
from falco_enrichment_exporter.core.ledger import HostCounts, Ledger, LedgerState
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.records import MAX_NAME_CHARS, Alert, Head, alert_of
from falco_enrichment_exporter.core.schema import Alike, RawKind, Schema

OVERFLOW: Final = "(other)"
MAX_SOURCES: Final = 32
_MOST_PENDING: Final = 8_192

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
        self._by_host: dict[str, defaultdict[tuple[str, str], int]] = {}
        self._by_rule: defaultdict[Key, int] = defaultdict(int)
        self._ledger = Ledger(limits.max_fields, limit_hits)
        self._schema = Schema()
        self._pending: defaultdict[RawKind, Counter[Evidence | None]] = defaultdict(Counter)
        self._noted = 0  # alerts in there, and kinds of them in the next
        self._settled_ns = 0  # by the clock of snapshots
        self._read: list[tuple[RawKind, Counts]] = []  # what earlier readers have counted
        self._sources: set[str] = set()
        self._rules: set[str] = set()

    def add(self, alert: Alert | Head) -> None:
        """Count one alert. Only syscalls show processes and containers."""
        shown = alert.fields if isinstance(alert, Alert) else alert.output_fields
        kind = _cut(alert.hostname), _cut(alert.source), _cut(alert.priority), _cut(alert.rule)
        is_judged = bool(shown) and alert.source in (SYSCALL, None)
        self._pending[kind][evidence_of(shown) if shown and is_judged else None if shown is None else NOTHING] += 1
        self._noted += 1
        self._settle_if_many(self._noted)

    def decode(self, block: Block) -> list[Alike] | None:
        """Decode a block of alerts that look like earlier ones; None if anything else is in it."""
        reader = self._schema.reader
        return reader.decode(block) if reader is not None else None

    def add_alike(self, alerts: Sequence[Alike]) -> None:
        """Count what was just decoded."""
        reader = self._schema.reader
        if reader is not None and alerts:
            reader.count(alerts)
            self._settle_if_many(len(reader.counts))

    def learn(self, heads: Sequence[Head]) -> None:
        """Let alerts like these be decoded from now on."""
        reader = self._schema.reader
        if self._schema.learn(heads) and reader is not None:
            read = reader.drain()
            self._read += read
            self._noted += sum(len(found) for _, found in read)
            self._settle_if_many(self._noted)

    def known_of(self, hostname: str) -> HostCounts | None:
        """Return what the fields of a host's alerts showed as of the last time that somebody has read it."""
        return self._ledger.hosts.get(hostname)

    def tick(self, hostname: str, at_ns: int, interval_seconds: float) -> None:
        """Take notice of a snapshot: what a host's last alerts are is told by its time."""
        counts = self._ledger.hosts.get(hostname)
        is_due = counts is None or counts.is_due(at_ns, interval_seconds)
        # What another host's snapshot has had settled within this interval is recent enough.
        if is_due and abs(at_ns - self._settled_ns) >= interval_seconds * 1e9:
            self._settled_ns = at_ns
            self.settle()
            counts = self._ledger.hosts.get(hostname)
        if counts is not None:
            counts.tick(at_ns, interval_seconds)

    @property
    def by_host(self) -> Mapping[Key, int]:
        """Alerts by hostname, source and priority."""
        self.settle()
        return {(hostname, *key): count for hostname, found in self._by_host.items() for key, count in found.items()}

    @property
    def hostnames(self) -> Collection[str]:
        """The hosts that have had alerts."""
        self.settle()
        return self._by_host.keys()

    def of_host(self, hostname: str) -> Mapping[tuple[str, str], int]:
        """Alerts of a host by source and priority."""
        self.settle()
        return self._by_host.get(hostname, {})

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
        for hostname, source, priority, count in state.by_host:
            self._by_host.setdefault(hostname, defaultdict(int))[source, priority] = count
        self._by_rule.update({(a, b, c): count for a, b, c, count in state.by_rule})
        self._ledger.restore(state.ledger)
        self._sources = {source for _, source, *_ in state.by_host} - {OVERFLOW}
        self._rules = {rule for rule, *_ in state.by_rule} - {OVERFLOW}

    def _settle_if_many(self, count: int) -> None:
        if count >= _MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Enter what was only noted so far; whoever reads the counts has this done."""
        reader = self._schema.reader
        if not self._read and not self._pending and (reader is None or not reader.counts):
            return
        noted = [*self._read, *(reader.drain() if reader is not None else ())]
        noted += [(kind, list(found.items())) for kind, found in self._pending.items()]
        self._read, self._noted = [], 0
        self._pending.clear()
        entered = ((self._enter(kind, sum(count for _, count in found)), found) for kind, found in noted)
        self._ledger.add((*names, found) for names, found in entered if names is not None)

    def _enter(self, kind: RawKind, count: int) -> tuple[str, str] | None:
        """Count alerts of a kind; return the names of its host and rule, None if the host is turned away."""
        alert = alert_of(*kind)
        hostname = alert.hostname or self._default_hostname
        if hostname not in self._by_host:
            if len(self._by_host) >= self._limits.max_hosts:
                self._turn_away(hostname, count)
                return None
            self._by_host[hostname] = defaultdict(int)
        source = self._within_limit("sources", alert.source, self._sources, MAX_SOURCES, count)
        rule = self._within_limit("rules", alert.rule, self._rules, self._limits.max_rules, count)
        self._by_host[hostname][source, alert.priority] += count
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


def _cut(text: str | None) -> str | None:
    return text[:MAX_NAME_CHARS] if text is not None else None

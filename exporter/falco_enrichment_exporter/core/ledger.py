"""How many fields of the alerts were present, missing or excused: by host, domain, field, reason and rule."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from falco_enrichment_exporter.core.completeness import Outcome, judge
from falco_enrichment_exporter.core.domains import Domain
from falco_enrichment_exporter.core.evidence import NOTHING, Counts, Evidence

MOST_RECENT_ALERTS: Final = 500
LEAST_RECENT_ALERTS: Final = 40
LEAST_ALERTS: Final = 20
RECENT_INTERVALS: Final = 5
MOST_RECENT_SECONDS: Final = 6 * 3600
OTHER_FIELD: Final = "(other)"
_MOST_JUDGED: Final = 8_192

FieldKey = tuple[str, str, str]
"""Domain, field, outcome."""

DetailKey = tuple[str, str]
"""Domain, and the reason of an excuse or the kind in which a field is missing."""

Share = tuple[int, int]
"""How often something was present, and how often it was missing."""

_Shares = dict[str, dict[str, list[int]]]
"""The share of each field, by domain and name."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A field that was present, or missing. One object each: it is counted by what it is, which costs least."""

    domain: str
    name: str
    is_missing: bool


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What each alert of some evidence adds to the counts."""

    fields: tuple[FieldKey, ...]
    slots: tuple[Slot, ...]
    excused: tuple[DetailKey, ...]
    missing: tuple[DetailKey, ...]
    over_limit: int  # fields that have no series of their own
    domains: frozenset[str]  # in which something is missing


class HostCounts:
    """The fields of one host's alerts since the start, and of its last alerts.

    Those are of the present window, and of the one before it until the present one has enough alerts to judge by. A
    window ends after some snapshot intervals if it has enough, after many alerts, or after hours. So a busy host is
    judged by its last minutes.
    Judgements are counted; what they say of each field is worked out when somebody reads it.
    """

    __slots__ = (
        "_before",
        "_excused",
        "_fields",
        "_last",
        "_missing",
        "_new",
        "_ratios",
        "_recent",
        "_recent_alerts",
        "_since_ns",
        "revision",
    )

    def __init__(self) -> None:
        self._fields: Counter[FieldKey] = Counter()
        self._excused: Counter[DetailKey] = Counter()
        self._missing: Counter[DetailKey] = Counter()
        self._new: defaultdict[Judgement, int] = defaultdict(int)  # not in the counts above yet
        self._recent: defaultdict[Judgement, int] = defaultdict(int)
        self._before: defaultdict[Judgement, int] = defaultdict(int)
        self._last: _Shares | None = None  # the fields of both windows, if they have been read since
        self._ratios: dict[Domain, float] | None = None  # the same
        self._recent_alerts = 0
        self._since_ns = 0
        self.revision = 0  # another one whenever the last alerts are others

    @property
    def fields(self) -> Counter[FieldKey]:
        """How often fields were present, missing or excused."""
        self._enter()
        return self._fields

    @property
    def excused(self) -> Counter[DetailKey]:
        """Excuses by domain and reason."""
        self._enter()
        return self._excused

    @property
    def missing(self) -> Counter[DetailKey]:
        """Missing fields by domain and kind."""
        self._enter()
        return self._missing

    def add(self, judged: Mapping[Judgement, int]) -> None:
        """Count the fields of alerts, of which so many were judged so."""
        for judgement, count in judged.items():
            self._new[judgement] += count
            self._recent[judgement] += count
            self._recent_alerts += count
            if self._recent_alerts >= MOST_RECENT_ALERTS:
                self._end_window()
                self._since_ns = 0  # the next snapshot tells the time
        self._last = self._ratios = None
        self.revision += 1

    def _enter(self) -> None:
        for judgement, count in self._new.items():
            for key in judgement.fields:
                self._fields[key] += count
            for reason in judgement.excused:
                self._excused[reason] += count
            for kind in judgement.missing:
                self._missing[kind] += count
        self._new.clear()

    def tick(self, at_ns: int, interval_seconds: float) -> None:
        """Take notice of the time by a snapshot of the host: there is no other clock."""
        if not 0 < self._since_ns <= at_ns:  # or the host's clock was put back
            self._since_ns = at_ns
        elif self.is_due(at_ns, interval_seconds):
            is_long_ago = at_ns - self._since_ns >= MOST_RECENT_SECONDS * 10**9
            if is_long_ago or self._recent_alerts >= LEAST_RECENT_ALERTS:
                self._end_window()
                self._since_ns = at_ns

    def is_due(self, at_ns: int, interval_seconds: float) -> bool:
        """Say whether the present window has lasted for some snapshot intervals, none of which is exactly as long."""
        if not self._since_ns:
            return False
        return at_ns - self._since_ns > (RECENT_INTERVALS - 0.5) * interval_seconds * 1e9

    def _end_window(self) -> None:
        self._before, self._recent, self._recent_alerts = self._recent, defaultdict(int), 0
        self._last = self._ratios = None
        self.revision += 1
        if len(self._new) >= MOST_RECENT_ALERTS:
            self._enter()

    def _shares(self) -> _Shares:
        """Return how often each field was present and missing in the last alerts.

        Those are of the present window if it has enough, else of both: what is mended is soon seen to be.
        """
        if self._last is None:
            slots: defaultdict[Slot, int] = defaultdict(int)
            has_enough = self._recent_alerts >= LEAST_RECENT_ALERTS
            for counts in (self._recent,) if has_enough else (self._recent, self._before):
                for judgement, count in counts.items():
                    for slot in judgement.slots:
                        slots[slot] += count
            self._last = {}
            for slot, count in slots.items():
                self._last.setdefault(slot.domain, {}).setdefault(slot.name, [0, 0])[slot.is_missing] = count
        return self._last

    def recent_share(self, domain: str, *fields: str) -> Share:
        """Return the share of these fields in the last alerts, of all fields of the domain if none is named."""
        shares = self._shares().get(domain, {})
        shown = [share for name, share in shares.items() if not fields or name in fields]
        return sum(present for present, _ in shown), sum(missing for _, missing in shown)

    def recent_volume(self, domain: str) -> int:
        """Return how often the field of a domain that was judged most often was present or missing, of late."""
        return max(map(sum, self._shares().get(domain, {}).values()), default=0)

    @property
    def missing_ratios(self) -> Mapping[Domain, float]:
        """The share of missing fields in the last alerts, for domains that enough of them show."""
        if self._ratios is None:
            known = [domain for domain in Domain if self.recent_volume(domain) >= LEAST_ALERTS]
            shares = {domain: self.recent_share(domain) for domain in known}
            self._ratios = {domain: missing / (present + missing) for domain, (present, missing) in shares.items()}
        return self._ratios

    def worst(self, domain: str, most: int = 3) -> list[tuple[str, int, int]]:
        """Return the fields that were missing most, of late: name, how often missing, how often present or missing."""
        shares = self._shares().get(domain, {})
        rows = [(name, missing, present + missing) for name, (present, missing) in shares.items() if missing]
        return sorted(rows, key=lambda row: (-row[1] / row[2], row[0]))[:most]


class LedgerState(msgspec.Struct):
    """Everything a Ledger knows, in types that can be stored."""

    fields: list[tuple[str, str, str, str, int]]
    excused: list[tuple[str, str, str, int]]
    missing: list[tuple[str, str, str, int]]
    rule_missing: list[tuple[str, str, int]]
    without_fields: dict[str, int]


class Ledger:
    """Counts of judged fields, by host and by rule. Names of fields beyond ``max_fields`` share one."""

    def __init__(self, max_fields: int, limit_hits: Counter[str]) -> None:
        self.without_fields: Counter[str] = Counter()  # alerts by host: Falco was told to leave the fields out
        self.hosts: defaultdict[str, HostCounts] = defaultdict(HostCounts)
        self.rule_missing: Counter[tuple[str, str]] = Counter()  # alerts with a missing field, by rule and domain
        self._judgements: dict[Evidence, Judgement] = {}
        self._names: set[str] = set()
        self._slots: dict[FieldKey, Slot] = {}
        self._max_fields = max_fields
        self._limit_hits = limit_hits

    def add(self, found: Iterable[tuple[str, str, Counts]]) -> None:
        """Count alerts by hostname, rule and evidence."""
        by_host: defaultdict[str, defaultdict[Judgement, int]] = defaultdict(lambda: defaultdict(int))
        for hostname, rule, counts in found:
            for evidence, count in counts:
                if evidence is None:
                    self.without_fields[hostname] += count
                elif evidence is not NOTHING:
                    judgement = self._judgements.get(evidence) or self._judge(evidence)
                    by_host[hostname][judgement] += count
                    for domain in judgement.domains:
                        self.rule_missing[rule, domain] += count
        for hostname, judged in by_host.items():
            self.hosts[hostname].add(judged)
            for judgement, count in judged.items():
                if judgement.over_limit:
                    self._limit_hits["fields"] += judgement.over_limit * count

    def dump(self) -> LedgerState:
        """Return the state, to be stored or encoded before anything is added. What is recent is not kept."""
        hosts = self.hosts.items()
        return LedgerState(
            fields=[(name, *key, count) for name, host in hosts for key, count in host.fields.items()],
            excused=[(name, *key, count) for name, host in hosts for key, count in host.excused.items()],
            missing=[(name, *key, count) for name, host in hosts for key, count in host.missing.items()],
            rule_missing=[(*key, count) for key, count in self.rule_missing.items()],
            without_fields=dict(self.without_fields),
        )

    def restore(self, state: LedgerState) -> None:
        """Take over a stored state; the ledger must be new."""
        for hostname, domain, name, outcome, count in state.fields:
            self.hosts[hostname].fields[domain, name, outcome] = count
            self._names.add(name)
        for hostname, domain, reason, count in state.excused:
            self.hosts[hostname].excused[domain, reason] = count
        for hostname, domain, kind, count in state.missing:
            self.hosts[hostname].missing[domain, kind] = count
        self.rule_missing.update({(rule, domain): count for rule, domain, count in state.rule_missing})
        self.without_fields.update(state.without_fields)
        self._names.discard(OTHER_FIELD)

    def _judge(self, evidence: Evidence) -> Judgement:
        verdicts = judge(evidence)
        names = [self._name(verdict.field) for verdict in verdicts]
        fields = tuple((str(v.domain), name, str(v.outcome)) for name, v in zip(names, verdicts, strict=True))
        judgement = Judgement(
            fields=fields,
            slots=tuple(self._slot(*key) for key in fields if key[2] != Outcome.EXCUSED),
            excused=tuple((str(v.domain), v.detail) for v in verdicts if v.outcome is Outcome.EXCUSED),
            missing=tuple((str(v.domain), v.detail) for v in verdicts if v.outcome is Outcome.MISSING),
            over_limit=names.count(OTHER_FIELD),
            domains=frozenset(str(v.domain) for v in verdicts if v.outcome is Outcome.MISSING),
        )
        if len(self._judgements) >= _MOST_JUDGED:
            self._judgements.clear()
        self._judgements[evidence] = judgement
        return judgement

    def _slot(self, domain: str, name: str, outcome: str) -> Slot:
        key = domain, name, outcome
        return self._slots.setdefault(key, Slot(domain, name, outcome == Outcome.MISSING))

    def _name(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= self._max_fields:
                return OTHER_FIELD
            self._names.add(name)
        return name

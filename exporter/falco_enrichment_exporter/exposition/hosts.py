"""The series of every host as text, made once for each change of the host and joined for each scrape.

A host has hundreds of series that change when a snapshot arrives, perhaps once an hour; scrapes come every few seconds.
Formats: Prometheus' text format 0.0.4 and OpenMetrics 1.0, whose sample lines are the same.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.utils import floatToGoString

from falco_enrichment_exporter.core.catalog import Kind
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.exposition.families import TYPES, Labels
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.turns import Turns

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where samples go; the first help of a family counts."""

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None: ...  # noqa: D102


Part = Callable[[Sink, str, dict[str, Track]], None]
"""Adds the samples of one host: its name, and its tracks by source."""


class Hosts(Protocol):
    """Hosts that have series of one kind."""

    parts: Sequence[Part]

    def names(self) -> Collection[str]: ...  # noqa: D102

    def revision(self, hostname: str) -> object: ...  # noqa: D102  another one whenever its series are others


class SnapshotHosts:
    """Hosts that have snapshots, which is when their series change."""

    def __init__(self, fleet: Fleet, parts: Sequence[Part]) -> None:
        self.parts = parts
        self._fleet = fleet

    def names(self) -> Collection[str]:
        """Return the names of the hosts."""
        return self._fleet.hosts

    def revision(self, hostname: str) -> object:
        """Count the snapshots."""
        return [(source, track.snapshots) for source, track in self._fleet.hosts[hostname].items()]


@dataclass(slots=True)
class _Family:
    kind: Kind
    text: str
    lines: dict[str, str] = field(default_factory=dict)  # by host


class _Lines:
    """The lines of one host, by family."""

    def __init__(self) -> None:
        self.families: dict[str, tuple[Kind, str, list[str]]] = {}
        self._written: dict[tuple[tuple[str, str], ...], str] = {}  # labels: most series have the same as others

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None:
        """Write a sample as a line."""
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = kind, text, []
        key = tuple(labels.items())
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = write_labels(labels)
        family[2].append(f"{name}{written} {write_value(value)}\n")


class HostLines:
    """The lines of all hosts, by family. ``refresh`` before reading them, and let none refresh them meanwhile."""

    def __init__(self, fleet: Fleet, hosts: Hosts, tally: Tally) -> None:
        self._fleet = fleet
        self._hosts = hosts
        self._tally = tally
        self._families: dict[str, _Family] = {}
        self._known: dict[str, tuple[object, set[str]]] = {}  # host -> its revision, its families

    async def refresh(self, turns: Turns) -> None:
        """Make the lines of hosts that have changed; drop those of hosts that are gone.

        Others have their turn between two hosts. What a host shows is of one moment.
        """
        for hostname in self._known.keys() - set(self._hosts.names()):
            self._drop(hostname, self._known.pop(hostname)[1])
        for hostname in list(self._hosts.names()):
            if hostname in self._hosts.names():  # still: it may have got another name meanwhile
                self._renew(hostname)
            await turns.pause()

    def _renew(self, hostname: str) -> None:
        revision = self._hosts.revision(hostname)
        known = self._known.get(hostname)
        if known is None or known[0] != revision:
            made = self._make(hostname)
            if known is not None:
                self._drop(hostname, known[1] - made.keys())
            for name, (kind, text, lines) in made.items():
                self._families.setdefault(name, _Family(kind, text)).lines[hostname] = "".join(lines)
            self._known[hostname] = revision, set(made)

    def families(self, *, is_open_metrics: bool = False) -> Iterator[str]:
        """Join the lines of each family under its header."""
        gauges = {name for name, family in self._families.items() if family.kind is not Kind.COUNTER}
        for name, family in self._families.items():
            if family.lines:
                kind = family.kind, family.text
                begin = header(name, *kind, gauges) if is_open_metrics else header(name, *kind)
                yield "".join([begin, *family.lines.values()])

    def _make(self, hostname: str) -> dict[str, tuple[Kind, str, list[str]]]:
        lines, tracks = _Lines(), self._fleet.hosts.get(hostname, {})
        for part in self._hosts.parts:
            try:
                part(lines, hostname, tracks)
            except Exception:  # noqa: BLE001  the one guarded exception: the scrape must go on
                self._tally.collect_errors["hosts"] += 1
                _log.exception("a part of the metrics page failed", extra={"host": hostname})
        return lines.families

    def _drop(self, hostname: str, names: set[str]) -> None:
        for name in names:
            self._families[name].lines.pop(hostname, None)


def write_labels(labels: Labels) -> str:
    """Write labels, sorted."""
    inside = ",".join([f'{label}="{_escaped(labels[label])}"' for label in sorted(labels)])
    return f"{{{inside}}}"


def write_value(value: float) -> str:
    """Write a value as Go does."""
    return floatToGoString(value)  # type: ignore[no-untyped-call, no-any-return]


def header(name: str, kind: Kind, text: str, gauges: Collection[str] | None = None) -> str:
    """Write HELP and TYPE; in OpenMetrics if the names of the families that are no counters are given.

    There a counter's family has the name without ``_total``, so ``threadtable_full_drops_total`` (a counter) and
    ``threadtable_full_drops`` (a gauge over a window) would be one family of two types. Such a counter goes as
    ``unknown`` under its full name; samples and text format stay as they are.
    """
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    word = TYPES[kind]
    if gauges is None:
        word = "untyped" if kind is Kind.UNKNOWN else word
    else:
        text = text.replace('"', r"\"")
        if kind is Kind.COUNTER and name.removesuffix("_total") in gauges:
            word = "unknown"
        elif kind is Kind.COUNTER:
            name = name.removesuffix("_total")
    return f"# HELP {name} {text}\n# TYPE {name} {word}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

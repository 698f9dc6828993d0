"""The series of every host as text, made once for each snapshot and joined for each scrape.

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

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where samples go; the first help of a family counts."""

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None: ...  # noqa: D102


Part = Callable[[Sink, str, dict[str, Track]], None]
"""Adds the samples of one host: its name, and its tracks by source."""


@dataclass(slots=True)
class _Family:
    kind: Kind
    text: str
    lines: dict[str, str] = field(default_factory=dict)  # by host


class _Lines:
    """The lines of one host, by family."""

    def __init__(self) -> None:
        self.families: dict[str, tuple[Kind, str, list[str]]] = {}

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None:
        """Write a sample as a line."""
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = kind, text, []
        family[2].append(f"{sample(name, labels, value)}\n")


class HostLines:
    """The lines of all hosts, by family. ``refresh`` before reading them."""

    def __init__(self, fleet: Fleet, parts: Sequence[Part], tally: Tally) -> None:
        self._fleet = fleet
        self._parts = parts
        self._tally = tally
        self._families: dict[str, _Family] = {}
        self._known: dict[str, tuple[object, set[str]]] = {}  # host -> the snapshots it was made of, its families

    def refresh(self) -> None:
        """Make the lines of hosts that have a new snapshot; drop those of hosts that are gone."""
        hosts = self._fleet.hosts
        for hostname in self._known.keys() - hosts.keys():
            self._drop(hostname, self._known.pop(hostname)[1])
        for hostname, tracks in hosts.items():
            revision = [(source, track.snapshots) for source, track in tracks.items()]
            known = self._known.get(hostname)
            if known is None or known[0] != revision:
                made = self._make(hostname, tracks)
                if known is not None:
                    self._drop(hostname, known[1] - made.keys())
                for name, (kind, text, lines) in made.items():
                    self._families.setdefault(name, _Family(kind, text)).lines[hostname] = "".join(lines)
                self._known[hostname] = revision, set(made)

    def text(self, *, is_open_metrics: bool = False) -> str:
        """Join all lines under their headers."""
        return "".join(self._pieces(is_open_metrics=is_open_metrics))

    def _pieces(self, *, is_open_metrics: bool) -> Iterator[str]:
        gauges = {name for name, family in self._families.items() if family.kind is not Kind.COUNTER}
        for name, family in self._families.items():
            if family.lines:
                kind = family.kind, family.text
                yield header(name, *kind, gauges) if is_open_metrics else header(name, *kind)
                yield from family.lines.values()

    def _make(self, hostname: str, tracks: dict[str, Track]) -> dict[str, tuple[Kind, str, list[str]]]:
        lines = _Lines()
        for part in self._parts:
            try:
                part(lines, hostname, tracks)
            except Exception:  # noqa: BLE001  the one guarded exception: the scrape must go on
                self._tally.collect_errors["hosts"] += 1
                _log.exception("a part of the metrics page failed", extra={"host": hostname})
        return lines.families

    def _drop(self, hostname: str, names: set[str]) -> None:
        for name in names:
            self._families[name].lines.pop(hostname, None)


def sample(name: str, labels: Labels, value: float) -> str:
    """Write a sample without its time, the labels sorted."""
    inside = ",".join([f'{label}="{_escaped(labels[label])}"' for label in sorted(labels)])
    return f"{name}{{{inside}}} {floatToGoString(value)}"  # type: ignore[no-untyped-call]


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

"""The snapshot under the names of Falco's own /metrics endpoint, so that dashboards made for it work unchanged.

Names follow libs' metrics_collector.cpp as of Falco 0.41 and later, whatever the version that wrote the snapshot.
Deviations from the endpoint are corrections; docs/metrics.md lists them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from falco_enrichment_exporter.core.catalog import BY_KEY, JSON_ONLY, PATTERNS, SYSCALL, Field, Kind, Pattern
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.core.units import Number
from falco_enrichment_exporter.exposition.families import Labels
from falco_enrichment_exporter.exposition.hosts import Sink

RuleLabels = Mapping[str, Labels]
"""Sanitised rule name as snapshots print it -> the labels of Falco's endpoint (see rules.py)."""

Sample = tuple[str, Kind, str, Labels, Number]

ENGINE_INFO: Final = "falcosecurity_scap_engine_name_info"
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")
# libs deletes these wherever they stand in the name and appends the unit word instead.
_UNIT_SUFFIX: Final = re.compile(r"_kb|_bytes|_mb|_perc|_percentage|_ratio|_ns|_ts|_sec|_total")
_FILES: Final = {"falco_rules_local_yaml": "falco_rules.local.yaml"}
_UNNAMED: Final = ("falco.host_netinfo.",)


class NativeSeries:
    """Every field of a host's snapshots as Falco's endpoint names it, plus the label ``hostname``.

    A host's snapshots of several sources repeat most numbers: the ``syscall`` one wins, the others add what it lacks.
    """

    def __init__(self, rules: RuleLabels) -> None:
        self._rules = rules

    def __call__(self, sink: Sink, hostname: str, tracks: dict[str, Track]) -> None:
        """Add all samples of the host."""
        owners: dict[str, str] = {}  # family -> the source it is taken from
        seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        for source in sorted(tracks, key=lambda source: (source != SYSCALL, source)):
            for name, kind, text, labels, value in self._samples(source, tracks[source]):
                if name != ENGINE_INFO and owners.setdefault(name, source) != source:
                    continue
                labels["hostname"] = hostname
                identity = (name, frozenset(labels.items()))
                if identity not in seen:
                    seen.add(identity)
                    sink.add(name, kind, text, labels, value)

    def _samples(self, source: str, track: Track) -> Iterator[Sample]:
        yield (
            ENGINE_INFO, Kind.INFO, "Capture engine of an event source.",
            {"engine_name": str(track.fields.get("scap.engine_name", "")), "evt_source": source}, 1,
        )  # fmt: skip
        for key, value in track.fields.items():
            field = BY_KEY.get(key)
            sample = None
            if field is not None:
                sample = _field_sample(field, field.native, track, value) if field.native is not None else None
            elif key not in JSON_ONLY and not key.startswith(_UNNAMED):
                sample = self._pattern_sample(key, value)
            if sample is not None:
                yield sample

    def _pattern_sample(self, key: str, value: Number | str) -> Sample | None:
        for pattern in PATTERNS:
            match = pattern.expression.fullmatch(key)
            if match is not None:
                return self._matched(pattern, match.groupdict(), value)
        return None if isinstance(value, str) else _unknown_sample(key, value)

    def _matched(self, pattern: Pattern, parts: dict[str, str], value: Number | str) -> Sample | None:
        labels = {name: parts[name] for name in pattern.labels}
        if "rule" in parts:
            labels = dict(self._rules.get(parts["rule"], {"rule_name": parts["rule"]}))
        elif "file" in parts:
            labels, value = {"file_name": file_name(parts["file"]), "sha256": str(value)}, 1
        elif "plugin" in parts:
            parts["name"] = _UNIT_SUFFIX.sub("", parts["name"])
        if isinstance(value, str) or value < 0 or ("rule" in parts and value == 0):  # it has no rule that never matched
            return None
        name = pattern.native.format_map({part: _UNFIT.sub("_", text) for part, text in parts.items()})
        return name, pattern.kind, pattern.help, labels, value


def _field_sample(field: Field, native: str, track: Track, value: Number | str) -> Sample | None:
    labels = dict(field.native_labels)
    if field.kind is Kind.INFO:
        return native, field.kind, field.help, {name: str(value) for name in labels}, 1
    number = track.life.marks.get(field.key, value)
    if isinstance(number, str):
        return None  # no number: unknown
    return native, field.kind, field.help, labels, number * field.scale if field.scale != 1 else number


def _unknown_sample(key: str, value: Number) -> Sample | None:
    """Carry a field of a newer Falco: the endpoint's naming rule, without a type we would have to guess."""
    subsystem, _, rest = key.partition(".")
    if subsystem not in ("falco", "scap") or not rest:
        return None
    name = f"falcosecurity_{'scap' if rest.startswith('n_') else subsystem}_{_UNFIT.sub('_', rest)}"
    return name, Kind.UNKNOWN, "A snapshot field this exporter does not know yet, as it stands there.", {}, value


def file_name(text: str) -> str:
    """Guess the file name behind a snapshot key, in which Falco turned dots into underscores."""
    return _FILES.get(text) or re.sub(r"_(yaml|yml)$", r".\1", text)

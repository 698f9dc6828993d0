"""Write docs/metrics.md from the tables that the exporter itself reads. `make docs`; a test holds that it was run."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from falco_enrichment_exporter.core import catalog, completeness, series
from falco_enrichment_exporter.core.catalog import PREFIX, Kind
from falco_enrichment_exporter.settings import ObjectiveSettings, ThresholdSettings

TARGET = Path(__file__).parent / "metrics.md"

HEAD = """# Metrics

Generated from the exporter's own tables by `make docs`; do not edit.

Labels `hostname` and `source` (Falco's `evt.source`) stand on everything that comes from a snapshot. A series that is not
there is unknown: the group of counters is switched off, this Falco does not have it, or there are not yet two snapshots.
It is never 0 and never NaN instead.
"""

INTERVALS = """
## Per snapshot interval

Falco's counters move only when it writes a snapshot, by default once an hour. `rate()` over such a staircase is 0 for most
of the hour and far too high for the rest, so the exporter does the arithmetic: from snapshot to snapshot, by their
`evt.time`, within one life of the counters (from a start or hot reload to the next).

For every counter above there is a gauge with the same labels: `…_total` becomes `…_per_second`, its increase between the
last two snapshots divided by the time between them.

The following have the label `window`: `last` is the newest interval, `last3` the newest three taken together. A window
ends where a life begins.
"""

NATIVE = """
## Falco's own names

With `--native.enabled` (the default) every field of a snapshot also appears under the name of Falco's own `/metrics`
endpoint, with its labels and units, plus `hostname`. Where the two differ it is a correction:
"""

THRESHOLDS = """
## Thresholds

`falco_enrichment_threshold{signal,severity}` exports the configured limits, so that alert rules, dashboards and the status
page judge by the same numbers. Change one with `--thresholds.SIGNAL.warning` or `.critical`.
"""

OBJECTIVES = """
## Objectives

`falco_enrichment_objective_ratio{domain}` exports the share of fields that are to be present, of those present or missing. Change
one with `--objectives.DOMAIN`.
"""

EXCUSES = """
A field that is null, empty, `<NA>` or a number for "unknown" is excused, not missing, for one of these reasons:
"""


def build() -> str:
    """Return the text of docs/metrics.md."""
    parts = [
        HEAD,
        "\n## From the snapshot\n",
        *_table(("series", "type", "labels", "meaning", "snapshot field"), _fields()),
    ]
    parts += [INTERVALS, *_table(("series", "type", "labels", "meaning"), _rows(_windowed()))]
    parts += ["\n## About the snapshots\n", *_table(("series", "type", "labels", "meaning"), _rows(_about()))]
    parts += [
        "\n## Ordinary alerts\n",
        *_table(("series", "type", "labels", "meaning"), _rows(series.ALERT_SERIES.values())),
    ]
    parts += [OBJECTIVES, *_table(("domain", "objective"), _objectives()), EXCUSES]
    parts += [*_table(("reason", "rightly missing because"), _excuses())]
    parts += [THRESHOLDS, *_table(("signal", "warning", "critical"), _thresholds())]
    parts += [
        "\n## The exporter itself\n",
        *_table(("series", "type", "labels", "meaning"), _rows(series.SELF_SERIES.values(), series.SELF_PREFIX)),
    ]
    parts += ["\nBesides these: prometheus_client's `process_*`, `python_info` and `python_gc_*`.\n"]
    parts += [NATIVE, *(f"\n* {text}" for text in catalog.CORRECTIONS.values()), "\n"]
    parts += ["", *_table(("native series", "type", "labels", "snapshot field"), _native())]
    return "".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "\n| " + " | ".join(head) + " |\n|" + " --- |" * len(head) + "\n"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _fields() -> Iterator[tuple[str, ...]]:
    keys: dict[str, list[str]] = {}
    first: dict[str, catalog.Field] = {}
    for field in catalog.SERIES_FIELDS:
        name = field.series or ""
        keys.setdefault(name, []).append(field.key)
        first.setdefault(name, field)
    for name, field in first.items():
        labels = ["hostname", "source", *(label for label, _ in field.labels)]
        yield f"`{PREFIX}{name}`", str(field.kind), _code(labels), field.help, _code(keys[name])


def _rows(rows: Iterable[series.Series], prefix: str = "") -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield f"`{PREFIX}{prefix}{row.name}`", str(row.kind), _code(row.labels), row.help


def _windowed() -> Iterator[series.Series]:
    return (row for row in series.SNAPSHOT_SERIES.values() if row.labels == series.WINDOWED)


def _about() -> Iterator[series.Series]:
    return (row for row in series.SNAPSHOT_SERIES.values() if row.labels != series.WINDOWED)


def _thresholds() -> Iterator[tuple[str, ...]]:
    for signal, limits in ThresholdSettings().model_dump().items():
        yield f"`{signal}`", *("–" if limit is None else f"{limit:g}" for limit in limits.values())  # noqa: RUF001  a dash


def _objectives() -> Iterator[tuple[str, ...]]:
    for domain, ratio in ObjectiveSettings().model_dump().items():
        yield f"`{domain}`", f"{ratio:g}"


def _excuses() -> Iterator[tuple[str, ...]]:
    for reason, text in completeness.EXCUSES.items():
        yield f"`{reason}`", text


def _native() -> Iterator[tuple[str, ...]]:
    for field in catalog.FIELDS:
        if field.native is not None:
            labels = dict(field.native_labels) | {"hostname": ""}
            yield f"`{field.native}`", _type(field.kind), _code(_written(labels)), f"`{field.key}`"
    for pattern in catalog.PATTERNS:
        yield f"`{pattern.native}`", _type(pattern.kind), _code([*pattern.labels, "hostname"]), f"`{_key(pattern)}`"


def _written(labels: dict[str, str]) -> Iterator[str]:
    return (f'{name}="{value}"' if value else name for name, value in labels.items())


def _key(pattern: catalog.Pattern) -> str:
    return re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", pattern.expression.pattern).replace("\\", "")


def _type(kind: Kind) -> str:
    return "gauge" if kind is Kind.INFO else str(kind)


if __name__ == "__main__":
    TARGET.write_text(build(), encoding="utf-8")
    print(f"wrote {TARGET}")

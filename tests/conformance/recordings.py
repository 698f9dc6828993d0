"""Recorded Falco output, and what the exporter makes of it."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter.core.envelope import Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import fold_lines
from falco_enrichment_exporter.exposition.hosts import HostLines, Part, SnapshotHosts
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.turns import Turns

DATA = Path(__file__).parent.parent / "data"
RUNS = DATA / "falco-0.44.1"
PAIRS = DATA / "docs_pairs"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], tuple[str, float]]
"""(name, labels) -> (type, value)."""


def fold(lines: Iterable[bytes], **settings: Any) -> Fleet:
    """Return a fleet that has read these lines."""
    fleet = Fleet(default_hostname="default-host", thread_table_size=262144, **settings)
    fold_lines(list(lines), Unwrapper(1 << 20), fleet)
    return fleet


def read_lines(path: Path, count: int | None = None) -> list[bytes]:
    """Return the first lines of a recording."""
    return path.read_bytes().splitlines()[:count]


def page_of(fleet: Fleet, *parts: Part) -> str:
    """Return the lines of all hosts that have snapshots."""
    lines = HostLines(fleet, SnapshotHosts(fleet, parts), Tally())
    asyncio.run(lines.refresh(Turns()))
    return "".join(lines.families())


def samples_of(fleet: Fleet, part: Part) -> Samples:
    """Return what a part of the page exposes, without the label ``hostname``."""
    return parse(page_of(fleet, part))


def parse(text: str) -> Samples:
    """Return what a page of Falco's own endpoint says, without the label ``hostname``."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k != "hostname")): (
            family.type,
            sample.value,
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wild_lines(name: str) -> list[dict[str, Any]]:
    """Return the lines that Falco's users published, with their provenance."""
    return [json.loads(line) for line in (DATA / "wild" / name).read_text().splitlines()]

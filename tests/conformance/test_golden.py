"""Golden scrapes of recorded Falco output: `make golden` rewrites them; look at the difference before you commit it."""

import asyncio
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from falco_enrichment_exporter.exposition.alerts import AlertCollector
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.hosts import Part
from falco_enrichment_exporter.exposition.native import NativeSeries
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.settings import ObjectiveSettings, ThresholdSettings
from recordings import DATA, RUNS, fold, read_lines, wild_lines

GOLDEN = DATA / "golden"
RECORDINGS: dict[str, Callable[[], list[bytes]]] = {
    "run-a": lambda: read_lines(RUNS / "run-a" / "alerts.jsonl"),
    "run-b": lambda: read_lines(RUNS / "run-b" / "alerts.jsonl"),
    "run-f": lambda: read_lines(RUNS / "run-f" / "metrics_file.jsonl"),
    "run-h-text": lambda: read_lines(RUNS / "run-h" / "alerts.txt"),
    "docs-0.41-state": lambda: read_lines(DATA / "docs_pairs" / "04.jsonl"),
    "docs-0.41-plugins": lambda: read_lines(DATA / "docs_pairs" / "08.jsonl"),
    "wild": lambda: [row["raw"].encode() for row in wild_lines("snapshots.jsonl")],
}


def scraped(name: str, *, native: bool = True, is_open_metrics: bool = False) -> str:
    """Return what a scrape of a recording shows."""
    fleet = fold(RECORDINGS[name]())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AlertCollector(fleet.alerts, ThresholdSettings().model_dump(), ObjectiveSettings().model_dump()))
    parts: list[Part] = [HostSeries(fleet)]
    if native:
        parts.append(NativeSeries({}))
    return b"".join(asyncio.run(Page(fleet, parts, Tally(), registry).make(is_open_metrics=is_open_metrics))).decode()


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_scrape_is_the_golden_one(name: str) -> None:
    """Names, help, labels, values: all that a user may rely on."""
    page, path = scraped(name), GOLDEN / f"{name}.prom"
    if os.environ.get("GOLDEN_REWRITE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(page)

    assert page == path.read_text()


@pytest.mark.parametrize("name", RECORDINGS)
def test_text_and_openmetrics_parse_back_to_the_same_samples(name: str) -> None:
    """Both formats say the same; no NaN, no timestamp, no sample twice."""
    text = [s for f in parse_text(scraped(name)) for s in f.samples]
    open_metrics = [s for f in parse_openmetrics(scraped(name, is_open_metrics=True)) for s in f.samples]

    def keyed(samples: list[Any]) -> dict[Any, float]:
        return {(s.name, frozenset(s.labels.items())): s.value for s in samples}

    assert keyed(text) == keyed(open_metrics)
    assert len(keyed(text)) == len(text)
    assert not any(math.isnan(sample.value) for sample in text)


@pytest.mark.e2e
@pytest.mark.parametrize("name", RECORDINGS)
def test_promtool_finds_nothing_in_our_own_names(name: str) -> None:
    """`promtool check metrics` is silent about falco_enrichment_*; Falco's own names are Falco's."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "Debian's prometheus package is needed"
    page = scraped(name, native=False).encode()
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False, timeout=30)

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_no_golden_scrape_is_left_over() -> None:
    """Every golden file belongs to a recording."""
    assert {path.stem for path in Path(GOLDEN).glob("*.prom")} == set(RECORDINGS)

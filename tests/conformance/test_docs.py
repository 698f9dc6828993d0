"""docs/metrics.md says what the exporter exposes."""

import asyncio
import re
import runpy
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter.exposition.alerts import AlertCollector
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.settings import ObjectiveSettings, ThresholdSettings
from recordings import RUNS, fold, read_lines

DOCS = Path(__file__).parent.parent.parent / "docs"
LIMITS = ("falco_enrichment_threshold", "falco_enrichment_objective_ratio")


def test_metrics_md_is_what_make_docs_writes() -> None:
    """Run `make docs` after a change of the tables."""
    built = runpy.run_path(str(DOCS / "build_metrics.py"))["build"]()

    assert (DOCS / "metrics.md").read_text() == built


def test_every_exposed_family_is_documented() -> None:
    """A series that a scrape shows is in docs/metrics.md, a per-second one by its counter."""
    documented = set(re.findall(r"`(falco_enrichment_\w+)`", (DOCS / "metrics.md").read_text()))
    fleet = fold(read_lines(RUNS / "run-b" / "alerts.jsonl"))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AlertCollector(fleet.alerts, ThresholdSettings().model_dump(), ObjectiveSettings().model_dump()))
    page = b"".join(asyncio.run(Page(fleet, [HostSeries(fleet)], Tally(), registry).make())).decode()
    names = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert "falco_enrichment_alert_fields_total" in names
    for name in names:
        assert re.sub(r"_per_second$", "_total", name) in documented or name in LIMITS

"""The dashboards ask a real Prometheus, which scraped the real exporter: every panel has something to show."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.harness import Exporter, Prometheus, Start, eventually

pytestmark = pytest.mark.e2e

BOARDS: Final = Path(__file__).parents[2] / "grafana" / "dashboards"
PANELS: Final = [
    (path.stem, panel) for path in sorted(BOARDS.glob("*.json")) for panel in json.loads(path.read_text())["panels"]
]
VALUES: Final = {"cluster": ".*", "hostname": ".*", "source": "syscall", "domain": ".*", "instance": ".*"}
EMPTY: Final = {
    ("falco-enrich-fields", "Alerts without fields"),  # normal: none
    ("falco-enrich-fleet", "Alerts firing"),  # this Prometheus has no rules
    ("falco-enrich-fleet", "Rules files"),  # the synthetic Falco tells no digests
    ("falco-enrich-exporter", "Lines that could not be used"),  # normal: none
    ("falco-enrich-exporter", "Age of the checkpoint"),  # the demo keeps no state
    ("falco-enrich-exporter", "Posts to /ingest"),  # no receiver
}


@pytest.fixture(scope="module")
def exporter(start_shared: Start) -> Exporter:
    """Start the synthetic Falco of three hosts that degrade."""
    return start_shared("demo").wait_until_ready()


@pytest.fixture(scope="module")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrape until fields are missing and the thread table has refused threads, so that all has happened."""
    with Prometheus(exporter.port, tmp_path_factory.mktemp("prometheus")) as prometheus:
        lost = "sum(increase(falco_enrichment_alert_fields_missing_total[1h])) > 0"
        refused = 'max(max_over_time(falco_enrichment_threadtable_full_drops{window="last"}[1h])) > 0'
        eventually(lambda: prometheus.query(f"{lost} and {refused}"), bool, within=100)
        yield prometheus


def asked(expression: str) -> str:
    """Put values in place of the variables."""
    return re.sub(r"\$(\w+)", lambda match: VALUES[match[1]], expression)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}-{panel['id']}" for name, panel in PANELS])
def test_a_panel_has_data(prometheus: Prometheus, name: str, panel: dict[str, Any]) -> None:
    """Of a fleet that degrades; what stays empty is known."""
    answers = [prometheus.query(asked(target["expr"])) for target in panel["targets"]]

    assert any(answers) is ((name, panel["title"]) not in EMPTY)

"""The dashboard of Falco's Helm chart, fed by the exporter instead of Falco's endpoint."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.harness import RUNS, Exporter, Prometheus, Start, append, eventually

pytestmark = pytest.mark.e2e

BOARD: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "official_dashboard" / "queries.json").read_text()
)
QUERIES: Final[list[dict[str, str]]] = BOARD["queries"]
UNKNOWN: Final = re.compile(
    r"falcosecurity_falco_n_evts_total"  # Falco has no such name: it is falcosecurity_scap_n_evts_total
    r'|dir="enter", drop="(clone_fork|dir_file|execve|other_interest)"'  # in no snapshot since 0.41
)
VARIABLE: Final = re.compile(r"label_values\((.+),\s*(\w+)\)")
RULES: Final = """
- rule: Clear Log Activities
  priority: WARNING
- rule: Dummy divisible by 100
  source: dummy_c
  priority: NOTICE
"""
ABSENT: Final = {"namespace", "pod"}  # given by the scrape job in a cluster


@pytest.fixture(scope="module")
def prometheus(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrape an exporter that has read what a Falco with all its counters wrote."""
    log = tmp_path_factory.mktemp("log") / "falco.log"
    log.touch()
    rules = log.with_name("rules.yaml")
    rules.write_text(RULES)
    follow = f"--source.paths={log}", "--source.poll-interval=50ms", f"--native.rules-files={rules}"
    exporter: Exporter = start_shared(*follow).wait_until_ready()
    append(log, (RUNS / "run-b" / "alerts.jsonl").read_bytes())
    with Prometheus(exporter.port, tmp_path_factory.mktemp("prometheus")) as prometheus:
        twice = "count_over_time(falcosecurity_scap_n_evts_total[1m]) > 1"
        eventually(lambda: prometheus.query(twice), bool, within=30)
        yield prometheus


def asked(expression: str) -> str:
    """Put values in place of the variables, as Grafana does when all is selected."""
    return re.sub(r"\$\w+", ".*", re.sub(r"\$__(rate_)?interval\b", "1m", expression))


@pytest.mark.parametrize("query", QUERIES, ids=[f"{number}-{query['panel']}" for number, query in enumerate(QUERIES)])
def test_a_panel_of_it_has_data(prometheus: Prometheus, query: dict[str, str]) -> None:
    """But for those that ask for what this Falco does not tell."""
    assert bool(prometheus.query(asked(query["expr"]))) is (UNKNOWN.search(query["expr"]) is None)


@pytest.mark.parametrize("variable", BOARD["variables"])
def test_a_variable_of_it_has_values(prometheus: Prometheus, variable: str) -> None:
    """Those that name what Falco says; a namespace and a pod are labels of the scrape job."""
    match = VARIABLE.fullmatch(variable)
    assert match is not None
    series, label = match.groups()

    found = prometheus.query(f"count by ({label}) ({asked(series)})")

    assert any(label in dict(labels) for labels in found) is (label not in ABSENT)

"""The dashboards: series that exist, units, words and colours, and nothing that Grafana's linter minds."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from promql import selected
from test_rules_files import COUNTERS, EVENT_COUNTERS, KNOWN, RECORDED, SCRAPED, TARGET_LABELS

ROOT: Final = Path(__file__).parents[2]
BOARDS: Final = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))
}
PANELS: Final = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"]]
IDS: Final = [f"{name}-{panel['id']}" for name, panel in PANELS]
VARIABLES: Final = {
    "$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m",
    "$cluster": ".*", "$hostname": ".*", "$source": "syscall", "$domain": ".*", "$instance": ".*",
}  # fmt: skip
GRAFANA: Final = json.loads((ROOT / "tests" / "data" / "grafana" / "ids.json").read_text())
FOREIGN: Final = {
    "up",
    "ALERTS",
    "scrape_duration_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
"""What Prometheus and prometheus_client make themselves."""


def replaced(expression: str) -> str:
    """Put values in place of the variables."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def test_the_boards_are_up_to_date() -> None:
    """`make dashboards` writes them."""
    done = subprocess.run([sys.executable, str(ROOT / "grafana" / "build"), "--check"], check=False)

    assert done.returncode == 0
    assert set(BOARDS) == {"falco-enrich-fleet", "falco-enrich-host", "falco-enrich-fields", "falco-enrich-exporter"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_can_be_imported_anywhere(name: str) -> None:
    """A fixed uid, the schema that the widest range of Grafana reads, a data source to choose, links to its sisters."""
    board = BOARDS[name]
    variables = {row["name"]: row for row in board["templating"]["list"]}

    assert (board["uid"], board["schemaVersion"], board.get("id")) == (name, 39, None)
    assert board["tags"] == ["falco-enrichment"]
    assert board["links"][0]["keepTime"] is board["links"][0]["includeVars"] is True
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert "cluster" in variables
    assert 1 <= len(board["panels"]) <= 24
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_what_alerts_link_to_is_there() -> None:
    """Every dashboard_url lands on a panel that exists."""
    text = (ROOT / "alerts/rules/falco-enrichment.rules.yml").read_text()
    links = set(re.findall(r"/d/(falco-enrich-[a-z]+)\?(?:[^\"]*&)?viewPanel=(\d+)", text))

    assert links
    assert links <= {(name, str(panel["id"])) for name, panel in PANELS}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_a_panel_explains_itself(name: str, panel: dict[str, Any]) -> None:
    """Title, description, unit, what is said without data, few decimals, a legend in words."""
    options = panel["fieldConfig"]["defaults"]

    assert re.fullmatch(r"[A-Z].{3,39}", panel["title"])
    assert panel["description"].endswith((".", ":", "?"))
    assert options["noValue"]
    assert options.get("decimals", 0) <= 2
    assert panel["type"] in ("timeseries", "stat", "table")
    units = {options.get("unit")} if panel["type"] != "table" else set()
    for override in panel["fieldConfig"]["overrides"]:
        units |= {row["value"] for row in override["properties"] if row["id"] == "unit"}
    assert units <= set(GRAFANA["units"])
    assert {row["id"] for row in panel.get("transformations", [])} <= set(GRAFANA["transformations"])
    if panel["type"] == "stat":
        assert set(panel["options"]["reduceOptions"]["calcs"]) <= set(GRAFANA["reducers"])
    if panel["type"] != "table":
        assert all(target["legendFormat"] not in ("", "__auto") for target in panel["targets"])


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_a_panel_asks_for_what_exists(name: str, panel: dict[str, Any]) -> None:
    """Every expression parses; its series and labels exist; no rate is taken of a gauge or of a snapshot's counter."""
    for target in panel["targets"]:
        for found in selected(replaced(target["expr"])):
            labels = SCRAPED.get(found.name, set()) | KNOWN.get(found.name, set())
            rate = found.name.removesuffix("_per_second") + "_total"
            assert labels or found.name in {*KNOWN, *FOREIGN, *RECORDED} or rate in COUNTERS, found.name
            if labels:
                assert {label for _, label, _ in found.matchers} <= labels | TARGET_LABELS
            if found.function in ("rate", "irate", "increase"):
                assert found.name.endswith("_total")
                own = found.name.removeprefix("falco_enrichment_")
                assert own.startswith(EVENT_COUNTERS) or found.name in FOREIGN


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_snapshots_are_drawn_as_a_staircase(name: str, panel: dict[str, Any]) -> None:
    """With a point for each, and no line over a gap."""
    if panel["type"] == "timeseries":
        custom = panel["fieldConfig"]["defaults"]["custom"]
        assert custom["spanNulls"] is False
        is_event = all(
            found.function in ("rate", "increase") or found.name in FOREIGN
            for target in panel["targets"]
            for found in selected(replaced(target["expr"]))
        )
        if custom["lineInterpolation"] == "stepAfter":
            assert not is_event
            assert custom["showPoints"] == "always"


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_green_is_only_for_what_is_known_to_be_good(name: str, panel: dict[str, Any]) -> None:
    """No data is grey and says so; a board without colours for good and bad is blue."""
    if panel["type"] == "stat":
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        assert mapping["options"]["match"] == "null"
        assert mapping["options"]["result"]["color"] == "text"


DRAWN_AS_THEY_STAND: Final = {"falco_enrichment_falco_restarts_total", "falco_enrichment_falco_reloads_total"}
"""Counters of which each step is an event to be seen."""


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_linter_would_not_mind(name: str) -> None:
    """The rules of dashboard-linter.

    Not those about variables for job and instance, which these boards have none of, for a host is no target; nor those
    about LogQL, for there is none; rate intervals are fixed, for what is counted here comes in seldom.
    """
    board = BOARDS[name]
    assert board["editable"] is False  # uneditable-dashboard
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["datasource"]["uid"] == "${datasource}"
            series, label = re.fullmatch(r"label_values\((.+), ([a-z]+)\)", variable["query"]).groups()  # type: ignore[union-attr]
            assert selected(replaced(series))  # template-label-promql-rule
            assert label == variable["name"]
            assert variable["refresh"] == 2  # template-on-time-change-reload-rule
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}  # panel-datasource-rule
        assert panel["targets"]  # panel-no-targets-rule
        for target in panel["targets"]:
            for found in selected(replaced(target["expr"])):  # target-promql-rule
                is_counter = found.name in COUNTERS or found.name.endswith("_total")
                if is_counter and found.name not in DRAWN_AS_THEY_STAND:  # target-counter-agg-rule
                    assert found.function in ("rate", "increase"), found.name

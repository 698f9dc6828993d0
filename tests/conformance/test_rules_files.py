"""The alert rules: every series exists, every alert tells its reader what to do, every gate is held by a test."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter.core import series
from falco_enrichment_exporter.core.catalog import SERIES_FIELDS, Kind
from falco_enrichment_exporter.core.signals import SIGNALS
from falco_enrichment_exporter.settings import ObjectiveSettings
from promql import selected

ROOT: Final = Path(__file__).parents[2]
ALERTS: Final = ROOT / "alerts"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
OURS: Final = ALERTS / "rules" / "falco-enrichment.rules.yml"
NATIVE: Final = ALERTS / "rules" / "falco-native.rules.yml"
HEADINGS: Final = [
    "Meaning", "Impact", "Confirm in 60 seconds", "Likely causes", "False alarms", "Escalate", "Verify the fix",
]  # fmt: skip
TARGET_LABELS: Final = {"job", "instance", "cluster"}
EVENT_COUNTERS: Final = ("alert", "rule_", "exporter_")
"""What is counted as it is read, so that rate() is right; all other counters move with the snapshots."""


def rules_of(path: Path) -> list[dict[str, Any]]:
    """Return all rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


RULES: Final = rules_of(OURS)
ALERT_RULES: Final = [rule for path in (OURS, NATIVE) for rule in rules_of(path) if "alert" in rule]
OUR_NAMES: Final = sorted({rule["alert"] for rule in RULES if "alert" in rule})
NAMES: Final = sorted({rule["alert"] for rule in ALERT_RULES})


def labels_of_series() -> dict[str, set[str]]:
    """Return the labels of every series that the exporter has, from its tables."""
    found = {
        f"falco_enrichment_{row.name}": set(row.labels)
        for row in (*series.SNAPSHOT_SERIES.values(), *series.ALERT_SERIES.values(), series.OBJECTIVE, series.THRESHOLD)
    }
    for field in SERIES_FIELDS:
        found.setdefault(f"falco_enrichment_{field.series}", set()).update({*series.KEY, *dict(field.labels)})
    for row in series.SELF_SERIES.values():
        found[f"falco_enrichment_{series.SELF_PREFIX}{row.name}"] = set(row.labels)
    return found


def scraped() -> dict[str, set[str]]:
    """Return the labels of every series in the golden scrapes."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests" / "data" / "golden").glob("*.prom"):
        for family in text_string_to_metric_families(path.read_text()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


KNOWN: Final = labels_of_series()
SCRAPED: Final = scraped()
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}
COUNTERS: Final = {f"falco_enrichment_{field.series}" for field in SERIES_FIELDS if field.kind is Kind.COUNTER}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_series_of_a_rule_exists(rule: dict[str, Any]) -> None:
    """With the labels that it is selected by: in our tables, and in a golden scrape where it is of a snapshot."""
    for found in selected(rule["expr"]):
        if found.name in RECORDED or found.name == "up":
            continue
        labels = SCRAPED.get(found.name, set()) | KNOWN.get(found.name, set())
        assert labels or found.name in KNOWN, found.name
        assert {name for _, name, _ in found.matchers} <= labels | TARGET_LABELS


def test_every_falco_name_of_the_second_file_exists() -> None:
    """In the scrapes of our own page, which has Falco's names, or of Falco's."""
    own = {name for name in SCRAPED if name.startswith("falcosecurity_")}
    own |= {
        line.split("{")[0].split(" ")[0]
        for path in (ROOT / "tests" / "data").rglob("*.prom")
        for line in path.read_text().splitlines()
        if line.startswith("falcosecurity_")
    }

    assert {found.name for rule in rules_of(NATIVE) for found in selected(rule["expr"])} <= own


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_no_rate_is_taken_of_what_moves_with_the_snapshots(rule: dict[str, Any]) -> None:
    """It would be a staircase's: 0 for most of the hour, then twelve times too much."""
    for found in selected(rule["expr"]):
        if found.function in ("rate", "irate", "increase"):
            assert found.name.removeprefix("falco_enrichment_").startswith(EVENT_COUNTERS), found.name
            assert found.name not in COUNTERS


@pytest.mark.parametrize("rule", ALERT_RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_tells_its_reader_what_to_do(rule: dict[str, Any]) -> None:
    """One sentence, who and how much, a runbook, a place to look; no value in a label."""
    annotations, labels = rule["annotations"], rule["labels"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", annotations["summary"])
    assert annotations["description"].endswith(".")
    assert annotations["runbook_url"].endswith(f"/{rule['alert'].lower()}.md")
    assert annotations["dashboard_url"].startswith("https://grafana.example.com/d/falco-enrich-")
    assert labels["severity"] in ("info", "warning", "critical")
    assert labels["signal"]
    assert not any("{{" in str(value) for value in labels.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_a_runbook_with_seven_headings(name: str) -> None:
    """All a reader needs at night."""
    text = (RUNBOOKS / f"{name.lower()}.md").read_text()

    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    for expression in re.findall(r"```promql\n(.+?)\n```", text, re.DOTALL):
        for found in selected(expression):
            assert found.name in KNOWN or found.name in RECORDED or found.name in SCRAPED or found.name == "up"


def test_every_series_that_a_runbook_names_exists() -> None:
    """Also within the text."""
    named = {
        name
        for path in RUNBOOKS.glob("*.md")
        for name in re.findall(r"\b(falco_enrichment_[a-z_]+)\b", path.read_text())
    }

    rates = {name.removesuffix("_total") + "_per_second" for name in COUNTERS}
    assert named <= KNOWN.keys() | rates


def test_every_runbook_belongs_to_an_alert() -> None:
    """And what the findings name is among them."""
    files = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}

    assert files == {name.lower() for name in NAMES}
    assert {signal.runbook for signal in SIGNALS} <= files


@pytest.mark.parametrize("name", OUR_NAMES)
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(name: str) -> None:
    """For every severity, with all of its annotations."""
    tests = yaml.safe_load((ALERTS / "tests" / f"{name.lower()}.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == name]
    fired = [alert for case in cases for alert in case["exp_alerts"]]
    wanted = [rule["labels"] for rule in RULES if rule.get("alert") == name]

    assert any(not case["exp_alerts"] for case in cases)
    for labels in wanted:
        assert any(labels.items() <= alert["exp_labels"].items() for alert in fired), labels
    assert all(len(alert["exp_annotations"]) == 4 for alert in fired)


NATIVE_NAMES: Final = sorted({rule["alert"] for rule in rules_of(NATIVE)})


@pytest.mark.e2e
@pytest.mark.parametrize("name", NATIVE_NAMES)
def test_an_alert_on_falcos_own_page_fires_when_it_should(name: str) -> None:
    """And has a case in which it does not."""
    path = ALERTS / "tests" / "native" / f"{name.lower()}.test.yml"
    cases = [case for test in yaml.safe_load(path.read_text())["tests"] for case in test["alert_rule_test"]]
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.parametrize("factor", [14.4, 6, 3, 1])
def test_every_burn_rate_can_be_reached(factor: float) -> None:
    """An objective that is too low would make the fastest alert impossible."""
    for objective in ObjectiveSettings().model_dump().values():
        assert factor * (1 - objective) < 1


# -- what the cases hold ----------------------------------------------------------------------------------------------

GATES: Final = {
    "fresh": re.compile(r"and (?:ignoring \([a-z_, ]+\) )?falco_enrichment:snapshot_fresh:bool == 1\n?"),
    "warm": re.compile(r"and (?:ignoring \([a-z_, ]+\) )?falco_enrichment:falco_warm:bool == 1\n?"),
    "last": re.compile(r'(?<=window=~")last\|(?=last3")'),
    "last3": re.compile(r'(?<=window=~"last)\|last3(?=")'),
    "floor": re.compile(r"and [a-z_:0-9 ]*(?:containers|judged:increase1h) >= \d+\n?"),
    "volume": re.compile(r"and sum by \(cluster, domain\) \(increase\(.*\) >= \d+\n?"),
    "short window": re.compile(r"and falco_enrichment:alert_fields_missing:ratio_rate\w+ > .*\n"),
    "two snapshots": re.compile(r"and falco_enrichment_life_snapshots >= 2\n"),
}


def mutations() -> Iterator[tuple[str, int, str]]:
    """Yield every rule with each of its gates taken away, once."""
    for at, rule in enumerate(RULES):
        for gate, pattern in GATES.items():
            if "alert" in rule and pattern.search(rule["expr"]):
                yield (
                    f"{rule['alert']}-{rule['labels']['severity']}-{rule['labels'].get('window', '')}-{gate}",
                    at,
                    gate,
                )


MUTATIONS: Final = list(mutations())


def needed(rules: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return an alert's rules, and the recording rules that they stand on."""
    wanted = [rule for rule in rules if rule.get("alert") == name]
    while True:
        names = {found.name for rule in wanted for found in selected(rule["expr"])}
        more = [rule for rule in rules if rule.get("record") in names and rule not in wanted]
        if not more:
            return [rule for rule in rules if rule in wanted]
        wanted += more


def promtool(folder: Path, rules: list[dict[str, Any]], name: str) -> subprocess.CompletedProcess[str]:
    """Run the cases of an alert against these rules, those that it needs."""
    kept = needed(rules, name)
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": kept}]}))
    tests = yaml.safe_load((ALERTS / "tests" / f"{name.lower()}.test.yml").read_text())
    (folder / "test.yml").write_text(yaml.safe_dump(tests | {"rule_files": ["rules.yml"]}))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


Runs = dict[tuple[str, int, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run all cases, with the rules as they are and with each gate taken away; as many at once as there are CPUs."""

    def run(name: str, at: int, gate: str) -> subprocess.CompletedProcess[str]:
        rules = deepcopy(RULES)
        if gate:
            rules[at]["expr"] = GATES[gate].sub("", rules[at]["expr"])
        return promtool(tmp_path_factory.mktemp("promtool"), rules, name)

    jobs = [(name, -1, "") for name in OUR_NAMES] + [(RULES[at]["alert"], at, gate) for _, at, gate in MUTATIONS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(jobs, pool.map(lambda job: run(*job), jobs), strict=True))


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", OUR_NAMES)
def test_an_alert_fires_when_it_should_and_only_then(runs: Runs, name: str) -> None:
    """Promtool runs its cases."""
    done = runs[name, -1, ""]

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("at", "gate"), [row[1:] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_without_a_gate_a_case_fails(runs: Runs, at: int, gate: str) -> None:
    """Freshness, uptime, windows, volume: each is there for a reason that a case knows."""
    done = runs[RULES[at]["alert"], at, gate]

    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


@pytest.mark.parametrize("path", [OURS, NATIVE], ids=lambda path: path.name)
def test_the_rules_are_valid(path: Path) -> None:
    """Says promtool, with duplicates refused."""
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_objects_for_the_operator_are_up_to_date() -> None:
    """`make rules` writes them."""
    done = subprocess.run([sys.executable, str(ALERTS / "build_prometheusrule.py"), "--check"], check=False)

    assert done.returncode == 0
    for path in (ROOT / "deploy" / "kubernetes").glob("prometheusrule-*.yaml"):
        source = ALERTS / "rules" / (path.stem.removeprefix("prometheusrule-") + ".rules.yml")
        assert yaml.safe_load(path.read_text())["spec"] == yaml.safe_load(source.read_text())

"""The Alertmanager example: valid, every alert goes where it should, and says what to do."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "alerts" / "alertmanager" / "alertmanager.yml"
RULES: Final = [
    rule
    for path in (ROOT / "alerts" / "rules").glob("*.rules.yml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
RECEIVERS: Final = {"critical": "page", "warning": "ticket", "info": "nowhere"}
ROUTED: Final = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in RULES})


def test_the_example_is_valid() -> None:
    """Says amtool, templates included."""
    done = subprocess.run(["amtool", "check-config", str(EXAMPLE)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "1 templates" in done.stdout


@pytest.mark.parametrize(("name", "severity"), ROUTED)
def test_an_alert_goes_to_its_receiver(name: str, severity: str) -> None:
    """Critical pages, warning opens a ticket, info goes nowhere."""
    labels = [f"alertname={name}", f"severity={severity}", "hostname=h1", "cluster=a"]
    command = ["amtool", "config", "routes", "test", f"--config.file={EXAMPLE}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout.split() == [RECEIVERS[severity]]


def test_the_alerts_of_others_are_left_alone() -> None:
    """Whatever their severity."""
    command = [
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={EXAMPLE}",
        "alertname=NodeDown",
        "severity=critical",
    ]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["nowhere"]


def test_every_alert_of_an_inhibition_exists() -> None:
    """A name that is mistyped would mute nothing, without a word."""
    names = {rule["alert"] for rule in RULES}
    named = {
        name
        for rule in yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        if matcher.startswith("alertname") and "Falco.+" not in matcher
        for name in matcher.split('"')[1].split("|")
    }

    assert named <= names


def test_what_mutes_others_is_over_after_them() -> None:
    """All may heal with the same snapshot; were the cause over first, a notification of the others could get out."""
    sources = {
        name
        for rule in yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
        for matcher in rule["source_matchers"]
        if matcher.startswith('alertname="')
        for name in matcher.split('"')[1].split("|")
    }
    longer = {rule["alert"] for rule in RULES if rule.get("keep_firing_for")}
    shorter = {rule["alert"] for rule in RULES if not rule.get("keep_firing_for")}

    assert sources
    assert longer == sources
    assert not shorter & sources


def test_the_symptom_is_never_muted() -> None:
    """Only by its own critical form: what users feel is told, whatever its cause."""
    targets = [
        matcher
        for rule in yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
        for matcher in rule["target_matchers"]
        if matcher.startswith("alertname")
    ]

    assert not any("Completeness" in target or "Metadata" in target for target in targets)


def rendered(template: str, folder: Path, alerts: list[dict[str, Any]], status: str = "firing") -> str:
    """Render a template as Alertmanager does for a notification of these alerts."""
    data = folder / "data.json"
    group = {"alertname": alerts[0]["labels"]["alertname"], "cluster": "eu"}
    data.write_text(json.dumps({"status": status, "alerts": alerts, "groupLabels": group}))
    done = subprocess.run(
        [
            *("amtool", "template", "render", f"--template.glob={EXAMPLE.parent}/templates/*.tmpl"),
            *(f"--template.data={data}", f'--template.text={{{{ template "falco_enrichment.{template}" . }}}}'),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_notification_says_what_is_wrong_the_next_step_and_where_to_read_on(tmp_path: Path) -> None:
    """For every alert of the pack; "read the runbook" is for the alerts of others that use the template."""
    fired = [
        {
            "status": "firing",
            "labels": rule["labels"] | {"alertname": rule["alert"]},
            "annotations": rule["annotations"],
        }
        for rule in RULES
    ]

    text = rendered("text", tmp_path, fired)

    paragraphs = text.strip().split("\n\n")
    for rule, paragraph in zip(RULES, paragraphs, strict=True):
        notes = rule["annotations"]
        assert paragraph.startswith(f"{rule['labels']['severity'].upper()}: {notes['summary'].strip()}"), paragraph
        assert notes["description"].strip() in paragraph
        step = re.search(r"^Next step: (.{20,})$", paragraph, re.MULTILINE)
        assert step is not None, paragraph
        assert "read the runbook" not in step[1]
        assert f"Runbook: {notes['runbook_url']}" in paragraph
        assert f"Dashboard: {notes['dashboard_url']}" in paragraph
    assert "Next step: read the runbook" in rendered("text", tmp_path, [{"labels": {"alertname": "Other"}}])


def test_the_title_tells_what_has_begun_and_what_is_over(tmp_path: Path) -> None:
    """How many fire, of which alert, and where."""
    alerts = [{"status": "firing", "labels": {"alertname": "FalcoSnapshotStale"}}] * 3

    assert rendered("title", tmp_path, alerts).strip() == "[FIRING 3] FalcoSnapshotStale in eu"
    assert rendered("title", tmp_path, alerts, "resolved").strip() == "[RESOLVED] FalcoSnapshotStale in eu"

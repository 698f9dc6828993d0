"""The hand-labelled alerts and the scenario logs hold what their READMEs promise, before anything is tested by them."""

import json
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data"
DOMAINS = {"container_image", "kubernetes", "user_name", "process_tree", "process"}
KINDS = {"null", "empty", "na", "sentinel", "echo"}
REASONS = {
    *("host_process", "pod_sandbox", "no_images", "no_pod", "no_digest", "by_digest", "optional"),
    *("no_login_uid", "unknown_login_uid", "assigned_uid", "beyond_tree_root", "kernel_thread", "no_arguments"),
}
UNKNOWN = {"null": (None,), "empty": ("",), "na": ("<NA>", "N/A"), "sentinel": (-1, 2**32 - 1)}
SAYS_NOTHING = [value for values in UNKNOWN.values() for value in values]


def read() -> list[Any]:
    """Return every alert of the corpus, each with its file and line."""
    return [
        pytest.param(json.loads(line), id=f"{path.stem}-{number}")
        for path in sorted((DATA / "completeness").glob("*.jsonl"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]


CORPUS = read()
VERDICTS = [(key, verdict) for made in CORPUS for key, verdict in made.values[0]["verdicts"].items()]


@pytest.mark.parametrize("made", CORPUS)
def test_a_line_says_why_and_judges_fields_that_the_alert_has(made: dict[str, Any]) -> None:
    """Each line has a sentence, an alert and verdicts in the known words; only alerts of syscalls are judged."""
    assert set(made) == {"about", "alert", "verdicts"}
    assert made["about"].endswith(".")
    fields = made["alert"]["output_fields"]
    assert {"output", "output_fields", "priority", "rule", "source", "time"} <= set(made["alert"])
    assert not made["verdicts"] or made["alert"]["source"] == "syscall"
    for key, (domain, outcome, *detail) in made["verdicts"].items():
        assert key in fields
        assert domain in DOMAINS
        assert (outcome, len(detail)) in {("present", 0), ("missing", 1), ("excused", 1)}
        assert not detail or detail[0] in (KINDS if outcome == "missing" else REASONS)


@pytest.mark.parametrize("made", CORPUS)
def test_the_kind_of_a_missing_field_is_how_its_value_says_nothing(made: dict[str, Any]) -> None:
    """A kind fits its value, and a present field never holds a text that says nothing."""
    fields = made["alert"]["output_fields"]
    for key, (_, outcome, *detail) in made["verdicts"].items():
        if outcome == "missing" and detail == ["echo"]:
            assert fields[key].startswith(fields["container.id"])
        elif outcome == "missing":
            assert fields[key] in UNKNOWN[detail[0]]
        elif outcome == "present":
            assert fields[key] not in SAYS_NOTHING


def test_a_field_belongs_to_one_domain_throughout() -> None:
    """No key is judged under two domains."""
    pairs = {(key, verdict[0]) for key, verdict in VERDICTS}
    assert len(pairs) == len({key for key, _ in pairs})


def test_the_corpus_is_large_and_knows_every_kind_reason_and_outcome() -> None:
    """It holds hundreds of verdicts: each outcome in each domain, each kind, each reason."""
    assert len(CORPUS) >= 150
    assert len(VERDICTS) >= 1000
    assert {(verdict[0], verdict[1]) for _, verdict in VERDICTS} == {
        (domain, outcome) for domain in DOMAINS for outcome in ("present", "missing", "excused")
    }
    details = Counter(verdict[2] for _, verdict in VERDICTS if len(verdict) > 2)
    assert set(details) == KINDS | REASONS


def test_the_whole_alert_is_judged_unless_its_process_is_lost() -> None:
    """A key that is judged anywhere is judged in every syscall alert, or only the process domain is."""
    judged = {key for key, _ in VERDICTS}
    for made in CORPUS:
        alert, verdicts = made.values[0]["alert"], made.values[0]["verdicts"]
        if alert["source"] == "syscall" and {verdict[0] for verdict in verdicts.values()} != {"process"}:
            assert judged & set(alert["output_fields"]) == set(verdicts)


def test_the_scenarios_are_what_their_generator_writes(tmp_path: Path) -> None:
    """Running build.py again changes no byte, and every log has its expectation."""
    runpy.run_path(str(DATA / "scenarios" / "build.py"))["write"](tmp_path)
    kept = {
        path.name: path.read_bytes() for path in (DATA / "scenarios").iterdir() if path.suffix in {".json", ".jsonl"}
    }
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert set(json.loads(kept.pop("expected.json"))) == set(kept)
    assert sum(map(len, kept.values())) < 1_572_864


@pytest.mark.parametrize("path", sorted((DATA / "scenarios").glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_scenario_runs_for_three_quarters_of_an_hour(path: Path) -> None:
    """Each log has a snapshot a minute and enough alerts to judge by, in the order of their times."""
    lines = path.read_text().splitlines()
    assert sum("Falco metrics snapshot" in line for line in lines) >= 45
    assert sum("Falco metrics snapshot" not in line for line in lines) >= 60
    times = [json.loads(line)["time"] if line.startswith("{") else line[:18] for line in lines]
    assert times == sorted(times)

"""Falco rules files become labels; what is no rules file is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.rules import read_rules, sanitize

SHELL = """
- required_engine_version: 0.31.0
- list: shells
  items: [bash, sh]
- macro: spawned
  condition: evt.type = execve
- rule: Terminal shell in container
  desc: A shell
  condition: spawned and proc.name in (shells)
  output: A shell | evt_type=%evt.type
  priority: NOTICE
  tags: [maturity_stable, container, T1059, mitre.execution]
"""
LABELS = {
    "rule_name": "Terminal shell in container",
    "source": "syscall",
    "priority": "5",
    "tag_maturity_stable": "true",
    "tag_container": "true",
    "tag_T1059": "true",
    "tag_mitre_execution": "true",
}
KEY = "Terminal_shell_in_container"


def write(directory: Path, *texts: str | bytes) -> list[Path]:
    """Write rules files, in order."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(directory / f"rules{number}.yaml")
        paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


@pytest.mark.parametrize(
    ("rule", "printed"),
    [
        ("Terminal shell in container", "Terminal_shell_in_container"),
        ("Read sensitive file untrusted", "Read_sensitive_file_untrusted"),
        ("Contact K8S API Server From Container", "Contact_K8S_API_Server_From_Container"),
        ("a  b", "a_b"),
        ("a - b", "a_b"),
        ("a__b", "a_b"),
        ("ns::rule", "ns::rule"),
        ("ends with (parentheses)", "ends_with_parentheses"),
        ("(starts", "_starts"),
        ("Größe", "Gr_e"),
        ("a/b.c", "a_b_c"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_a_rules_name_is_printed_as_falco_does(rule: str, printed: str) -> None:
    """Everything else is one underscore, a last one is cut off."""
    assert sanitize(rule) == printed


@given(st.text(max_size=30))
def test_a_printed_name_has_only_the_letters_of_a_metric(rule: str) -> None:
    """And printing it again changes nothing."""
    printed = sanitize(rule)

    assert all(letter.isascii() and (letter.isalnum() or letter in "_:") for letter in printed)
    assert "__" not in printed
    assert sanitize(printed) == printed


def test_a_rule_has_the_labels_of_falcos_own_endpoint(tmp_path: Path) -> None:
    """Name, source, priority as a number, a label for each tag; macros and lists are no rules."""
    assert read_rules(write(tmp_path, SHELL)) == {KEY: LABELS}


def test_no_files_have_no_rules(tmp_path: Path) -> None:
    """Nor has an empty list, nor one without rules."""
    assert read_rules([]) == {}
    assert read_rules(write(tmp_path, "[]", "- macro: x\n  condition: y\n")) == {}


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("EMERGENCY", "0"),
        ("alert", "1"),
        ("Critical", "2"),
        ("ERROR", "3"),
        ("warning", "4"),
        ("Notice", "5"),
        ("INFO", "6"),
        ("informational", "6"),
        ("DEBUG", "7"),
        ("LOUD", None),
        ("", None),
        ("5", None),
    ],
)
def test_a_priority_is_falcos_number(tmp_path: Path, word: str, number: str | None) -> None:
    """An unknown one is no label."""
    (labels,) = read_rules(write(tmp_path, f"- rule: R\n  priority: {word}\n")).values()

    assert labels.get("priority") == number


def test_a_rule_may_have_a_source_of_its_own(tmp_path: Path) -> None:
    """Rules of plugins name theirs."""
    assert read_rules(write(tmp_path, "- rule: R\n  source: k8s_audit\n"))["R"]["source"] == "k8s_audit"


@pytest.mark.parametrize(
    ("later", "tags"),
    [
        pytest.param("{rule: R, tags: [new], override: {tags: append}}", {"a", "b", "new"}, id="tags appended"),
        pytest.param("{rule: R, tags: [new], override: {tags: replace}}", {"new"}, id="tags replaced"),
        pytest.param("{rule: R, tags: [], override: {tags: replace}}", set(), id="tags taken away"),
        pytest.param("{rule: R, priority: ERROR, override: {priority: replace}}", {"a", "b"}, id="tags not touched"),
        pytest.param("{rule: R, condition: and x, append: true}", {"a", "b"}, id="condition appended"),
        pytest.param("{rule: R, enabled: false}", {"a", "b"}, id="switched off"),
        pytest.param("{rule: R, exceptions: [], override: {exceptions: append}}", {"a", "b"}, id="exceptions"),
        pytest.param(
            "{rule: R, desc: d, condition: c, output: o, priority: ERROR, tags: [new]}", {"new"}, id="written anew"
        ),
        pytest.param(
            "{rule: R, desc: d, condition: c, output: o, priority: ERROR}", set(), id="written anew without tags"
        ),
    ],
)
def test_later_definitions_change_the_tags_as_falco_does(tmp_path: Path, later: str, tags: set[str]) -> None:
    """Appended tags add, a definition that replaces the rule replaces them."""
    first = "- {rule: R, desc: d, condition: c, output: o, priority: WARNING, tags: [a, b]}\n"
    labels = read_rules(write(tmp_path, first, f"- {later}\n"))["R"]

    assert {name.removeprefix("tag_") for name in labels if name.startswith("tag_")} == tags
    assert labels["priority"] == ("3" if "ERROR" in later else "4")


def test_a_definition_may_follow_in_the_same_file(tmp_path: Path) -> None:
    """Order counts, not files."""
    text = "- {rule: R, tags: [a], priority: ERROR}\n- {rule: R, tags: [b], override: {tags: append}}\n"
    labels = read_rules(write(tmp_path, text))["R"]

    assert {"tag_a", "tag_b"} <= set(labels)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("rule: R", id="a mapping"),
        pytest.param("text", id="a text"),
        pytest.param("- rule: [", id="torn"),
        pytest.param("- rule: a: b", id="no YAML"),
        pytest.param(b"- rule: \xff", id="not UTF-8"),
        pytest.param("- rule: R\n  tags: !!python/object:os.system x", id="a Python object"),
        pytest.param("- rule: R\n  tags: [2024-13-45]", id="a date that does not exist"),
        pytest.param("[" * 1200, id="nested"),
        pytest.param("- rule: R\n  tags: 5", id="tags are a number"),
        pytest.param("- rule: R\n  tags: text", id="tags are a text"),
        pytest.param("- rule: R\n  tags: [a]\n  override: tags", id="override is a text"),
        pytest.param("- rule: R\n  tags: [a]\n  override: [tags]", id="override is a list"),
    ],
)
def test_what_is_no_rules_file_is_refused(tmp_path: Path, text: str | bytes) -> None:
    """The message names the flag and the file."""
    (path,) = write(tmp_path, text)
    with pytest.raises(SetupError) as caught:
        read_rules([path])

    assert str(caught.value).startswith(f"--native.rules-files: {path}: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a directory."""
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(SetupError, match=r"^--native\.rules-files: "):
            read_rules([path])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", "append", "tags", "R", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["tags", "a"]), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(["tags", "override", "append", "priority", "source", "enabled"])
ITEMS = st.dictionaries(KEYS, VALUES).map(lambda item: {"rule": "R"} | item)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(ITEMS, max_size=3))
def test_any_yaml_is_rules_or_refused(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    """Never a traceback; labels are text."""
    try:
        rules = read_rules(write(tmp_path, yaml.safe_dump(items)))
    except SetupError:
        rules = {}

    assert all(isinstance(text, str) for labels in rules.values() for text in labels.values())

"""What is wrong is found, in the order of diagnosis, and nothing else."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from falco_enrichment_exporter import cli

SCENARIOS = Path(__file__).parent.parent / "data" / "scenarios"
EXPECTED: dict[str, dict[str, Any]] = json.loads((SCENARIOS / "expected.json").read_text())

Diagnose = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def diagnose(capsys: pytest.CaptureFixture[str]) -> Diagnose:
    """Run the command on a file; return the exit code and the report."""

    def diagnose(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        code = cli.main(["diagnose", "--output=json", *map(str, arguments)])
        return code, json.loads(capsys.readouterr().out)

    return diagnose


def causes(report: dict[str, Any]) -> list[str]:
    """Return the causes of all findings in their order, each once."""
    return list(dict.fromkeys(finding["cause"] for host in report["hosts"] for finding in host["findings"]))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scenario_is_diagnosed(diagnose: Diagnose, name: str) -> None:
    """The cause is named first, two causes keep their order, and a healthy log has none."""
    code, report = diagnose(SCENARIOS / name)

    assert (code, causes(report)) == (EXPECTED[name]["exit"], EXPECTED[name]["causes"])


@pytest.mark.parametrize("name", [name for name in EXPECTED if "not_judged" in EXPECTED[name]])
def test_what_could_not_be_judged_is_told(diagnose: Diagnose, name: str) -> None:
    """With its reason: silence is not health."""
    _, report = diagnose(SCENARIOS / name)
    told = {item["cause"]: item["reason"] for item in report["hosts"][0]["not_judged"]}

    assert set(EXPECTED[name]["not_judged"]) <= told.keys()
    assert all(told.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runtime_all_null.jsonl", ["id known, image, name and pod missing", "socket"]),
        ("containerd_engine.jsonl", ["image known, name missing", "cri engine"]),
        ("docker_answers_first.jsonl", ["image known, pod missing", "docker"]),
        ("lookup_window_0.43.jsonl", ["for some containers only", "0.7.3"]),
        ("user_mounts.jsonl", ["user.name is missing", "/host/etc"]),
        ("table_full.jsonl", ["refused", "falco_libs.thread_table_size"]),
        ("kernel_drops.jsonl", ["12", "buf_size_preset"]),
    ],
)
def test_a_finding_has_its_evidence_and_the_next_step(diagnose: Diagnose, name: str, words: list[str]) -> None:
    """By the pattern of what is missing, for this version of Falco."""
    _, report = diagnose(SCENARIOS / name)
    finding = report["hosts"][0]["findings"][0]

    for word in words:
        assert word in finding["evidence"] + finding["next_step"]


def test_a_threshold_of_the_user_is_judged_by(diagnose: Diagnose) -> None:
    """A limit above what was measured takes the finding away."""
    log, flag = SCENARIOS / "kernel_drops.jsonl", "--thresholds.kernel-drop-ratio"

    assert causes(diagnose(log)[1]) == ["events_lost"]
    assert diagnose(log, f"{flag}.warning=0.9", f"{flag}.critical=0.95")[0] == 0


def test_files_are_judged_together(diagnose: Diagnose) -> None:
    """Snapshots in one file and alerts in another are of one host."""
    code, report = diagnose(SCENARIOS / "table_full.jsonl", SCENARIOS / "runtime_all_null.jsonl")

    assert code == 1
    assert {"table_full", "container_runtime"} & set(causes(report))


def test_a_report_for_people_names_host_cause_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text where there is no terminal."""
    assert cli.main(["diagnose", str(SCENARIOS / "user_mounts.jsonl")]) == 1
    text = capsys.readouterr().out

    assert "does not see the host's users" in text
    assert "Next:" in text
    assert "\x1b" not in text


def test_a_reason_names_each_host_once(capsys: pytest.CaptureFixture[str]) -> None:
    """However many signals of its cause it is true of."""
    cli.main(["diagnose", str(SCENARIOS / "counters_off.jsonl")])
    shown = capsys.readouterr().out

    reasons = [line for line in shown.splitlines() if "the snapshots have no state counters" in line]
    assert reasons
    assert not [line for line in reasons if line.endswith("hosts)")]


def test_standard_input_is_read_though_a_file_has_its_name(
    diagnose: Diagnose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dash is standard input, always."""
    (tmp_path / "-").write_text("strange")
    monkeypatch.chdir(tmp_path)
    data = io.BytesIO((SCENARIOS / "kernel_drops.jsonl").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))

    assert causes(diagnose("-")[1]) == ["events_lost"]


def test_a_packed_log_is_read(diagnose: Diagnose, tmp_path: Path) -> None:
    """As logrotate leaves them."""
    import gzip

    packed = tmp_path / "falco.log.1.gz"
    packed.write_bytes(gzip.compress((SCENARIOS / "kernel_drops.jsonl").read_bytes()))

    assert causes(diagnose(packed)[1]) == ["events_lost"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read"), (b"", "no snapshot and no alert"), (b"\x00\xff\n{]\n" * 9, "no snapshot and no alert")],
    ids=["missing", "empty", "noise"],
)
def test_unusable_input_ends_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, words: str
) -> None:
    """And with the file's name."""
    log = tmp_path / "falco.log"
    if content is not None:
        log.write_bytes(content)

    assert cli.main(["diagnose", str(log)]) == 2
    assert words in (error := capsys.readouterr().err)
    assert str(log) in error


def test_nothing_to_read_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what to give."""
    assert cli.main(["diagnose"]) == 2
    assert "nothing to read" in capsys.readouterr().err

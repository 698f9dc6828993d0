"""Every recorded and published line is decoded, or rejected for a reason; the stream may be cut anywhere."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.envelope import Unwrapper
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import Intake, fold_lines
from falco_enrichment_exporter.core.lines import LineBuffer
from falco_enrichment_exporter.core.records import Alert, Other, Rejection, Snapshot, decode
from recordings import PAIRS, RUNS, fold, read_lines, wild_lines

METRICS_H = RUNS / "run-h" / "metrics_file.jsonl"
RUN_A = (RUNS / "run-a" / "alerts.jsonl").read_bytes()


@pytest.mark.parametrize("path", sorted(RUNS.glob("run-*/metrics_file.jsonl")), ids=lambda path: path.parent.name)
def test_every_line_of_a_metrics_file_is_a_snapshot(path: Path) -> None:
    """metrics.output_file holds snapshots only."""
    assert {type(decode(line)) for line in read_lines(path)} == {Snapshot}


@pytest.mark.parametrize("path", sorted(RUNS.glob("run-[abefg]/alerts.jsonl")), ids=lambda path: path.parent.name)
def test_a_mixed_log_holds_as_many_snapshots_as_its_metrics_file(path: Path) -> None:
    """Both outputs were on: the same snapshots in both, field for field."""
    mixed = [record for line in read_lines(path) if isinstance(record := decode(line), Snapshot)]
    alone = [
        record
        for line in read_lines(path.parent / "metrics_file.jsonl")
        if isinstance(record := decode(line), Snapshot)
    ]

    assert sorted((r.at_ns, r.source) for r in mixed) == sorted((r.at_ns, r.source) for r in alone)
    assert {(r.at_ns, r.source): r.fields for r in mixed} == {(r.at_ns, r.source): r.fields for r in alone}


@pytest.mark.parametrize("path", sorted(RUNS.glob("run-[abefg]/alerts.jsonl")), ids=lambda path: path.parent.name)
def test_no_line_of_a_recorded_log_is_rejected(path: Path) -> None:
    """What a running Falco writes is all known."""
    assert not [line for line in read_lines(path) if isinstance(decode(line), Rejection)]


def test_text_snapshots_equal_the_json_ones_beside_them() -> None:
    """With json_output: false nothing is lost but the envelope."""
    text = [
        record for line in read_lines(RUNS / "run-h" / "alerts.txt") if isinstance(record := decode(line), Snapshot)
    ]
    alone = [record for line in read_lines(METRICS_H) if isinstance(record := decode(line), Snapshot)]

    assert {r.at_ns: r.fields for r in text} == {r.at_ns: r.fields for r in alone}
    assert len(text) == 6


def test_text_alerts_are_other_lines() -> None:
    """A text alert is neither an alert we can count nor a rejection."""
    records = [decode(line) for line in read_lines(RUNS / "run-h" / "alerts.txt")]

    assert {type(record) for record in records} == {Snapshot, Other}


@pytest.mark.parametrize("path", sorted(PAIRS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_documented_snapshot_decodes(path: Path) -> None:
    """The snapshots of Falco's documentation, as Falco prints them."""
    assert isinstance(decode(path.read_bytes().strip()), Snapshot)


@pytest.mark.parametrize("row", wild_lines("snapshots.jsonl"), ids=lambda row: str(row["falco_version"])[:12])
def test_published_snapshots_decode_or_are_refused(row: dict[str, str]) -> None:
    """A whole snapshot decodes; one that is cut off, or has no time, is refused or other, never half believed."""
    raw = row["raw"].encode()
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    record = decode(raw)
    fields = document.get("output_fields", {}) if isinstance(document, dict) else {}

    if "evt.source" in fields and ("evt.time" in fields or "time" in (document or {})):
        assert isinstance(record, Snapshot)
    elif isinstance(record, Snapshot):  # a text snapshot that is whole
        assert raw.endswith(b")")
    else:
        assert isinstance(record, Rejection | Other)


@pytest.mark.parametrize("row", wild_lines("alerts.jsonl"), ids=lambda row: str(row["falco_version"])[:12])
def test_published_alerts_are_alerts_or_refused(row: dict[str, str]) -> None:
    """Whole JSON alerts of any version count; text, cut-off and internal lines do not."""
    raw = row["raw"].encode()
    unwrapped = Unwrapper(1 << 20).unwrap(raw) or b""
    try:
        document = json.loads(unwrapped)
    except ValueError:
        document = None
    record = decode(unwrapped)

    if isinstance(document, dict) and "rule" in document and not document["rule"].startswith("Falco internal"):
        assert isinstance(record, Alert)
        assert record.rule == document["rule"]
    else:
        assert isinstance(record, Rejection | Other)


def _state(fleet: Fleet) -> object:
    return (fleet.hosts, fleet.alerts.by_host, fleet.alerts.by_rule, fleet.lines, fleet.rejections, fleet.ignored)


def _fed(pieces: list[bytes]) -> Fleet:
    fleet, buffer = fold([]), LineBuffer(1 << 20, block_bytes=4096)
    intake = Intake(fleet, 1 << 20)
    for piece in pieces:
        rest = piece
        while rest:
            with buffer.writable() as free:
                count = min(len(free), len(rest))
                free[:count] = rest[:count]
            intake.take(buffer.commit(count))
            rest = rest[count:]
    return fleet


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(RUN_A)), max_size=12))
def test_any_split_of_the_byte_stream_gives_the_same_state(cuts: list[int]) -> None:
    """Where reads end is an accident."""
    bounds = [0, *sorted(cuts), len(RUN_A)]
    pieces = [RUN_A[a:b] for a, b in pairwise(bounds)]

    assert _state(_fed(pieces)) == _state(_fed([RUN_A]))


NOISE = (
    b"",
    b"Mon Nov 23 04:56:11 2026: Falco initialized",
    b'{"torn',
    b"\0\0{}",
    b'{"rule":7,"output_fields":{}}',
    b'{"rule":"R\xff","priority":"Notice","source":"syscall","hostname":"h"}',
    b"2026-11-23T04:56:11.1Z stdout F " + RUN_A.splitlines()[1],
    b"[" * 5000,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 150), st.sampled_from(NOISE)), max_size=8))
def test_blocks_and_single_lines_give_the_same_state(noise: list[tuple[int, bytes]]) -> None:
    """The fast path for whole blocks means what the slow path for single lines means, whatever stands between."""
    lines = RUN_A.splitlines()
    for position, line in noise:
        lines.insert(position, line)

    assert _state(_fed([b"".join(line + b"\n" for line in lines)])) == _state(fold(lines))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=6))
def test_any_grouping_of_folds_gives_the_same_state(cuts: list[int]) -> None:
    """How many lines a turn takes is an accident, too."""
    lines = RUN_A.splitlines()
    bounds = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    fleet, unwrapper = fold([]), Unwrapper(1 << 20)
    for a, b in pairwise(bounds):
        fold_lines(lines[a:b], unwrapper, fleet)

    assert _state(fleet) == _state(fold(lines))


def test_a_host_with_both_outputs_on_is_one_host_counted_once() -> None:
    """The same snapshots in the alert log and in the metrics file are duplicates, whichever comes first."""
    alerts, alone = read_lines(RUNS / "run-a" / "alerts.jsonl"), read_lines(RUNS / "run-a" / "metrics_file.jsonl")
    fleet = fold([*alone, *alerts])

    assert list(fleet.hosts) == ["falco-node-1"]
    assert fleet.hosts["falco-node-1"]["syscall"].snapshots == len(alone)


def test_the_recorded_restart_and_reload_are_seen() -> None:
    """Run a: a SIGHUP after line 9, a restart after line 14."""
    track = fold(read_lines(RUNS / "run-a" / "metrics_file.jsonl")).hosts["falco-node-1"]["syscall"]

    assert (track.restarts, track.reloads) == (1, 1)
    assert track.life.snapshots == len(read_lines(RUNS / "run-a" / "metrics_file.jsonl")) - 14


def test_our_rates_agree_with_falcos_own() -> None:
    """falco.evts_rate_sec and scap.evts_rate_sec are the same arithmetic, rounded to one decimal by Falco."""
    lines = read_lines(RUNS / "run-a" / "metrics_file.jsonl")
    compared = 0
    for count in range(2, len(lines) + 1):
        track = fold(lines[:count]).hosts["falco-node-1"]["syscall"]
        ours, falcos = track.life.per_second("scap.n_evts"), track.fields["scap.evts_rate_sec"]
        if ours is not None and len(track.life.intervals) > 1 and not track.life.is_after_twin:
            assert ours == pytest.approx(falcos, rel=0.01, abs=0.1)
            compared += 1
    assert compared > 8

"""Lines mean the same whatever way they go: in blocks or one by one, with alerts or without, in any envelope."""

import json
from collections.abc import Callable

import pytest

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import CHUNK_BYTES, LEARN_BYTES, Intake
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.schema import MOST_NAMES
from snapshots import make_fields, make_fleet, make_line

LIMIT = 1 << 20
STAMP = b"2026-11-23T04:56:11.123456789Z stdout "
PADDING = "x" * 900


def alert(fields: dict[str, object], rule: str = "R") -> bytes:
    """Write an alert as Falco does."""
    head = {"hostname": "a", "output": PADDING, "output_fields": fields, "priority": "Notice", "rule": rule}
    return json.dumps(head | {"source": "syscall"}).encode()


def cri(text: bytes, flag: bytes = b"F") -> bytes:
    """Wrap a text as Kubernetes does."""
    return STAMP + flag + b" " + text


def docker(text: bytes, end: bytes = b"\n") -> bytes:
    """Wrap a text as docker does."""
    return json.dumps({"log": (text + end).decode(), "stream": "stdout"}, separators=(",", ":")).encode()


def block_of(lines: list[bytes], *, may_hold_oversize: bool = False) -> Block:
    """Make a block of lines."""
    data = bytearray(b"".join(line + b"\n" for line in lines))
    return Block(data, 0, len(data), may_hold_oversize=may_hold_oversize)


def take(*blocks: list[bytes], fleet: Fleet | None = None) -> Fleet:
    """Let one source's blocks be taken in."""
    fleet = fleet or make_fleet()
    intake = Intake(fleet, LIMIT)
    for lines in blocks:
        intake.take(block_of(lines))
    return fleet


def test_a_line_split_between_two_blocks_is_one_though_its_rest_looks_whole() -> None:
    """The rest may begin and end with braces."""
    text = alert({"user.name": "root"}).replace(b', "priority"', b',"priority"')
    at = text.index(b'{"user.name"')
    fleet = take([cri(text[:at], b"P")], [cri(text[at:])])

    assert dict(fleet.lines) == {"snapshot": 0, "alert": 1, "other": 0}
    assert not fleet.rejections


@pytest.mark.parametrize("wrap", [lambda line: line, cri, docker], ids=["plain", "cri", "docker"])
def test_a_line_that_is_too_long_is_left_out_of_a_block(wrap: Callable[[bytes], bytes]) -> None:
    """Those around it count."""
    fleet, limit = make_fleet(), 3000
    short, long = wrap(alert({})), wrap(alert({"proc.cmdline": "y" * limit}))
    Intake(fleet, limit).take(block_of([short, long, short], may_hold_oversize=True))

    assert fleet.lines["alert"] == 2
    assert fleet.rejections == {"oversize": 1}


@pytest.mark.parametrize("wrap", [lambda line: line, cri, docker], ids=["plain", "cri", "docker"])
def test_the_nul_bytes_before_a_line_are_no_part_of_it(wrap: Callable[[bytes], bytes]) -> None:
    """Together they may be longer than a line may be."""
    fleet, limit = make_fleet(), 3000
    short = wrap(alert({}))
    Intake(fleet, limit).take(block_of([short, b"\0" * limit + short, short], may_hold_oversize=True))

    assert fleet.lines["alert"] == 3
    assert not fleet.rejections


def test_what_was_read_by_one_schema_is_counted_by_it() -> None:
    """Though the rest of the block teaches another one."""
    names = {"container.id": "0123456789ab", "user.name": "root"}, {"container.id": "host", "user.name": "<NA>"}
    before, new = [alert({**fields}) for fields in names * 50], [alert({"proc.name": "x", **names[0]})] * 20
    assert len(b"".join(before)) > CHUNK_BYTES
    fleet = take(before, [*before, *new])
    counted = fleet.alerts.ledger.hosts["a"].fields

    assert fleet.lines["alert"] == 220
    assert counted["user_name", "user.name", "present"] == 50 + 50 + 20
    assert counted["user_name", "user.name", "missing"] == 50 + 50
    assert fleet.alerts.by_host == {("a", "syscall", "Notice"): 220}


@pytest.mark.parametrize("wrap", [cri, docker])
@pytest.mark.parametrize("inner", [cri, docker])
def test_an_envelope_comes_off_once(wrap: Callable[[bytes], bytes], inner: Callable[[bytes], bytes]) -> None:
    """What a program wrote in the form of another envelope is not Falco's."""
    fleet = take([wrap(inner(alert({})))] * 20)

    assert fleet.lines["alert"] == 0


def test_a_line_of_dockers_may_hold_newlines() -> None:
    """It is one line of Falco's still."""
    text = alert({}).replace(b', "priority"', b',\n"priority"')
    fleet = take([docker(text)] * 3)

    assert dict(fleet.lines) == {"snapshot": 0, "alert": 3, "other": 0}
    assert not fleet.rejections


@pytest.mark.parametrize("wrap", [lambda line: line, cri, docker], ids=["plain", "cri", "docker"])
def test_without_alerts_only_what_may_be_a_snapshot_is_looked_at(wrap: Callable[[bytes], bytes]) -> None:
    """Another program's lines are no rejections then, in whichever envelope."""
    lines = [wrap(line) for line in (b'{"level":"info"}', make_line(make_fields(60)), b'{"torn')]
    fleet = take(lines, fleet=make_fleet(counts_alerts=False))

    assert fleet.lines == {"snapshot": 1}
    assert not fleet.rejections


@pytest.mark.parametrize("form", ["cri", "docker"])
def test_without_alerts_a_snapshot_that_was_split_is_joined(form: str) -> None:
    """What tells a snapshot stands in one part of it only."""
    text = make_line(make_fields(60))
    parts = text[:40], text[40:-40], text[-40:]
    if form == "cri":
        lines = [cri(part, flag) for part, flag in zip(parts, (b"P", b"P", b"F"), strict=True)]
    else:
        lines = [docker(part, end) for part, end in zip(parts, (b"", b"", b"\n"), strict=True)]

    assert take(lines, fleet=make_fleet(counts_alerts=False)).lines["snapshot"] == 1


def test_a_message_of_falcos_own_is_not_learned_from() -> None:
    """However long it is, and whatever source it names."""
    lines = [alert({"user.name": "root", "proc.cmdline": "y" * LEARN_BYTES}, rule="Falco internal: x")]
    fleet = take(lines, lines)

    assert dict(fleet.lines) == {"snapshot": 0, "alert": 0, "other": 2}


def test_an_alert_of_very_many_fields_is_not_learned_from() -> None:
    """It counts, and nothing is kept of it."""
    fleet = take([alert({f"x{number}": 1 for number in range(MOST_NAMES + 1)})] * 12)

    assert fleet.lines["alert"] == 12
    assert fleet.alerts._schema.reader is None

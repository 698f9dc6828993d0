"""The newest snapshots from the end of a file: the same as reading it all, whatever the size of a block."""

import json
import sys
import weakref
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.backwards import SNAPSHOTS_KEPT, BackwardScan
from falco_enrichment_exporter.core.envelope import Unwrapper
from falco_enrichment_exporter.core.intake import NEEDLE, read_line
from falco_enrichment_exporter.core.records import Snapshot
from snapshots import START_NS, make_fields, make_line

LIMIT = 4096
STAMP = b"2026-11-23T04:56:11.123456789Z"
Key = tuple[str, str]
Found = dict[Key, list[int]]

ALERT = b'{"hostname":"h","output":"evt.source=syscall","priority":"Notice","rule":"R","source":"syscall"}'
TEXT_ALERT = b"22:19:58.9: Notice shell (cmd=grep evt.source /var/log/falco)"
OTHER_LINES = (
    b"",
    ALERT,
    TEXT_ALERT,
    b'{"rule":"R","output":"quiet"}',
    b"evt.source",
    b'{"output_fields":{"evt.source":"syscall","evt.ti',
    b"\0" * 50,
    b'{"rule":"R","output":"' + b"evt.source " * 600 + b'"}',  # above the limit
)


def scan(text: bytes, block_bytes: int, limit: int = LIMIT) -> BackwardScan:
    """Read a file from its end to its start."""
    found = BackwardScan(limit)
    end = len(text)
    while end > 0:
        start = max(end - block_bytes, 0)
        found.take(bytearray(text[start:end]))
        end = start
    found.finish()
    return found


def by_key(snapshots: list[Snapshot]) -> Found:
    """Return the times of the snapshots of every (host, source), in seconds of the made Falco."""
    times: Found = {}
    for snapshot in snapshots:
        key = (snapshot.hostname or snapshot.event_hostname or "", snapshot.source)
        times.setdefault(key, []).append((snapshot.at_ns - START_NS) // 10**9)
    return times


def forward(text: bytes, limit: int = LIMIT) -> Found:
    """Read a file from its start to its end; return the newest of every key."""
    unwrapper = Unwrapper(limit)
    lines = [line for line in text.split(b"\n")[:-1] if len(line) <= limit]
    records = [record for line in lines for record in read_line(line, unwrapper)]
    times = by_key([record for record in records if isinstance(record, Snapshot)])
    return {key: sorted(found)[-SNAPSHOTS_KEPT:] for key, found in times.items()}


def line_of(second: int, host: str, source: str, form: str) -> bytes:
    """Return a snapshot line in one of the shapes."""
    fields = make_fields(second, evt__hostname=host, evt__source=source)
    if form == "text":
        pairs = " ".join(f"{key}={json.dumps(value)}" for key, value in fields.items())
        return b"22:19:58.960296886: Informational Falco metrics snapshot (" + pairs.encode() + b")"
    return make_line(fields, hostname=None if form == "file" else host)


def wrapped(line: bytes, envelope: str, cuts: list[int]) -> list[bytes]:
    """Return the lines that a container runtime makes of one line; no cut is in the first 300 bytes."""
    bounds = sorted({min(300 + cut, len(line)) for cut in cuts})
    parts = [line[a:b] for a, b in zip([0, *bounds], [*bounds, len(line)], strict=True) if a < b] or [b""]
    if envelope == "plain":
        return [line]
    if envelope == "cri":
        return [STAMP + b" stdout " + b"PF"[i == len(parts) - 1 :][:1] + b" " + part for i, part in enumerate(parts)]
    texts = [part.decode("latin-1") for part in [*parts[:-1], parts[-1] + b"\n"]]
    return [json.dumps({"log": text, "stream": "stdout"}, separators=(",", ":")).encode() for text in texts]


SNAPSHOT_LINES = st.builds(
    line_of,
    st.integers(1, 500),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["syscall", "k8s_audit"]),
    st.sampled_from(["alert", "file", "text"]),
)
FILES = st.lists(SNAPSHOT_LINES | st.sampled_from(OTHER_LINES), max_size=30)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_order(lines: list[bytes]) -> list[bytes]:
    """Give the snapshots times that rise, as they do in a file."""
    ordered = []
    for second, line in enumerate(lines, 1):
        before, found, after = line.partition(b'"evt.time": ' if b'"evt.time": ' in line else b"evt.time=")
        digits = after[:19]
        ordered.append(before + found + b"%d" % (START_NS + second * 10**9) + after[19:] if digits.isdigit() else line)
    return ordered


@SETTINGS
@given(FILES, st.integers(1, 3000), st.sampled_from([b"", b'{"output_fields":{"evt.source"', b"x" * 9000]))
def test_any_block_size_finds_what_a_forward_pass_finds(lines: list[bytes], block_bytes: int, partial: bytes) -> None:
    """Alerts between, very long lines, a partial last line, any shape: the newest of every key are found."""
    text = b"".join(line + b"\n" for line in in_order(lines)) + partial

    assert by_key(scan(text, block_bytes).snapshots()) == forward(text)


@SETTINGS
@given(
    st.lists(SNAPSHOT_LINES | st.sampled_from(OTHER_LINES[1:4]), max_size=15),
    st.lists(st.integers(0, 400), max_size=3),
    st.sampled_from(["cri", "docker"]),
    st.integers(3000, 9000),
    st.booleans(),
)
def test_split_lines_are_found_whole(
    lines: list[bytes], cuts: list[int], envelope: str, block_bytes: int, has_stderr: bool
) -> None:
    """A snapshot that the runtime split, with lines of stderr between, is found as a forward pass finds it."""
    split = [part for line in in_order(lines) for part in wrapped(line, envelope, cuts)]
    if has_stderr:
        split = [part for line in split for part in (STAMP + b" stderr F Opening source", line)]
    text = b"".join(line + b"\n" for line in split)

    assert by_key(scan(text, block_bytes).snapshots()) == forward(text)


def test_a_line_split_over_many_small_blocks_is_found_whole() -> None:
    """A block may hold one fragment only, or a part of one."""
    (line,) = in_order([line_of(1, "a", "syscall", "alert")])
    text = b"".join(part + b"\n" for part in wrapped(line, "cri", [0, 2, 40, 60, 100]))

    for block_bytes in range(100, len(text)):
        assert by_key(scan(text, block_bytes).snapshots()) == forward(text)


@pytest.mark.parametrize("block_bytes", [1, 7, 100, 1000, 1 << 20])
def test_the_newest_snapshots_come_oldest_first(block_bytes: int) -> None:
    """Folding them in this order is folding the end of the file."""
    text = b"".join(line_of(second, "a", "syscall", "alert") + b"\n" + ALERT + b"\n" for second in range(1, 10))

    snapshots = scan(text, block_bytes).snapshots()

    assert by_key(snapshots) == {("a", "syscall"): [4, 5, 6, 7, 8, 9]}
    assert [snapshot.at_ns for snapshot in snapshots] == sorted(snapshot.at_ns for snapshot in snapshots)


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
def test_a_host_far_back_is_found(block_bytes: int) -> None:
    """One busy host does not hide the others."""
    lines = [line_of(1, "rare", "syscall", "alert")]
    lines += [line_of(second, "busy", "syscall", "alert") for second in range(2, 40)]
    text = b"".join(line + b"\n" for line in lines)

    assert by_key(scan(text, block_bytes).snapshots())["rare", "syscall"] == [1]


def test_later_calls_bring_what_is_older() -> None:
    """Each snapshot is brought once, up to as many of a host as are kept."""
    older = line_of(1, "a", "syscall", "alert") + b"\n" + line_of(2, "b", "syscall", "alert") + b"\n"
    newer = line_of(3, "a", "syscall", "alert") + b"\n"
    found = BackwardScan(LIMIT)

    found.take(bytearray(newer))
    found.take(bytearray(b"\n"))
    first = by_key(found.snapshots())
    found.take(bytearray(older))
    found.finish()

    assert first == {("a", "syscall"): [3]}
    assert by_key(found.snapshots()) == {("a", "syscall"): [1], ("b", "syscall"): [2]}
    assert found.snapshots() == []


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n\n", b"evt.source", b"evt.source\n", b"\xff\0\n"])
def test_a_file_without_snapshots_has_none(text: bytes) -> None:
    """An empty file, and one of noise, are files."""
    assert scan(text, 3).snapshots() == []


def test_a_partial_last_line_is_not_believed() -> None:
    """Not even if what stands there already is a whole snapshot: only a newline ends a line."""
    text = line_of(1, "a", "syscall", "alert") + b"\n" + line_of(2, "a", "syscall", "alert")

    assert by_key(scan(text, 50).snapshots()) == {("a", "syscall"): [1]}


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 2, 3 * LIMIT])
@pytest.mark.parametrize("block_bytes", [1, 100, LIMIT, LIMIT + 1, LIMIT + 2, 1 << 20])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_limit_is_the_same_as_in_the_forward_pass(size: int, block_bytes: int, is_first: bool) -> None:
    """A snapshot of exactly the limit counts, a longer one does not, wherever blocks begin."""
    line = make_line(make_fields(2, x=""))
    padded = make_line(make_fields(2, x="x" * (size - len(line))))
    assert len(padded) == size
    text = (b"" if is_first else ALERT + b"\n") + padded + b"\n" + ALERT + b"\n"

    assert by_key(scan(text, block_bytes).snapshots()) == ({("node", "syscall"): [2]} if size <= LIMIT else {})


def test_an_alert_that_quotes_a_snapshot_is_not_found() -> None:
    """A hit is decoded before it is believed."""
    quoted = line_of(1, "evil", "syscall", "alert").decode()
    alert = {"hostname": "a", "rule": "R", "priority": "Notice", "output_fields": {"proc.cmdline": quoted}}
    text = json.dumps(alert).encode() + b"\n"

    assert scan(text, 100).snapshots() == []


@pytest.mark.parametrize("is_complete", [True, False])
def test_split_lines_that_quote_the_needle_do_not_bring_a_snapshot_twice(is_complete: bool) -> None:
    """A split alert before a snapshot, whole or torn, is no second sight of that snapshot."""
    lines = [part for second in (1, 2, 3) for part in wrapped(line_of(second, "a", "syscall", "alert"), "cri", [])]
    split = [STAMP + b' stdout P {"rule":"R","output":"evt.source ', STAMP + b' stdout F "}']
    lines += split[: 2 if is_complete else 1] * 8
    lines += wrapped(line_of(4, "a", "syscall", "alert"), "cri", [])
    text = b"".join(line + b"\n" for line in lines)

    found = by_key(scan(text, 1 << 20).snapshots())["a", "syscall"]

    assert len(found) == len(set(found))
    assert {1, 2, 3} <= set(found)


def test_hostile_fragments_cost_no_more_than_their_number() -> None:
    """Each fragment that has the needle is looked at a few times, not once for every other one."""
    count, seen = 150, 0
    text = (STAMP + b" stdout P evt.source\n") * count

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal seen
        seen += event == "call" and frame.f_code.co_name == "unwrap"

    sys.setprofile(watch)
    try:
        scan(text, 1 << 20, limit=1 << 20)
    finally:
        sys.setprofile(None)

    assert text.count(NEEDLE) == count
    assert seen <= 20 * count


class Seen(bytearray):
    """A block that tells whether it is still held."""


def test_no_more_is_held_than_a_line_may_be_long() -> None:
    """However long the file is."""
    scan = BackwardScan(limit_bytes=4096)
    held = []
    for _ in range(100):
        block = Seen(b"Falco says nothing\n" * 50)
        held.append(weakref.ref(block))
        scan.take(block)
        del block

    assert sum(block() is not None for block in held) <= 4096 // 950 + 2

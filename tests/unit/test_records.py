"""One line to what it means: every shape Falco writes, and every line it does not."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.records import (
    Alert,
    Other,
    Record,
    Rejection,
    Snapshot,
    decode,
    decode_block,
)
from falco_enrichment_exporter.core.units import UNREADABLE
from snapshots import make_fields, make_line

DATA = Path(__file__).parents[1] / "data"
RUNS = DATA / "falco-0.44.1"
AT_NS = 1748557198960296886
OUTPUT_FIELDS = {"evt.hostname": "node", "evt.source": "syscall", "evt.time": AT_NS, "falco.version": "0.44.1"}
TEXT_START = b"22:19:58.960296886: Informational Falco metrics snapshot ("


def snapshot(line: bytes) -> Snapshot:
    """Decode a line that must be a snapshot."""
    record = decode(line)
    assert isinstance(record, Snapshot), record
    return record


def alert_like(fields: object = None, **envelope: object) -> bytes:
    """Return the line that metrics.output_rule writes; None in the envelope leaves a key out."""
    line: dict[str, Any] = {
        "hostname": "envelope",
        "output": "Falco metrics snapshot",
        "output_fields": OUTPUT_FIELDS if fields is None else fields,
        "priority": "Informational",
        "rule": "Falco internal: metrics snapshot",
        "source": "internal",
        "time": "2025-05-29T22:19:58.960296886Z",
    } | envelope
    return json.dumps({key: value for key, value in line.items() if value is not None}).encode()


def raw(fields: bytes, time: bytes = b'"x"') -> bytes:
    """Return an alert-like snapshot with fields as they are given."""
    return (
        b'{"rule":"Falco internal: metrics snapshot","source":"internal","time":' + time + b',"output_fields":{'
        b'"evt.time":1748557198960296886,"evt.source":"syscall"' + fields + b"}}"
    )


def old(**fields: Any) -> bytes:
    """Return a snapshot of Falco 0.35 to 0.37; underscores twice stand for a dot."""
    named = {key.replace("__", "."): value for key, value in fields.items()}
    return alert_like({"evt.source": "syscall", "evt.time": AT_NS, "falco.version": "0.37.1"} | named)


# -- snapshots -------------------------------------------------------------------------------------------------------


def test_the_alert_like_line_is_a_snapshot() -> None:
    """metrics.output_rule: the envelope's hostname and the event's are both told, the source is the event's."""
    record = snapshot(alert_like())

    assert (record.at_ns, record.source) == (AT_NS, "syscall")
    assert (record.hostname, record.event_hostname) == ("envelope", "node")
    assert record.fields == OUTPUT_FIELDS


@pytest.mark.parametrize("sample", [0, 1, 7])
def test_the_file_line_is_a_snapshot_without_envelope(sample: int) -> None:
    """The file's first sample is 0 from Falco 0.41 on, and is one."""
    record = snapshot(json.dumps({"output_fields": OUTPUT_FIELDS, "sample": sample}, separators=(",", ":")).encode())

    assert (record.hostname, record.event_hostname, record.at_ns) == (None, "node", AT_NS)
    assert record.fields == OUTPUT_FIELDS


def test_the_text_line_is_the_same_snapshot_as_the_json_one() -> None:
    """Text mode loses nothing but the envelope's hostname."""
    fields = OUTPUT_FIELDS | {"falco.duration_sec": 80, "scap.n_drops_perc": 0.0, "falco.evts_rate_sec": 1846.4}
    pairs = " ".join(f"{key}={json.dumps(value)}" for key, value in sorted(fields.items()))

    record = snapshot(TEXT_START + pairs.encode() + b")")

    assert record.hostname is None
    assert (record.at_ns, record.source, record.event_hostname, record.fields) == (AT_NS, "syscall", "node", fields)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "two words",
        'a "quoted" word',
        "(in parentheses)",
        ") evt.source=evil (",
        "back\\slash",
        "ends with a backslash\\",
        "tab\tnewline\n",
        "a=b",
        'k="v")',
        "größe 漢字",
        "\u0000",
    ],
)
def test_quoted_text_in_a_text_snapshot_is_read_as_json(value: str) -> None:
    """Blanks, quotation marks, escapes and parentheses inside a value end nothing."""
    text = b'%sevt.hostname=%s evt.source="syscall" evt.time=%d x=%s)'
    quoted = json.dumps(value).encode()

    record = snapshot(text % (TEXT_START, quoted, AT_NS, quoted))

    assert record.fields["x"] == value
    assert record.source == "syscall"
    assert record.event_hostname == (value or None)


@pytest.mark.parametrize("start", [b"22:19:58.960296886", b"2025-05-29T22:19:58.960296886+0000", b"00:00:00.1"])
def test_text_snapshots_begin_with_either_time_format(start: bytes) -> None:
    """The date is the event's, never the line's."""
    line = b'%s: Informational Falco metrics snapshot (evt.source="a" evt.time=%d)' % (start, AT_NS)

    assert snapshot(line).at_ns == AT_NS


def test_every_cut_of_a_text_snapshot_is_rejected_or_other() -> None:
    """A text snapshot that lost its end is not believed."""
    line = (RUNS / "run-h" / "alerts.txt").read_bytes().split(b"\n", 1)[0]

    assert isinstance(decode(line), Snapshot)
    assert {type(decode(line[:cut])) for cut in range(len(line))} == {Other, Rejection}


@pytest.mark.parametrize(
    "rest",
    [
        b")",
        b"",
        b"evt.time)",
        b"=5)",
        b'evt.source="a" evt.time=1 x=)',
        b'evt.source="a" evt.time=1',
        b'evt.source="a" evt.time=1) and more',
        b'evt.source="a"  evt.time=1)',
        b'evt.source="a" evt.time=1 x=1e400)',
        b'evt.source="a" evt.time=1 x=NaN)',
        b'evt.source="a" evt.time=1 x="\\q")',
        b'evt.source="a" evt.time=1 x=' + b"[" * 5000 + b")",
        b'evt.source="a" evt.time=1 ' + b"x" * 5000 + b"=1)",
    ],
)
def test_a_malformed_text_snapshot_is_rejected(rest: bytes) -> None:
    """What cannot be read in full is not read in part."""
    assert decode(TEXT_START + rest) == Rejection("bad_text_snapshot")


def test_values_of_the_grpc_map_are_read_back_as_numbers() -> None:
    """Falco's gRPC output prints every value as text, evt.time included."""
    fields = {
        "evt.hostname": "node",
        "evt.source": "syscall",
        "evt.time": str(AT_NS),
        "falco.num_evts": "44381403800",
        "scap.evts_rate_sec": "93546.8",
        "scap.n_drops_perc": "0.0",
        "falco.memory_rss_mb": "2",
        "falco.version": "0.43.0",
        "scap.engine_name": "modern_bpf",
        "falco.rules.x": "nan",
        "falco.rules.y": "",
    }

    record = snapshot(alert_like(fields))

    assert record.at_ns == AT_NS
    assert record.fields == {
        "evt.hostname": "node",
        "evt.source": "syscall",
        "evt.time": AT_NS,
        "falco.num_evts": 44381403800,
        "scap.evts_rate_sec": 93546.8,
        "scap.n_drops_perc": 0.0,
        "falco.memory_rss_bytes": 2 << 20,
        "falco.version": "0.43.0",
        "scap.engine_name": "modern_bpf",
        "falco.rules.x": "nan",
        "falco.rules.y": "",
    }


@pytest.mark.parametrize("key", ["evt.hostname", "falco.hostname", "falco.kernel_release"])
@pytest.mark.parametrize("text", ["446172849012", "6.1", "1_000"])
def test_names_that_look_like_numbers_stay_names_in_the_grpc_map(key: str, text: str) -> None:
    """A pod's hostname may be twelve digits; it is a name all the same."""
    record = snapshot(alert_like({"evt.source": "syscall", "evt.time": str(AT_NS), key: text}, hostname=None))

    assert record.fields["evt.hostname" if key == "falco.hostname" else key] == text
    assert record.event_hostname == (text if key.endswith("hostname") else None)


def test_text_in_a_json_snapshot_is_never_read_as_a_number() -> None:
    """Where evt.time is a number, Falco kept the types."""
    assert snapshot(alert_like(OUTPUT_FIELDS | {"falco.kernel_release": "6.1"})).fields["falco.kernel_release"] == "6.1"


@pytest.mark.parametrize("time", [b"1748557198960296886", b"1.748557198960296886e18", b"1748557198960296886.0"])
def test_a_float_evt_time_is_a_time(time: bytes) -> None:
    """Forwarders write 1.7e18; up to 256 ns are lost, the snapshot is not."""
    line = b'{"output_fields":{"evt.source":"syscall","evt.time":%s},"sample":1}' % time

    assert abs(snapshot(line).at_ns - AT_NS) <= 256


@pytest.mark.parametrize(
    ("time", "at_ns"),
    [
        ("2025-05-29T22:19:58.960296886Z", AT_NS),
        ("2025-05-29T22:19:58.960296886+0000", AT_NS),
        ("2025-05-30T00:19:58.960296886+02:00", AT_NS),
        ("2025-05-29T22:19:58Z", AT_NS // 10**9 * 10**9),
        ("2025-05-29T22:19:58.9Z", AT_NS // 10**9 * 10**9 + 900_000_000),
    ],
)
def test_without_evt_time_the_envelope_tells_the_time(time: str, at_ns: int) -> None:
    """The envelope's time equals evt.time, to the nanosecond."""
    assert snapshot(alert_like({"evt.source": "syscall"}, time=time)).at_ns == at_ns


@pytest.mark.parametrize(
    "time",
    [
        None,
        "",
        "now",
        "2025-05-29",
        "2025-13-29T22:19:58Z",
        "2025-05-29T22:19:58",
        "2025-05-29T25:19:58Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2025-05-29T22:19:58+99:99",
        "1969-12-31T23:59:59Z",
        5,
        True,
        [],
        {"a": 1},
        "\u0662\u0660\u0662\u0665-05-29T22:19:58Z",
    ],
)
def test_a_snapshot_without_any_time_is_rejected(time: object) -> None:
    """The time of arrival is never the time of a snapshot, and a wrong time is no time."""
    assert decode(alert_like({"evt.source": "syscall"}, time=time)) == Rejection("no_time")


@pytest.mark.parametrize(
    "value", [0, -1, 1 << 63, 2**70, 0.0, -1.5, 0.5, True, None, [], {}, "", "x", "-5", "9" * 5000]
)
def test_an_impossible_evt_time_is_no_time(value: object) -> None:
    """Only a positive number of nanoseconds that fits into 63 bits is a time."""
    assert decode(alert_like({"evt.source": "syscall", "evt.time": value}, time=None)) == Rejection("no_time")


@pytest.mark.parametrize("value", [None, 5, "", [], True])
def test_a_snapshot_without_a_source_is_rejected(value: object) -> None:
    """A number that belongs to no event source cannot be told from another one's."""
    assert decode(alert_like({"evt.time": AT_NS, "evt.source": value})) == Rejection("no_source")


@pytest.mark.parametrize("value", [None, 5, [], "text"])
def test_a_snapshot_without_fields_is_rejected(value: object) -> None:
    """The rule alone says nothing."""
    line = json.loads(alert_like())
    assert decode(json.dumps(line | {"output_fields": value}).encode()) == Rejection("no_fields")
    del line["output_fields"]
    assert decode(json.dumps(line).encode()) == Rejection("no_fields")


def test_a_snapshot_with_too_many_fields_is_rejected() -> None:
    """What one line can make the exporter keep is bounded."""
    many = OUTPUT_FIELDS | {f"falco.rules.r{number}": 1 for number in range(5000)}

    assert decode(alert_like(many)) == Rejection("too_many_fields")


def test_unknown_fields_are_carried() -> None:
    """A field of a later Falco is exposed before we know it."""
    new = {"falco.n_new_things": 7, "plugins.future.x.y": 1.5, "somewhere.else": "text", "nodot": 3}

    assert snapshot(alert_like(OUTPUT_FIELDS | new)).fields == OUTPUT_FIELDS | new


@pytest.mark.parametrize("value", [None, True, False, [], [1], {}, {"a": 1}])
def test_values_that_are_neither_text_nor_number_are_unknown(value: object) -> None:
    """Unknown is absent, never 0; a number that cannot be read is not one that was left out because it is 0."""
    assert snapshot(alert_like(OUTPUT_FIELDS | {"new.field": value})).fields == OUTPUT_FIELDS
    unreadable = OUTPUT_FIELDS | {"falco.n_threads": UNREADABLE}
    assert snapshot(alert_like(OUTPUT_FIELDS | {"falco.n_threads": value})).fields == unreadable


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b',"falco.memory_rss_mb":1e305', id="overflow by the unit"),
        pytest.param(b',"falco.memory_rss_kb":1.7e308', id="overflow by the unit, KiB"),
        pytest.param(b',"x":123456789012345678901234567890', id="a huge integer"),
        pytest.param(b',"x":1180591620717411303424', id="2**70"),
        pytest.param(b',"x":-1e308', id="the smallest"),
    ],
)
def test_no_value_of_a_snapshot_is_infinite(fields: bytes) -> None:
    """Values that are not a finite number are left out."""
    values = [value for value in snapshot(raw(fields)).fields.values() if not isinstance(value, str)]

    assert all(math.isfinite(value) for value in values)


# -- names and units of older Falcos ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("falco.hostname", "evt.hostname"),
        ("falco.cpu_usage_perc_total_host", "falco.host_cpu_usage_perc"),
        ("falco.procs_running_host", "falco.host_procs_running"),
        ("falco.open_fds_host", "falco.host_open_fds"),
    ],
)
def test_names_before_0_38_become_todays(before: str, now: str) -> None:
    """One quantity has one name, whatever version wrote it."""
    value: Any = "node" if before.endswith("hostname") else 7
    record = snapshot(alert_like({"evt.source": "syscall", "evt.time": AT_NS, before: value}))

    assert record.fields[now] == value
    assert before not in record.fields
    assert record.event_hostname == ("node" if before.endswith("hostname") else None)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("falco.n_evts", "scap.n_evts"),
        ("falco.n_drops", "scap.n_drops"),
        ("falco.n_drops_bug", "scap.n_drops_bug"),
        ("falco.n_drops_buffer_total", "scap.n_drops_buffer_total"),
    ],
)
def test_kernel_counters_of_gvisor_get_their_prefix_back(before: str, now: str) -> None:
    """With gVisor, 0.38 to 0.43 print kernel counters as falco's own."""
    fields = snapshot(alert_like(OUTPUT_FIELDS | {before: 5})).fields

    assert (fields[now], before in fields) == (5, False)


def test_old_memory_fields_in_mib_become_bytes() -> None:
    """With convert_memory_to_mb, every memory field of 0.35 to 0.37 is in MiB."""
    fields = snapshot(
        old(
            falco__memory_rss=59.6,
            falco__memory_vsz=1411.0,
            falco__memory_pss=60,
            falco__memory_used_host=5120.0,
            falco__container_memory_used=44,
        )
    ).fields

    assert {key: value for key, value in fields.items() if "memory" in key} == {
        "falco.memory_rss_bytes": 59.6 * (1 << 20),
        "falco.memory_vsz_bytes": 1411 << 20,
        "falco.memory_pss_bytes": 60 << 20,
        "falco.host_memory_used_bytes": 5 << 30,
        "falco.container_memory_used_bytes": 44 << 20,
    }


def test_old_memory_fields_without_conversion_become_bytes() -> None:
    """Without it they are KiB, but the container's, which is bytes."""
    fields = snapshot(
        old(
            falco__memory_rss=61_000,
            falco__memory_vsz=1_444_864,
            falco__memory_pss=61_500,
            falco__memory_used_host=5_242_880,
            falco__container_memory_used=46_137_344,
        )
    ).fields

    assert {key: value for key, value in fields.items() if "memory" in key} == {
        "falco.memory_rss_bytes": 61_000 << 10,
        "falco.memory_vsz_bytes": 1_444_864 << 10,
        "falco.memory_pss_bytes": 61_500 << 10,
        "falco.host_memory_used_bytes": 5 << 30,
        "falco.container_memory_used_bytes": 46_137_344,
    }


@pytest.mark.parametrize(
    ("key", "value", "name", "size"),
    [
        ("falco.memory_rss_mb", 27.5, "falco.memory_rss_bytes", 27.5 * (1 << 20)),
        ("falco.memory_vsz_kb", 1000, "falco.memory_vsz_bytes", 1_024_000),
        ("falco.memory_pss_kb", 1, "falco.memory_pss_bytes", 1024),
        ("falco.host_memory_used_mb", 1, "falco.host_memory_used_bytes", 1 << 20),
        ("falco.host_memory_used_kb", 1, "falco.host_memory_used_bytes", 1024),
        ("falco.container_memory_used_mb", 0.0, "falco.container_memory_used_bytes", 0),
        ("falco.container_memory_used_bytes", 5, "falco.container_memory_used_bytes", 5),
        ("falco.jemalloc.allocated_mb", 2, "falco.jemalloc.allocated_bytes", 2 << 20),
        ("falco.jemalloc.allocated_bytes", 2, "falco.jemalloc.allocated_bytes", 2),
        ("plugins.other.size_mb", 2, "plugins.other.size_mb", 2),
        ("falco.rules.memory_mb", 2, "falco.rules.memory_mb", 2),
    ],
)
def test_todays_memory_fields_become_bytes(key: str, value: float, name: str, size: float) -> None:
    """From 0.38 on the key names the unit; only Falco's own memory fields are meant."""
    fields = snapshot(alert_like(OUTPUT_FIELDS | {key: value})).fields

    assert fields == OUTPUT_FIELDS | {name: size}


def test_every_recorded_snapshot_is_a_snapshot_of_its_host() -> None:
    """All that a real Falco 0.44.1 wrote is understood."""
    kinds: dict[str, int] = {}
    for path in sorted(RUNS.glob("run-*/*.jsonl")) + sorted(RUNS.glob("run-*/alerts.txt")):
        for line in path.read_bytes().splitlines():
            record = decode(line)
            kinds[type(record).__name__] = kinds.get(type(record).__name__, 0) + 1
            assert not isinstance(record, Rejection), line
            assert not isinstance(record, Snapshot) or record.event_hostname in ("falco-node-1", None)
            assert isinstance(record, Snapshot) == (b"metrics snapshot" in line or b'"sample":' in line[-20:])

    assert kinds["Snapshot"] > 100
    assert kinds["Alert"] > 50


def test_the_examples_of_falcos_documentation_are_snapshots() -> None:
    """Every complete example has its numbers."""
    lines = [path.read_bytes().strip() for path in sorted((DATA / "docs_pairs").glob("0?.jsonl"))]

    assert len(lines) == 8
    assert all(isinstance(decode(line), Snapshot) for line in lines)


@pytest.mark.parametrize("name", ["snapshots", "alerts"])
def test_published_lines_are_decoded_without_a_crash(name: str) -> None:
    """What users pasted is cut off, retyped or of any age; each line is something."""
    for entry in (DATA / "wild" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        for line in json.loads(entry)["raw"].encode().split(b"\n"):
            assert isinstance(decode(line), Snapshot | Alert | Other | Rejection)


# -- alerts ----------------------------------------------------------------------------------------------------------


def test_an_alert_tells_host_source_rule_and_priority() -> None:
    """The four things an alert is counted by."""
    line = b'{"hostname":"h","output":"x","priority":"Notice","rule":"A rule","source":"k8s_audit","tags":["a"]}'

    assert decode(line) == Alert(hostname="h", source="k8s_audit", rule="A rule", priority="Notice")


@pytest.mark.parametrize(
    ("priority", "name"),
    [
        ('"Emergency"', "Emergency"),
        ('"WARNING"', "Warning"),
        ('"informational"', "Informational"),
        ('"Debug"', "Debug"),
        ('"Loud"', "unknown"),
        ('""', "unknown"),
        ("5", "unknown"),
        ("null", "unknown"),
        ("[[]]", "unknown"),
    ],
)
def test_priorities_have_one_spelling(priority: str, name: str) -> None:
    """A priority that Falco does not have makes no series of its own."""
    record = decode(f'{{"rule":"R","priority":{priority}}}'.encode())

    assert record == Alert(hostname=None, source="syscall", rule="R", priority=name)


@pytest.mark.parametrize("value", ["5", "null", "[]", '""', "true", "{}", "1e3", "1180591620717411303424"])
@pytest.mark.parametrize("key", ["hostname", "source", "priority", "time", "output", "output_fields", "tags", "sample"])
def test_a_wrong_type_in_one_key_does_not_cost_the_alert(key: str, value: str) -> None:
    """A number where text is expected leaves the rest of the line readable."""
    line = f'{{"rule":"R","hostname":"h","source":"aws","priority":"Error","{key}":{value}}}'

    record = decode(line.encode())

    assert isinstance(record, Alert)
    assert record.rule == "R"
    assert record.hostname == (None if key == "hostname" else "h")
    assert record.source == ("syscall" if key == "source" else "aws")
    assert record.priority == ("unknown" if key == "priority" else "Error")


QUOTED = alert_like().decode()
QUOTED_TEXT = TEXT_START.decode() + f'evt.source="syscall" evt.time={AT_NS})'


@pytest.mark.parametrize("quoted", [QUOTED, QUOTED_TEXT, f'"rule":"Falco internal: metrics snapshot",{QUOTED}'])
@pytest.mark.parametrize("place", ["output", "cmdline", "key", "nested", "tag", "rule", "hostname", "host key"])
def test_an_alert_that_quotes_a_snapshot_is_an_alert(quoted: str, place: str) -> None:
    """A command line may hold anything, a whole snapshot included; only the decoded top level decides."""
    line: dict[str, Any] = {"hostname": "h", "priority": "Notice", "rule": "R", "source": "syscall"}
    places: dict[str, dict[str, Any]] = {
        "output": {"output": quoted},
        "cmdline": {"output_fields": {"proc.cmdline": quoted, "evt.time": 5}},
        "key": {"output_fields": {quoted: 1}},
        "nested": {"output_fields": json.loads(QUOTED)},
        "tag": {"tags": [quoted]},
        "rule": {"rule": quoted},
        "hostname": {"hostname": quoted},
        "host key": {quoted: "x"},
    }

    assert isinstance(decode(json.dumps(line | places[place]).encode()), Alert)


@pytest.mark.parametrize("source", ["syscall", "k8s_audit", ""])
def test_a_rule_of_a_users_that_is_named_like_the_snapshot_is_none(source: str) -> None:
    """Falco's own snapshot has the source internal; a rule file cannot choose that."""
    assert isinstance(decode(alert_like(source=source)), Other)


def test_a_text_alert_that_quotes_a_snapshot_is_other() -> None:
    """In text mode, too, only the start of a line decides."""
    line = b"22:19:58.960296886: Notice shell (cmd=echo " + QUOTED_TEXT.encode() + b")"

    assert decode(line) == Other()


def test_names_in_alerts_are_bounded() -> None:
    """One line cannot make a label of a megabyte."""
    long = "x" * 100_000
    record = decode(json.dumps({"rule": long, "hostname": long, "source": long, "priority": long}).encode())

    assert record == Alert(hostname="x" * 255, source="x" * 255, rule="x" * 255, priority="unknown")


# -- neither ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            b'{"output":"Falco internal: syscall event drop. 1 dropped","output_fields":{"n_drops":"1"},'
            b'"priority":"Debug","rule":"Falco internal: syscall event drop","source":"internal"}',
            id="drops",
        ),
        pytest.param(b'{"rule":"Falco internal: timeouts notification","source":"internal"}', id="timeouts"),
        pytest.param(
            b'{"rule":"Falco internal: hot restart failure","output_fields":{},"source":"internal"}', id="reload"
        ),
        pytest.param(b'{"rule":"Falco internal: syscall event drop","output_fields":{}}', id="before sources"),
        pytest.param(b"22:19:58.9: Debug Falco internal: syscall event drop. (n_drops=5)", id="text drops"),
        pytest.param(b"Mon Nov 23 04:56:11 2026: Falco version: 0.44.1 (x86_64)", id="log line"),
        pytest.param(b"Events detected: 17", id="summary"),
        pytest.param(b"Rule counts by severity:", id="summary, second line"),
        pytest.param(b"22:19:58.960296886: Warning Sensitive file opened | file=/etc/shadow", id="text alert"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 5000, id="an array"),
        pytest.param(b"\xff\xfe\0\x01", id="binary"),
        pytest.param(
            b'{"sample":3,"syscall":{"cur":{"drop_pct":0.0,"drops":0,"events":123,"preemptions":0},"delta":{}}}',
            id="statistics before 0.35",
        ),
        pytest.param(b'{"sample":1,"cur":{"events":1,"drops":0,"preemptions":0},"delta":{}}', id="before sources"),
        pytest.param(b'{"sample":3,"k8s_audit":{"cur":{"events":1},"delta":{"events":1}}}', id="plugin's before 0.35"),
    ],
)
def test_falcos_other_lines_are_other_and_no_rejections(line: bytes) -> None:
    """A log that is in order has no rejections."""
    assert decode(line) == Other()


@pytest.mark.parametrize(
    "line",
    [b"{}", b'{"level":"info","msg":"x"}', b'{"Rule":"x"}', b'{"rule":null}', b'{"rule":5,"sample":1}', b'{"rule":[]}'],
)
def test_json_of_another_program_is_rejected(line: bytes) -> None:
    """An object without a rule is not Falco's."""
    assert decode(line) == Rejection("not_falco")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"rule":"R"', id="cut before the end"),
        pytest.param(b'{"rule":"R"}}', id="one brace too many"),
        pytest.param(b'{"rule":"A"}{"rule":"B"}', id="two objects"),
        pytest.param(b'{"rule":"A","outp{"hostname":"h","rule":"B"}', id="a writer killed in mid-line"),
        pytest.param(b'{"rule":"R","x":NaN}', id="NaN"),
        pytest.param(b'{"rule":"R","x":Infinity}', id="Infinity"),
        pytest.param(b"{'rule':'R'}", id="apostrophes"),
        pytest.param(b'{"rule":"R","x":' + b"[" * 5000, id="nested, torn"),
        pytest.param(b'{"rule":"R","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested"),
        pytest.param(b'{"a":' * 100_000, id="nested objects"),
        pytest.param(b'{"rule":"R\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"rule":"R\xff","x":' + b"[" * 5000, id="nested and not UTF-8"),
        pytest.param(raw(b',"x":1e400'), id="1e400"),
        pytest.param(raw(b',"x":"\xff","y":1e400'), id="1e400 and not UTF-8"),
        pytest.param(raw(b',"x":"\xff","y":"\\ud800"'), id="half a surrogate pair and not UTF-8"),
        pytest.param(raw(b',"x":"\xff","y":"\\q"'), id="a wrong escape and not UTF-8"),
        pytest.param(raw(b',"x":' + b"[" * 100_000 + b"]" * 100_000), id="nested in the fields"),
    ],
)
def test_what_is_not_json_is_rejected(line: bytes) -> None:
    """A hostile line costs a counter, not the process."""
    assert decode(line) == Rejection("bad_json")


def test_any_depth_of_nesting_is_decoded_or_rejected() -> None:
    """No depth raises, not even the one just below the interpreter's limit."""
    limit = sys.getrecursionlimit()
    for depth in (*range(1, limit + 50, 7), *range(limit - 80, limit + 5), 100_000):
        for line in (
            b'{"rule":"R","priority":' + b"[" * depth + b"]" * depth + b"}",
            raw(b',"x":' + b"[" * depth + b"]" * depth),
        ):
            assert isinstance(decode(line), Alert | Snapshot | Rejection)


@pytest.mark.parametrize("digits", [19, 20, 30, 300, 400, 4299, 4300, 4301, 20_000])
def test_any_length_of_number_is_decoded_or_rejected(digits: int) -> None:
    """Python refuses to print integers of more than 4300 digits; that must not be met."""
    number = b"9" * digits
    for line in (
        b'{"rule":"R","priority":' + number + b"}",
        b'{"rule":"R","sample":' + number + b"}",
        b'{"output_fields":{"evt.time":' + number + b',"evt.source":"a"},"sample":1}',
        raw(b',"x":' + number),
        raw(b"", time=number),
    ):
        assert isinstance(decode(line), Alert | Snapshot | Rejection)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b'{"rule":"R","output":"\xff\xfe","output_fields":{"proc.cmdline":"\xc3("},"x":"\x80"}', "R"),
        (b'{"rule":"R\xff","priority":"Notice"}', "R\ufffd"),
        (b'{"rule":"A","rule":"B"}', "B"),
    ],
)
def test_odd_bytes_and_duplicate_keys_do_not_cost_the_alert(line: bytes, rule: str) -> None:
    """Falco copies raw argv bytes at times; the event still counts."""
    record = decode(line)

    assert isinstance(record, Alert)
    assert record.rule == rule


def test_odd_bytes_do_not_cost_the_snapshot() -> None:
    """The same holds for a text among a snapshot's fields."""
    assert snapshot(raw(b',"x":"\xff","falco.n_threads":7')).fields["falco.n_threads"] == 7


def test_every_cut_of_a_line_is_rejected() -> None:
    """A torn line is never taken for a whole one."""
    line = make_line(make_fields(60))

    assert {type(decode(line[:cut])) for cut in range(1, len(line))} == {Rejection}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b'{"rule":', TEXT_START, raw(b"")[:-2] + b","]))
def test_any_bytes_are_some_record(noise: bytes, start: bytes) -> None:
    """Whatever is written into the log, decode returns."""
    record: Record = decode(start + noise)

    assert isinstance(record, Snapshot | Alert | Other | Rejection)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("aé\0\u2028", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé\0\u2028", max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ("rule", "source", "hostname", "priority", "time", "sample", "output_fields", "output")
WORDS = ("Falco internal: metrics snapshot", "internal", "syscall", "Notice")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(WORDS)))
def test_any_types_in_an_envelope_are_some_record(line: dict[str, Any]) -> None:
    """Every key may hold anything."""
    assert isinstance(decode(json.dumps(line).encode()), Snapshot | Alert | Other | Rejection)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["evt.time", "evt.source", "evt.hostname", "falco.memory_vsz", "x"]), JSON))
def test_any_types_in_the_fields_are_some_record(fields: dict[str, Any]) -> None:
    """Every field may hold anything, and what is kept is text or a finite number."""
    record = decode(alert_like(fields))

    assert isinstance(record, Snapshot | Rejection)
    if isinstance(record, Snapshot):
        assert all(isinstance(value, str) or math.isfinite(value) for value in record.fields.values())


# -- whole blocks ----------------------------------------------------------------------------------------------------


def block_of(data: bytes) -> Block:
    """Return a block that is nothing but this."""
    return Block(bytearray(data), 0, len(data))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"log":"{\\"rule\\":\\"A\\"}\\n","stream":"stdout"}', id="docker"),
        pytest.param(b'{"rule":"A"}\x0b', id="another white space"),
        pytest.param(b'{"rule":"A"},', id="a comma"),
        pytest.param(b'["rule"]', id="a list"),
    ],
)
@pytest.mark.parametrize("before", [b"", b'{"rule":"first"}\n'])
def test_a_block_is_not_decoded_at_once_if_its_lines_mean_something_else(line: bytes, before: bytes) -> None:
    """Then each line is decoded by itself."""
    assert decode_block(block_of(before + line + b'\n{"rule":"last"}\n')) is None


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        pytest.param(b'{"rule":"A"}', ["A"], id="an object"),
        pytest.param(b'{"rule":"A"}\r', ["A"], id="another system's end of line"),
        pytest.param(b'{"rule":"A"}{"rule":"B"}', ["A", "B"], id="two objects in a line"),
        pytest.param(b'{"rule":"A"} {"rule":"B"}', ["A", "B"], id="two objects in a line, with a blank"),
        pytest.param(b'{"rule":"A",\n"priority":"Notice"}', ["A"], id="one object in two lines"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_every_object_in_a_block_counts(line: bytes, rules: list[str]) -> None:
    """Wherever it stands."""
    heads = decode_block(block_of(b'{"rule":"first"}\n' + line + b'\n{"rule":"last"}\n'))

    assert heads is not None
    assert [head.rule for head in heads] == ["first", *rules, "last"]


def test_objects_that_are_spread_over_lines_are_decoded_by_line() -> None:
    """They are rejected, wherever a block begins among them."""
    line = {"rule": "A", "output_fields": {"x": 1, "y": {}}}
    text = "".join(json.dumps(line, indent=2) + "\n" for _ in range(3)).encode()
    starts = [0, *(at + 1 for at, byte in enumerate(text[:-1]) if byte == ord("\n"))]

    assert [decode_block(block_of(text[start:])) for start in starts] == [None] * len(starts)

"""What collectors wrap around a line comes off; what they split is joined; what they tore is said so."""

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.envelope import Broken, Unwrapper, without_cri
from falco_enrichment_exporter.core.intake import Intake
from falco_enrichment_exporter.core.lines import Block
from snapshots import make_fields, make_fleet, make_line

LIMIT = 1 << 16
TEXT = b'{"hostname":"h","output":"x y","rule":"R"}'
STAMP = b"2026-11-23T04:56:11.123456789Z"


def unwrap(*lines: bytes, limit: int = LIMIT) -> list[bytes | None]:
    """Unwrap the lines of one source."""
    unwrapper = Unwrapper(limit)
    return [unwrapper.unwrap(line) for line in lines]


def docker(text: bytes, stream: str = "stdout", **more: str) -> bytes:
    """Return docker's line around a text."""
    wrapped = {"log": text.decode(), "stream": stream, "time": STAMP.decode()} | more
    return json.dumps(wrapped, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        pytest.param(TEXT, TEXT, id="plain JSON"),
        pytest.param(b"22:19:58.1: Notice x (a=b)", b"22:19:58.1: Notice x (a=b)", id="plain text"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b" \t\r", None, id="blank"),
        pytest.param(TEXT + b"\r", TEXT, id="CRLF"),
        pytest.param(b"\xef\xbb\xbf" + TEXT, TEXT, id="BOM"),
        pytest.param(b"\xef\xbb\xbf", None, id="BOM alone"),
        pytest.param(b"\0" * 4096 + TEXT, TEXT, id="a NUL run before the line"),
        pytest.param(b"\0" * 4096, None, id="a NUL run alone"),
        pytest.param(b"\0" * 4096 + STAMP + b" stdout F " + TEXT, TEXT, id="a NUL run before CRI"),
        pytest.param(b"\0" * 4096 + docker(TEXT + b"\n"), TEXT, id="a NUL run before docker"),
        pytest.param(b"\0" * 4096 + b"Nov 23 04:56:11 node falco: " + TEXT, TEXT, id="a NUL run before syslog"),
        pytest.param(STAMP + b" stdout F " + TEXT, TEXT, id="CRI"),
        pytest.param(STAMP + b" stderr F " + TEXT, TEXT, id="CRI, stderr"),
        pytest.param(b"2026-11-23T04:56:11Z stdout F " + TEXT, TEXT, id="CRI, whole seconds"),
        pytest.param(b"2026-11-23T04:56:11.1+05:30 stdout F " + TEXT, TEXT, id="CRI, offset"),
        pytest.param(STAMP + b" stdout F:tag " + TEXT, TEXT, id="CRI, tags after the F"),
        pytest.param(STAMP + b" stdout F " + TEXT + b"\r", TEXT, id="CRI, CRLF"),
        pytest.param(STAMP + b" stdout F ", None, id="CRI, blank"),
        pytest.param(STAMP + b" stdout F", None, id="CRI, nothing after the F"),
        pytest.param(docker(TEXT + b"\n"), TEXT, id="docker"),
        pytest.param(docker(TEXT + b"\r\n"), TEXT, id="docker, CRLF"),
        pytest.param(docker(b"\n"), None, id="docker, blank"),
        pytest.param(b'{"log":"x\\n"}', b"x", id="docker, no stream"),
        pytest.param(b'{"log":"x\\n","attrs":{"tag":"a"},"stream":"stdout"}', b"x", id="docker, attributes"),
        pytest.param(b"Nov 23 04:56:11 node falco: " + TEXT, TEXT, id="RFC 3164"),
        pytest.param(b"Nov  3 04:56:11 node falco[812]: " + TEXT, TEXT, id="RFC 3164, pid, one-digit day"),
        pytest.param(b"<14>Nov 23 04:56:11 node falco[812]: " + TEXT, TEXT, id="RFC 3164, priority"),
        pytest.param(b"2026-11-23T04:56:11.123+01:00 node falco[1]: " + TEXT, TEXT, id="ISO"),
        pytest.param(b"2026-11-23T04:56:11Z node falco[1]: " + TEXT, TEXT, id="ISO, whole seconds"),
        pytest.param(b"Nov 23 04:56:11 node falco-modern-bpf[1]: " + TEXT, TEXT, id="the unit's name"),
        pytest.param(b"<14>1 2026-11-23T04:56:11Z node falco 812 - - " + TEXT, TEXT, id="RFC 5424"),
        pytest.param(b'<14>1 - node falco 8 ID [a@1 b="\\]\\" x"][c@2] ' + TEXT, TEXT, id="RFC 5424, data"),
        pytest.param(b"<14>1 2026-11-23T04:56:11Z node falco - - - \xef\xbb\xbf" + TEXT, TEXT, id="RFC 5424, BOM"),
        pytest.param(b"Nov 23 04:56:11 node falco[1]: " + TEXT + b"\r", TEXT, id="syslog, CRLF"),
    ],
)
def test_an_envelope_comes_off_and_nothing_else(line: bytes, text: bytes | None) -> None:
    """What is left is byte for byte what Falco wrote."""
    assert unwrap(line) == [text]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Nov 23 04:56:11 node sshd[812]: " + TEXT, id="RFC 3164"),
        pytest.param(b"Nov 23 04:56:11 node sudo: falco: " + TEXT, id="Falco named in the message"),
        pytest.param(b"Nov 23 04:56:11 node notfalco[1]: " + TEXT, id="a name that ends like Falco's"),
        pytest.param(b"2026-11-23T04:56:11Z node nginx: " + TEXT, id="ISO"),
        pytest.param(b"<14>1 2026-11-23T04:56:11Z node nginx 1 - - " + TEXT, id="RFC 5424"),
        pytest.param(b"<14>1 2026-11-23T04:56:11Z falco nginx 1 - - " + TEXT, id="RFC 5424, a host called falco"),
        pytest.param(b"Nov 23 04:56:11 node falcosidekick[7]: " + TEXT, id="falcosidekick"),
        pytest.param(b"Nov 23 04:56:11 node falcoctl: " + TEXT, id="falcoctl"),
        pytest.param(b"<14>1 2026-11-23T04:56:11Z node falcosidekick 1 - - " + TEXT, id="RFC 5424, falcosidekick"),
        pytest.param(b"node falco: " + TEXT, id="no time"),
        pytest.param(b"x" + STAMP + b" stdout F " + TEXT, id="CRI, not at the start"),
        pytest.param(STAMP + b" stdin F " + TEXT, id="CRI, no such stream"),
        pytest.param(STAMP + b" stdout X " + TEXT, id="CRI, no such flag"),
    ],
)
def test_lines_of_other_programs_are_left_alone(line: bytes) -> None:
    """Another program may quote anything: its line must not become Falco's."""
    assert unwrap(line) == [line]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b" ", b"a", b"{", b"\r", b"\t", b"\0", b"\xff"]), min_size=1, max_size=40).map(b"".join),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_cri_fragments_join_to_the_very_line(text: bytes, cuts: list[int]) -> None:
    """Whatever stands at the cut, a blank included, is there after joining."""
    bounds = sorted(min(cut, len(text)) for cut in cuts)
    parts = [text[a:b] for a, b in zip([0, *bounds], [*bounds, len(text)], strict=True)]
    lines = [STAMP + b" stdout P " + part for part in parts[:-1]] + [STAMP + b" stdout F " + parts[-1]]

    assert unwrap(*lines)[-1] == (text.strip(b"\0 \t\r") or None)


def test_docker_splits_at_16_kib_are_joined() -> None:
    """Docker ends only the last fragment with a newline."""
    text = b'{"a":"' + b"x" * 40_000 + b'"}'
    lines = [docker(text[:16384]), docker(text[16384:32768]), docker(text[32768:] + b"\n")]

    assert unwrap(*lines) == [None, None, text]


@pytest.mark.parametrize("form", ["cri", "docker"])
def test_a_blank_at_a_split_is_kept(form: str) -> None:
    """A fragment's own blanks belong to the line, not to the envelope."""
    parts = (b'{"output":"a ', b"  ", b' b"}')
    lines = (
        [docker(parts[0]), docker(parts[1]), docker(parts[2] + b"\n")]
        if form == "docker"
        else [STAMP + b" stdout " + flag + b" " + part for flag, part in zip((b"P", b"P", b"F"), parts, strict=True)]
    )

    assert unwrap(*lines)[-1] == b"".join(parts)


def test_fragments_of_stdout_and_stderr_are_joined_apart() -> None:
    """The two streams share a file, not a line."""
    lines = [
        STAMP + b" stdout P one ",
        STAMP + b" stderr P eins",
        STAMP + b" stdout P two",
        STAMP + b" stderr F zwei",
        STAMP + b" stdout F three",
    ]

    assert unwrap(*lines) == [None, None, None, b"einszwei", b"one twothree"]


def test_docker_streams_are_joined_apart() -> None:
    """The same holds for docker's streams."""
    lines = [docker(b"one"), docker(b"eins", "stderr"), docker(b"two\n"), docker(b"zwei\n", "stderr")]

    assert unwrap(*lines) == [None, None, b"onetwo", b"einszwei"]


def test_a_line_without_envelope_does_not_end_a_fragment() -> None:
    """A line of another shape between two fragments is a line of its own."""
    assert unwrap(STAMP + b" stdout P one", TEXT, STAMP + b" stdout F two") == [None, TEXT, b"onetwo"]


def test_a_joined_line_is_complete_once() -> None:
    """After the last fragment nothing waits."""
    unwrapper = Unwrapper(LIMIT)
    lines = (STAMP + b" stdout P a", STAMP + b" stdout F b", STAMP + b" stdout F c")
    states = [(unwrapper.unwrap(line), unwrapper.is_joining) for line in lines]

    assert states == [(None, True), (b"ab", False), (b"c", False)]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"log":"cut of', id="cut off"),
        pytest.param(b'{"log":"a\\n","stream":"stdo{"log":"b\\n"}', id="glued"),
        pytest.param(b'{"log":5}', id="a number"),
        pytest.param(b'{"log":null}', id="null"),
        pytest.param(b'{"log":{"rule":"R"}}', id="an object"),
        pytest.param(b'{"log":"a\\n","stream":7}', id="stream is a number"),
        pytest.param(b'{"log":"\xff\\n"}', id="not UTF-8"),
        pytest.param(b'{"log":"\\ud800\\n"}', id="half a surrogate pair"),
        pytest.param(b'{"log":"a\\n","attrs":' + b"[" * 5000, id="nested, torn"),
        pytest.param(b'{"log":"a\\n","attrs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested"),
        pytest.param(b'{"log":' + b"[" * 100_000, id="nested in the text"),
    ],
)
def test_a_torn_docker_line_is_broken_and_nothing_worse(line: bytes) -> None:
    """A hostile envelope costs itself, not the process; the next line is exact."""
    unwrapper = Unwrapper(LIMIT)
    with pytest.raises(Broken, match=r"^bad_envelope$"):
        unwrapper.unwrap(line)

    assert unwrapper.unwrap(docker(b"next\n")) == b"next"


@pytest.mark.parametrize("form", ["cri", "docker"])
def test_a_joined_line_above_the_limit_is_broken_once(form: str) -> None:
    """However many fragments it has, it is one line too long, and the next line is exact."""
    unwrapper = Unwrapper(10)
    parts = [b"12345678", b"9012345", b"x" * 50, b"end", b"next"]
    flags = [b"P", b"P", b"P", b"F", b"F"]
    outcomes: list[object] = []
    for part, flag in zip(parts, flags, strict=True):
        line = STAMP + b" stdout " + flag + b" " + part
        try:
            outcomes.append(
                unwrapper.unwrap(docker(part + (b"\n" if flag == b"F" else b"")) if form == "docker" else line)
            )
        except Broken as broken:
            outcomes.append(str(broken))

    assert outcomes == [None, None, None, "oversize", b"next"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([STAMP + b" stdout P 12345", STAMP + b" stdout F 67890"], id="cri"),
        pytest.param([docker(b"12345"), docker(b"67890\n")], id="docker"),
        pytest.param([docker(b"1234567890\n")], id="docker, not split"),
    ],
)
def test_a_joined_line_of_exactly_the_limit_is_whole(lines: list[bytes]) -> None:
    """The newline of docker is no part of the line it ends."""
    assert unwrap(*lines, limit=10)[-1] == b"1234567890"


def test_an_oversize_stream_does_not_cost_the_other_one() -> None:
    """One stream goes on while the other is too long."""
    lines = [STAMP + b" stdout P 123456789012", STAMP + b" stderr F fine"]

    assert unwrap(*lines, limit=10) == [None, b"fine"]


def test_what_waits_for_the_rest_of_its_line_can_be_stored() -> None:
    """A fragment, and that a line was too long already: its rest is dropped, and the next line is exact."""
    before, after = Unwrapper(10), Unwrapper(10)
    assert before.unwrap(STAMP + b" stdout P one") is None
    assert before.unwrap(STAMP + b" stderr P 123456789012") is None
    after.fragments = before.fragments

    assert after.is_joining
    assert after.unwrap(STAMP + b" stdout F two") == b"onetwo"
    assert after.is_joining
    with pytest.raises(Broken, match=r"^oversize$"):
        after.unwrap(STAMP + b" stderr F end")
    assert after.unwrap(STAMP + b" stderr F next") == b"next"
    assert not after.is_joining


def test_memory_is_bounded_whatever_streams_are_named() -> None:
    """A line may claim any stream; that must not make one more line to be kept each time."""
    limit = 4096
    unwrapper = Unwrapper(limit)
    tracemalloc.start()
    try:
        for number in range(2000):
            try:
                unwrapper.unwrap(docker(b"x" * 1000, stream=f"s{number}"))
            except Broken:  # as good an answer as forgetting it
                continue
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 100 * limit


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80).filter(lambda line: b"\n" not in line), max_size=10))
def test_any_bytes_are_unwrapped_or_broken(lines: list[bytes]) -> None:
    """No line raises anything but Broken."""
    unwrapper = Unwrapper(64)
    for line in lines:
        for form in (line, STAMP + b" stdout P " + line, b'{"log":"' + line, b"<14>1 - h falco - - [" + line):
            reason = "oversize"
            try:
                unwrapper.unwrap(form)
            except Broken as broken:
                reason = str(broken)
            assert reason in {"bad_envelope", "oversize"}


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda line: line, id="plain"),
        pytest.param(lambda line: STAMP + b" stdout F " + line, id="cri"),
        pytest.param(lambda line: docker(line + b"\n"), id="docker"),
        pytest.param(lambda line: docker(line[:200]) + b"\n" + docker(line[200:] + b"\n"), id="docker, split"),
        pytest.param(lambda line: b"Nov 23 04:56:11 node falco[1]: " + line, id="syslog"),
    ],
)
def test_a_block_of_wrapped_lines_is_taken_in_as_the_plain_ones(wrap: Callable[[bytes], bytes]) -> None:
    """The fast way for whole blocks knows every envelope that the slow one knows."""
    alert = b'{"hostname":"node","priority":"Notice","rule":"R","source":"syscall","time":"x"}' + b" " * 200
    lines = [make_line(make_fields(60)), alert, make_line(make_fields(120), hostname=None) + b" " * 200, alert]
    fleet = make_fleet()
    data = bytearray(b"".join(wrap(line) + b"\n" for line in lines))
    Intake(fleet, LIMIT).take(Block(data, 0, len(data)))

    assert dict(fleet.lines) == {"snapshot": 2, "alert": 2, "other": 0}
    assert dict(fleet.rejections) == {}
    assert fleet.hosts["node"]["syscall"].snapshots == 2
    assert list(fleet.alerts.by_rule.values()) == [2]


CRI_LINES = (
    STAMP + b' stdout F {"rule":"R"}',
    STAMP + b' stderr F {"rule":"R"}',
    STAMP + b' stdout F:x {"rule":"R"}',
    STAMP + b' stdout F {"rule":"R"}\r',
    STAMP + b' stdout F {"rule":"R"} \0',
    STAMP + b' stdout F  {"rule":"R"}',
    STAMP + b' stdout P {"rule":',
    STAMP + b' stdout P {"rule":"R"}',
    STAMP + b" stdout F Falco initialized",
    STAMP + b" stdout F {",
    STAMP + b" stdout F ",
    STAMP + b" stdout F",
    STAMP,
    b'{"rule":"R"}',
    b"",
    STAMP + b' stdout F {"output":"' + STAMP + b' stdout F {}"}',
)


@given(st.lists(st.sampled_from(CRI_LINES), min_size=1, max_size=6))
def test_a_block_without_its_cri_envelopes_is_what_unwrapping_each_line_gives(lines: list[bytes]) -> None:
    """Or the block is left to be unwrapped line by line."""
    data = bytearray(b"skipped\n" + b"".join(line + b"\n" for line in lines) + b"rest")
    block = Block(data, 8, len(data) - 4)
    bare = without_cri(block)
    data.extend(b"the data can grow again")
    unwrapper = Unwrapper(LIMIT)

    assert bare is None or bare.lines() == [unwrapper.unwrap(line) for line in lines]
    assert bare is not None or not set(lines) <= set(CRI_LINES[:2])

"""Alerts that look like earlier ones are read by a type made for them, and count as they do one by one."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.domains import domain_of
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import CHUNK_BYTES, LEARN_BYTES, Intake
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.records import decode
from falco_enrichment_exporter.core.schema import MOST_NAMES
from snapshots import make_fields, make_fleet, make_line

CORPUS = [
    json.loads(line)
    for path in sorted((Path(__file__).parents[1] / "data" / "completeness").glob("*.jsonl"))
    for line in path.read_text().splitlines()
]
LIMIT = 1 << 20
PADDING = "x" * 900  # so that a dozen alerts are enough to learn from
MANY = 12
SHORT, FULL = "0123456789ab", "0123456789ab" * 5 + "0123"
VALUES: dict[str, list[Any]] = {
    "container.id": [SHORT, "host", "", None, "<NA>", FULL, "ba9876543210", 7],
    "container.name": [
        SHORT,
        FULL,
        "nginx",
        "k8s_app_x",
        "host",
        7,
        None,
        "a name that is longer than sixty-four " * 2,
    ],
    "container.image": ["nginx", "nginx@sha256:1234", "", None],
    "container.image.repository": ["nginx", "redis", None, "", "N/A", 7],
    "container.type": ["docker", "containerd", "lxc", None],
    "k8s.pod.name": ["a-pod-of-some-kind", None, "<NA>"],
    "k8s.pod.sandbox_id": [SHORT, "ba9876543210", None],
    "user.name": ["root", "<NA>", "", ["root"]],
    "user.uid": [0, 1000, -1, 2**32 - 1, 1_000_650_000, "0", 1.5],
    "user.loginuid": [-1, 0, 2**32 - 1, None],
    "group.gid": [0, 1_000_650_000, True],
    "proc.name": ["bash", "pause", "systemd", None],
    "proc.pid": [1, 2, 3, 4711, 2**70],
    "proc.ppid": [0, 1, 2, 3, True, 1.0],
    "proc.pname": ["kthreadd", "systemd", "a shell of some length"],
    "proc.aname[2]": ["init", "containerd", None],
    "proc.cmdline": ["sh", "sh -c something that is long", "<NA>"],
    "proc.tty": [0, 34816],
    "evt.time": [1_772_000_000_000_000_000, {}],
    "fd.name": ["x", None, [1]],
}
HEADS: dict[str, list[Any]] = {
    "hostname": ["a", "b", None],
    "priority": ["Notice", "Critical"],
    "rule": ["R", "S", "Falco internal: something"],
    "source": ["syscall", "syscall", "syscall", "k8s_audit", None],
}


def line_of(fields: dict[str, Any], **head: Any) -> bytes:
    """Write an alert as Falco does."""
    alert = {"hostname": "a", "priority": "Notice", "rule": "R", "source": "syscall"} | head
    return json.dumps(alert | {"output": PADDING, "output_fields": fields}, sort_keys=True).encode()


def take(fleet: Fleet, lines: list[bytes]) -> None:
    """Let lines be taken in as a block."""
    data = bytearray(b"".join(line + b"\n" for line in lines))
    Intake(fleet, LIMIT).take(Block(data, 0, len(data)))


def counts(fleet: Fleet) -> object:
    """Return all that is counted."""
    ledger = fleet.alerts.ledger
    hosts = {name: (dict(h.fields), dict(h.excused), dict(h.missing)) for name, h in ledger.hosts.items()}
    kinds = dict(fleet.alerts.by_host), dict(fleet.alerts.by_rule)
    return hosts, dict(ledger.rule_missing), dict(ledger.without_fields), kinds, fleet.lines, fleet.rejections


def one_by_one(lines: list[bytes]) -> Fleet:
    """Fold lines singly, which needs no schema."""
    fleet = make_fleet()
    for line in lines:
        fleet.fold(decode(line))
    return fleet


def known(fleet: Fleet, lines: list[bytes]) -> bool:
    """Say whether a block of lines is read by the schema."""
    data = bytearray(b"".join(line + b"\n" for line in lines))
    return fleet.alerts.decode(Block(data, 0, len(data))) is not None


@st.composite
def alerts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw alerts that show some fields, each of a few values: as a rule writes them, or wilder."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=8, unique=True))
    choices = {name: draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3)) for name in names}
    optional = draw(st.sets(st.sampled_from(names), max_size=2))
    random = draw(st.randoms(use_true_random=False))
    heads = {name: draw(st.sampled_from(values)) for name, values in HEADS.items()}
    return [
        heads | {"output_fields": {
            name: random.choice(values)
            for name, values in choices.items()
            if name not in optional or random.random() < 0.5
        }}
        for _ in range(MANY)
    ]  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(alerts(), min_size=1, max_size=5))
def test_whatever_alerts_look_like_they_count_as_one_by_one(blocks: list[list[dict[str, Any]]]) -> None:
    """A block is taken in twice: to be learned from, and to be read by what was learned; then those before it again."""
    fleet = make_fleet()
    lines: list[bytes] = []
    for block in blocks:
        written = [line_of(alert["output_fields"], **alert) for alert in block]
        for again in (written, written, lines[: 3 * MANY]):
            take(fleet, again)
            lines += again

    assert counts(fleet) == counts(one_by_one(lines))


PADS: dict[str, Callable[[int], Any]] = {
    "few texts": lambda number: f"text number {number % 3}",
    "long texts": lambda number: f"text number {number}",
    "longer texts": lambda number: f"text number {number:0>80}",
    "short texts": lambda number: f"{number:x}",
    "few numbers": lambda number: 5000 + number % 3,
    "numbers": lambda number: 5000 + number,
    "anything": lambda number: (f"{number}", number, None, 1.5)[number % 4],
    "ids": lambda number: f"{number:012x}",
    "full ids": lambda number: f"{number:064x}",
    "kubelet's names": lambda number: f"k8s_app_{number}",
    "digests": lambda number: f"nginx@sha256:{number}",
    "assigned numbers": lambda number: 1_000_650_000 + number,
    "null": lambda _: None,
}
"""What a field held before, by the number of the alert."""


def shown_with(name: str, pad: str, number: int, **companions: Any) -> dict[str, Any]:
    """Return the fields of an alert that has a field in a form, and others that it may depend on."""
    identity = f"{number + 7:012x}"
    return {"container.id": identity, "proc.name": "a program"} | companions | {name: PADS[pad](number)}


ALONE: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in VALUES if name != "evt.time"]
ACCOMPANIED: list[tuple[str, dict[str, Any]]] = [
    ("container.name", {"container.type": "docker", "k8s.pod.name": None}),
    ("container.id", {"k8s.pod.sandbox_id": SHORT}),
]


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize(("name", "companions"), ALONE + ACCOMPANIED)
def test_every_form_of_a_field_lets_what_means_something_be_seen(
    name: str, companions: dict[str, Any], pad: str
) -> None:
    """Whatever a field held before, and whether it is always shown: each value counts as it does by itself."""
    before = [line_of(shown_with(name, pad, number, **companions)) for number in range(50)]
    fleet, lines = make_fleet(), [*before, *before]
    take(fleet, before)
    take(fleet, before)
    odd = [shown_with(name, pad, number, **companions) for number in range(len(VALUES[name]))]
    odd = [fields | {name: value} for fields, value in zip(odd, VALUES[name], strict=True)]
    same = [(7, 7), (SHORT, SHORT), (SHORT, FULL)]
    odd = [odd[0] | {"container.id": identity, "container.name": value} for identity, value in same] + odd
    odd += [{other: value for other, value in odd[-1].items() if other != name}]
    for fields in odd:
        for _ in range(3):
            block = [*before, line_of(fields)]
            take(fleet, block)
            lines += block

    assert counts(fleet) == counts(one_by_one(lines))


def test_a_name_that_is_the_full_id_is_none_though_names_were_short_before() -> None:
    """Names that are short are only compared with the id; one of full length is looked at by itself."""
    before = [line_of({"container.id": f"{number:012x}", "container.name": f"{number:x}"}) for number in range(50)]
    last = [*before, line_of({"container.id": SHORT, "container.name": FULL})]
    fleet = make_fleet()
    for block in (before, before, last):
        take(fleet, block)

    assert counts(fleet) == counts(one_by_one([*before, *before, *last]))


@pytest.mark.parametrize("entry", CORPUS, ids=[str(number) for number in range(len(CORPUS))])
def test_an_alert_of_the_corpus_is_judged_as_by_itself(entry: dict[str, Any]) -> None:
    """A schema of nothing else ignores all that judging this alert does not need, and nothing that it needs."""
    fields = entry["alert"]["output_fields"]
    for left_out in (None, *{domain_of(name) for name in fields if domain_of(name)}):
        shown = {name: value for name, value in fields.items() if left_out is None or domain_of(name) is not left_out}
        lines = [line_of(shown, source=entry["alert"]["source"])] * MANY
        fleet = make_fleet()
        take(fleet, lines)
        take(fleet, lines)

        assert counts(fleet) == counts(one_by_one([*lines, *lines]))


def test_a_rule_of_falcos_own_is_none_however_many_rules_there_are() -> None:
    """Also where the schema takes any name for a rule."""
    fleet = make_fleet()
    for start in range(0, 700, 100):
        take(fleet, [line_of({"user.name": "root"}, rule=f"R{number}") for number in range(start, start + 100)])
    block = [line_of({"user.name": "root"}, rule=rule) for rule in ["new", "Falco internal: x"] * MANY]
    assert known(fleet, block[::2])
    assert not known(fleet, block)
    take(fleet, block)

    assert dict(fleet.lines) == {"snapshot": 0, "alert": 700 + MANY, "other": MANY}


def test_alerts_like_those_before_are_read_by_the_schema() -> None:
    """Otherwise this file tests nothing."""
    fleet = make_fleet()
    lines = [line_of({"container.id": SHORT, "proc.pid": 4711 + number}) for number in range(MANY)]
    assert not known(fleet, lines)
    take(fleet, lines)

    assert known(fleet, lines)
    assert len(b"".join(lines)) >= LEARN_BYTES
    assert fleet.lines["alert"] == MANY


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(line_of({"container.id": SHORT}), id="a field less"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 1, "proc.name": "x"}), id="a field more"),
        pytest.param(line_of({"container.id": "", "proc.pid": 5000}), id="a value that means something"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 2}), id="a number that means something"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": None}), id="null"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": [5000]}), id="another type"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000}, rule="S"), id="another rule"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000}, hostname="b"), id="another host"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000}, source="k8s_audit"), id="another source"),
        pytest.param(make_line(make_fields(60)), id="a snapshot"),
        pytest.param(b"Falco initialized", id="text"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000})[:-1], id="torn"),
    ],
)
def test_what_looks_different_is_not_read_by_the_schema_and_counts(other: bytes) -> None:
    """One line among those that are known is enough."""
    fleet = make_fleet()
    lines = [line_of({"container.id": SHORT, "proc.pid": 4711 + number}) for number in range(MANY * 4)]
    take(fleet, lines)
    mixed = [*lines, other, *lines]
    assert known(fleet, lines)
    assert not known(fleet, mixed)
    take(fleet, mixed)

    assert counts(fleet) == counts(one_by_one([*lines, *mixed]))


@pytest.mark.parametrize(
    ("other", "number"),
    [
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000}) * 2, 2, id="two on a line"),
        pytest.param(line_of({"container.id": SHORT, "proc.pid": 5000}).replace(b', "r', b',\n"r'), 1, id="two lines"),
        pytest.param(b"", 0, id="blank"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_every_alert_counts_once_however_it_stands_on_lines(other: bytes, number: int, *, is_known: bool) -> None:
    """Whether the schema knows them or not."""
    fleet = make_fleet()
    lines = [line_of({"container.id": SHORT, "proc.pid": 4711 + number}) for number in range(MANY * 4)]
    if is_known:
        take(fleet, lines)
    before = fleet.lines["alert"]
    assert known(fleet, [*lines, other, *lines]) is is_known
    take(fleet, [*lines, other, *lines])

    assert fleet.lines["alert"] - before == 2 * len(lines) + number
    assert not fleet.rejections


def test_alerts_that_are_spread_over_lines_are_not_read_by_the_schema() -> None:
    """A file of them is rejected line by line, wherever a block begins."""
    fleet = make_fleet()
    lines = [line_of({"container.id": SHORT, "proc.pid": 4711 + number}) for number in range(MANY)]
    take(fleet, lines)
    spread = json.dumps(json.loads(lines[0]), indent=2).encode().split(b"\n")
    assert known(fleet, [lines[0], *spread])

    assert not any(known(fleet, [*spread[start:], *spread]) for start in range(len(spread)))


def test_many_values_are_no_vocabulary_and_few_are() -> None:
    """A new one of many is read at once; of few it is learned first."""
    fleet = make_fleet()
    few = [line_of({"user.name": f"user {number % 3}", "proc.cmdline": f"command {number}"}) for number in range(MANY)]
    more = [line_of({"user.name": "user 1", "proc.cmdline": f"command {number}"}) for number in range(99, 199)]
    new = [line_of({"user.name": "user 4", "proc.cmdline": f"command {number}"}) for number in range(MANY)]
    take(fleet, few)
    assert not known(fleet, more)
    take(fleet, more)
    assert known(fleet, [line_of({"user.name": "user 1", "proc.cmdline": "command 999"})])
    assert not known(fleet, new)
    take(fleet, new)

    assert known(fleet, new)


def test_a_block_of_many_chunks_with_snapshots_is_folded_in_its_order() -> None:
    """Falco's own messages are read apart, the alerts around them by the schema."""
    fleet = make_fleet()
    alert = [line_of({"container.id": SHORT, "user.name": "root"})] * 100
    lines = [*alert, make_line(make_fields(60)), *alert, make_line(make_fields(120)), *alert]
    assert len(b"".join(lines)) > 2 * CHUNK_BYTES
    take(fleet, alert)
    take(fleet, lines)

    assert dict(fleet.lines) == {"snapshot": 2, "alert": 400, "other": 0}
    assert fleet.alerts.ledger.hosts["a"].fields["user_name", "user.name", "present"] == 400


def test_hostile_names_and_values_are_forgotten() -> None:
    """What is learned stays small, whatever is written; every alert counts."""
    fleet = make_fleet()
    lines: list[bytes] = []
    for block in range(30):
        hostile = [line_of({f"x{block}.{number}": "y" * 300, "user.name": f"{block}.{number}"}) for number in range(20)]
        take(fleet, hostile)
        lines += hostile
    schema = fleet.alerts._schema

    assert len(schema._others) + len(schema._forms) <= MOST_NAMES
    assert counts(fleet) == counts(one_by_one(lines))
    take(fleet, [line_of({f"{number}": 1 for number in range(MOST_NAMES + 1)})] * MANY)
    assert fleet.lines["alert"] == 30 * 20 + MANY


def test_names_of_any_length_take_no_more_memory_than_their_start() -> None:
    """Of what only counts, so much is kept as labels can have."""
    fleet = make_fleet()
    for number in range(40):
        take(fleet, [line_of({"user.name": "root"}, hostname=f"{number}" + "h" * 2000)] * MANY)
    rows: Counter[int] = Counter(len(hostname) for hostname, *_ in fleet.alerts.by_host)

    assert rows == {255: 40}

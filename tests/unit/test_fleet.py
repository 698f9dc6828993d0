"""Hosts and their names, duplicates, limits, alert counts: what the fleet keeps of what it is told."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.alerts import MAX_SOURCES, OVERFLOW, Limits
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import Alert, Head, Other, Rejection, classify
from snapshots import START_NS, make_fleet, make_snapshot


def alert(rule: str = "R", hostname: str | None = "node", source: str = "syscall", priority: str = "Notice") -> Alert:
    """Return an alert."""
    return Alert(hostname=hostname, source=source, rule=rule, priority=priority)


def fold(fleet: Fleet, *snapshots: dict[str, Any]) -> Fleet:
    """Fold snapshots given as keyword dicts."""
    for snapshot in snapshots:
        fleet.fold(make_snapshot(**snapshot))
    return fleet


def line(at: float, hostname: str | None, event: str | None, source: str = "syscall") -> dict[str, Any]:
    """Describe a snapshot: hostname of its envelope (None: a file-shape line), evt.hostname, evt.source."""
    return {"at": at, "hostname": hostname, "evt__hostname": event, "evt__source": source}


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostname", "event", "name"),
    [
        pytest.param("envelope", "event", "envelope", id="the envelope's name wins"),
        pytest.param("envelope", None, "envelope", id="the envelope alone"),
        pytest.param("", "event", "event", id="an empty envelope name is none"),
        pytest.param(None, "event", "event", id="file shape"),
        pytest.param(None, None, "default", id="no name at all"),
        pytest.param(None, "", "default", id="a replay has an empty name"),
    ],
)
def test_a_host_goes_by_the_envelope_else_the_event_else_the_setting(
    hostname: str | None, event: str | None, name: str
) -> None:
    """The order of the interface contract."""
    assert list(fold(make_fleet(), line(60, hostname, event)).hosts) == [name]


@pytest.mark.parametrize("is_file_first", [True, False])
def test_file_lines_get_the_name_that_an_envelope_told(is_file_first: bool) -> None:
    """With both outputs on a host is one host, whichever file is read first."""
    alone, enveloped = line(60, None, "event"), line(120, "envelope", "event")
    order = [alone, enveloped] if is_file_first else [enveloped, line(180, None, "event")]
    fleet = fold(make_fleet(), *order)

    assert list(fleet.hosts) == ["envelope"]
    assert fleet.hosts["envelope"]["syscall"].snapshots == 2


def test_a_renamed_host_keeps_what_was_known_of_it() -> None:
    """Learning the name is no restart: life, counters and all sources stay."""
    fleet = fold(
        make_fleet(),
        line(60, None, "event"),
        line(60, None, "event", "k8s_audit"),
        line(120, "envelope", "event"),
    )

    assert set(fleet.hosts["envelope"]) == {"syscall", "k8s_audit"}
    assert fleet.hosts["envelope"]["syscall"].life.snapshots == 2
    assert fleet.hosts["envelope"]["syscall"].restarts == 0


def test_a_name_is_learnt_from_any_source() -> None:
    """The line of a plugin source tells the name of the syscall lines, too."""
    fleet = fold(make_fleet(), line(60, None, "event"), line(61, "envelope", "event", "k8s_audit"))

    assert list(fleet.hosts) == ["envelope"]
    assert set(fleet.hosts["envelope"]) == {"syscall", "k8s_audit"}


def test_an_event_name_that_two_hosts_share_names_neither() -> None:
    """Two hosts called localhost by their kernel are two hosts, and file lines of either are not guessed."""
    fleet = fold(make_fleet(), line(60, "one", "localhost"), line(60, "two", "localhost"), line(120, None, "localhost"))

    assert set(fleet.hosts) == {"one", "two", "localhost"}
    assert [fleet.hosts[name]["syscall"].snapshots for name in ("one", "two", "localhost")] == [1, 1, 1]


def test_a_shared_event_name_stays_shared() -> None:
    """A third envelope does not make it anybody's again."""
    fleet = fold(
        make_fleet(),
        *(line(60, name, "localhost") for name in ("one", "two", "one", "three")),
        line(120, None, "localhost"),
    )

    assert set(fleet.hosts) == {"one", "two", "three", "localhost"}


def test_an_envelope_of_the_same_name_teaches_nothing() -> None:
    """The usual case: both names are equal."""
    fleet = fold(make_fleet(), line(60, "node", "node"), line(120, None, "node"), line(180, "node", None))

    assert list(fleet.hosts) == ["node"]
    assert fleet.hosts["node"]["syscall"].snapshots == 3


def test_a_host_is_not_renamed_over_another_one() -> None:
    """A name that is in use already keeps its own state."""
    fleet = fold(make_fleet(), line(60, "envelope", None), line(61, None, "event"), line(120, "envelope", "event"))

    assert fleet.hosts["envelope"]["syscall"].snapshots == 2


@pytest.mark.parametrize(("hostname", "name"), [("h", "h"), (None, "default")])
def test_alerts_without_a_name_count_for_the_setting(hostname: str | None, name: str) -> None:
    """Falco before 0.32 wrote no hostname."""
    fleet = make_fleet()
    fleet.fold(alert(hostname=hostname))

    assert fleet.alerts.by_host == {(name, "syscall", "Notice"): 1}


# -- duplicates and order --------------------------------------------------------------------------------------------


HOUR, DAY = 3600, 86_400


def with_clock(*, at: int) -> Fleet:
    """Return a fleet for which it is so many seconds after Falco's start."""
    return make_fleet(clock=lambda: START_NS / 1e9 + at)


def test_the_same_snapshot_of_both_outputs_counts_once() -> None:
    """Same host, source and evt.time: one snapshot."""
    fleet = fold(make_fleet(), *(line(at, name, "node") for at in (60, 120) for name in ("node", None)))

    assert fleet.hosts["node"]["syscall"].snapshots == 2
    assert fleet.ignored == {"duplicate": 2, "older": 0}
    assert fleet.lines["snapshot"] == 4


def test_both_outputs_under_two_names_are_one_host() -> None:
    """FALCO_HOSTNAME names the envelope, the kernel the event; the duplicate is still seen."""
    fleet = fold(make_fleet(), line(60, None, "event"), line(60, "envelope", "event"), line(120, None, "event"))

    assert list(fleet.hosts) == ["envelope"]
    assert fleet.ignored["duplicate"] == 1
    assert fleet.hosts["envelope"]["syscall"].snapshots == 2


def test_sources_of_one_tick_are_not_duplicates() -> None:
    """A line of each source, the same evt.time: two tracks."""
    fleet = fold(make_fleet(), line(60, "node", "node"), line(60, "node", "node", "k8s_audit"))

    assert set(fleet.hosts["node"]) == {"syscall", "k8s_audit"}
    assert fleet.ignored["duplicate"] == 0


def test_an_older_snapshot_never_replaces_a_newer_one() -> None:
    """Reading an old file after a new one changes nothing."""
    fleet = fold(make_fleet(), {"at": 120, "falco__n_threads": 9}, {"at": 60, "falco__n_threads": 1})

    assert fleet.hosts["node"]["syscall"].fields["falco.n_threads"] == 9
    assert fleet.hosts["node"]["syscall"].life.at_ns == START_NS + 120 * 10**9
    assert fleet.hosts["node"]["syscall"].snapshots == 1
    assert fleet.ignored == {"duplicate": 0, "older": 1}


def test_a_host_whose_clock_was_put_back_is_seen_again_at_once() -> None:
    """Its time was a day ahead: to wait for that day would be to see nothing. No interval reaches over the step."""
    fleet = with_clock(at=300)
    fold(fleet, {"at": DAY + 60}, {"at": DAY + 120}, {"at": 180, "falco__n_threads": 9})
    track = fleet.hosts["node"]["syscall"]

    assert track.life.at_ns == START_NS + 180 * 10**9
    assert track.fields["falco.n_threads"] == 9
    assert track.life.interval_seconds is None
    assert (track.snapshots, track.restarts, track.reloads) == (3, 0, 0)
    fold(fleet, {"at": 240})
    assert track.life.interval_seconds == 60
    assert fleet.ignored == {"duplicate": 0, "older": 0}


def test_a_falco_that_was_started_anew_with_its_clock_has_restarted() -> None:
    """Its start is another one."""
    fleet = with_clock(at=300)
    fold(fleet, {"at": DAY, "falco__start_ts": START_NS + DAY * 10**9}, {"at": 180})

    assert fleet.hosts["node"]["syscall"].restarts == 1


@pytest.mark.parametrize(
    ("now", "first", "second"),
    [
        (300, DAY, DAY - 1),  # both are ahead: which of them is right cannot be told
        (300, DAY, DAY),
        (300, 300 + HOUR, 180),  # not ahead by more than clocks of this world differ
        (2 * DAY, DAY, 180),  # the newest one is of the past
        (300, 301 + HOUR, 301 + HOUR),
    ],
)
def test_an_older_snapshot_is_only_believed_if_the_newest_cannot_be_true(now: int, first: int, second: int) -> None:
    """An old file that is read late changes nothing."""
    fleet = with_clock(at=now)
    fold(fleet, {"at": first}, {"at": second})

    assert fleet.hosts["node"]["syscall"].life.at_ns == START_NS + first * 10**9
    assert sum(fleet.ignored.values()) == 1


def test_the_latest_time_that_is_believed_is_an_hour_ahead() -> None:
    """One second more, and the next snapshot of the past takes over."""
    fleet = with_clock(at=300)
    fold(fleet, {"at": 301 + HOUR}, {"at": 300 + HOUR})

    assert fleet.hosts["node"]["syscall"].life.at_ns == START_NS + (300 + HOUR) * 10**9


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=20))
def test_the_newest_snapshot_stands_whatever_the_order(lines: list[tuple[int, bool]]) -> None:
    """Two outputs, any order: every line is taken, a duplicate or older, and the newest one is shown."""
    fleet = fold(make_fleet(), *(line(at, "envelope" if has_name else None, "event") for at, has_name in lines))
    (host,) = fleet.hosts.values()

    assert host["syscall"].life.at_ns == START_NS + max(at for at, _ in lines) * 10**9
    assert host["syscall"].snapshots + sum(fleet.ignored.values()) == len(lines)


# -- limits ----------------------------------------------------------------------------------------------------------


def test_hosts_beyond_the_limit_are_turned_away_and_counted() -> None:
    """The limit is visible: every line counts a hit, every host counts once as dropped."""
    fleet = make_fleet(limits=Limits(max_hosts=2))
    fold(fleet, *(line(at, name, name) for at in (60, 120) for name in ("a", "b", "c", "d")))

    assert set(fleet.hosts) == {"a", "b"}
    assert [tracks["syscall"].snapshots for tracks in fleet.hosts.values()] == [2, 2]
    assert fleet.limit_hits["hosts"] == 4
    assert fleet.dropped_hosts == 2


def test_the_count_of_dropped_hosts_is_bounded_itself() -> None:
    """A million invented hosts are not remembered to be counted."""
    fleet = make_fleet(limits=Limits(max_hosts=3))
    for number in range(50):
        fleet.fold(alert(hostname=f"h{number}"))

    assert fleet.limit_hits["hosts"] == 47
    assert fleet.dropped_hosts == 3
    assert len(fleet.alerts.by_host) == 3


def test_sources_of_a_host_beyond_the_limit_are_left_out() -> None:
    """A host has few event sources; a line may name any."""
    fleet = fold(make_fleet(), *(line(60, "node", "node", f"s{number}") for number in range(MAX_SOURCES + 5)))

    assert len(fleet.hosts["node"]) == MAX_SOURCES
    assert fleet.limit_hits["sources"] == 5


def test_rules_beyond_the_limit_share_a_series() -> None:
    """Alerts of the rules that are left out still count, as others."""
    fleet = make_fleet(limits=Limits(max_rules=2))
    for rule in ("A", "B", "C", "D", "A"):
        fleet.fold(alert(rule))

    assert fleet.alerts.by_rule == {
        ("A", "Notice", "syscall"): 2,
        ("B", "Notice", "syscall"): 1,
        (OVERFLOW, "Notice", "syscall"): 2,
    }
    assert fleet.alerts.by_host == {("node", "syscall", "Notice"): 5}
    assert fleet.limit_hits["rules"] == 2


def test_sources_of_alerts_beyond_the_limit_share_a_series() -> None:
    """The same holds for the sources of alerts."""
    fleet = make_fleet()
    for number in range(MAX_SOURCES + 3):
        fleet.fold(alert(source=f"s{number}"))

    assert fleet.alerts.by_host["node", OVERFLOW, "Notice"] == 3
    assert len(fleet.alerts.by_host) == MAX_SOURCES + 1
    assert fleet.limit_hits["sources"] == 3


def test_learnt_names_are_bounded() -> None:
    """A host that tells another evt.hostname each time is not remembered for each."""
    fleet = make_fleet(limits=Limits(max_hosts=2))
    fold(fleet, *(line(60 + number, "node", f"e{number}") for number in range(10)))
    fold(fleet, *(line(100 + number, None, f"e{number}") for number in range(10)))

    assert len(fleet.hosts) == 2
    assert fleet.hosts["node"]["syscall"].snapshots == 12


# -- counting --------------------------------------------------------------------------------------------------------


def test_every_line_is_counted_by_its_kind() -> None:
    """Snapshots, alerts, others and rejections add up to the lines."""
    fleet = fold(make_fleet(), line(60, "node", "node"))
    for record in (alert(), alert(), Other(), Rejection("bad_json"), Rejection("bad_json"), Rejection("no_time")):
        fleet.fold(record)

    assert fleet.lines == {"snapshot": 1, "alert": 2, "other": 1}
    assert fleet.rejections == {"bad_json": 2, "no_time": 1}


def test_kinds_that_did_not_occur_are_zero() -> None:
    """A counter of a known label is there from the start, so that its first increase is seen."""
    fleet = make_fleet()

    assert fleet.lines == {"snapshot": 0, "alert": 0, "other": 0}
    assert fleet.ignored == {"duplicate": 0, "older": 0}
    assert fleet.limit_hits == {"hosts": 0, "rules": 0, "sources": 0, "fields": 0}


def test_alerts_are_counted_by_host_and_by_rule() -> None:
    """Two views of the same alerts: neither has the labels of the other."""
    fleet = make_fleet()
    for record in (alert(), alert(), alert("S"), alert(hostname="b"), alert(priority="Error"), alert(source="aws")):
        fleet.fold(record)

    assert fleet.alerts.by_host == {
        ("node", "syscall", "Notice"): 3,
        ("b", "syscall", "Notice"): 1,
        ("node", "syscall", "Error"): 1,
        ("node", "aws", "Notice"): 1,
    }
    assert fleet.alerts.by_rule == {
        ("R", "Notice", "syscall"): 3,
        ("S", "Notice", "syscall"): 1,
        ("R", "Error", "syscall"): 1,
        ("R", "Notice", "aws"): 1,
    }


def test_an_alert_makes_no_host_with_state() -> None:
    """A host that only raised alerts has no snapshot to show."""
    fleet = make_fleet()
    fleet.fold(alert())

    assert fleet.hosts == {}


def test_alerts_switched_off_leave_no_trace() -> None:
    """With counts_alerts=False no series of alerts exists, no line is counted as one, and no limit is touched."""
    fleet = make_fleet(counts_alerts=False, limits=Limits(max_hosts=1, max_rules=1))
    for number in range(3):
        fleet.fold(alert(rule=f"R{number}", hostname=f"h{number}"))
    fleet.fold_heads([Head(rule="R", source="syscall", hostname="h", priority="Notice")] * 2)

    assert dict(fleet.lines) == {"snapshot": 0}
    assert (dict(fleet.alerts.by_host), dict(fleet.alerts.by_rule), sum(fleet.limit_hits.values())) == ({}, {}, 0)


WORDS = st.sampled_from(["A", "B", "C", "D", "notice", "Notice", "unknown", "internal", OVERFLOW, "", "x" * 300])
NAMES = st.none() | WORDS
HEADS = st.builds(Head, rule=NAMES, source=NAMES, hostname=NAMES, priority=NAMES)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(HEADS, max_size=12), max_size=4), st.booleans())
def test_alerts_taken_in_blocks_count_as_taken_in_one_by_one(blocks: list[list[Head]], counts_alerts: bool) -> None:
    """The fast way of fold_heads means fold(classify(head)), limits included."""
    limits = Limits(max_hosts=3, max_rules=3)
    at_once = make_fleet(limits=limits, counts_alerts=counts_alerts)
    by_one = make_fleet(limits=limits, counts_alerts=counts_alerts)
    for block in blocks:
        at_once.fold_heads(block)
        for head in block:
            by_one.fold(classify(head))

    assert at_once.lines == by_one.lines
    assert at_once.rejections == by_one.rejections
    assert dict(at_once.alerts.by_host) == dict(by_one.alerts.by_host)
    assert dict(at_once.alerts.by_rule) == dict(by_one.alerts.by_rule)
    assert at_once.dropped_hosts == by_one.dropped_hosts


@pytest.mark.parametrize(
    ("version", "size"),
    [("0.44.1", 5), ("0.38.0", 5), ("0.37.1", 131072), ("0.35.0-16+2b90822", 131072), (None, 5)],
)
def test_the_thread_table_is_the_settings_but_before_0_38(version: str | None, size: int) -> None:
    """Falco before 0.38 had a fixed table."""
    fleet = fold(make_fleet(thread_table_size=5), {"at": 60, "falco__version": version})

    assert fleet.thread_table_limit(fleet.hosts["node"]["syscall"]) == size

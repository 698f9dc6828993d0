"""Counts of judged fields: bounded whatever the alerts say, the same in any grouping, and kept over restarts."""

from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core import ledger
from falco_enrichment_exporter.core.alerts import MAX_SOURCES, OVERFLOW, Limits
from falco_enrichment_exporter.core.domains import Domain
from falco_enrichment_exporter.core.fleet import Fleet, FleetState
from falco_enrichment_exporter.core.ledger import (
    LEAST_RECENT_ALERTS,
    MOST_RECENT_ALERTS,
    MOST_RECENT_SECONDS,
    OTHER_FIELD,
    HostCounts,
    Judgement,
    Slot,
)
from falco_enrichment_exporter.core.records import Head, classify
from snapshots import make_fleet, make_snapshot

VALUES: st.SearchStrategy[object] = st.sampled_from(
    [None, "", "<NA>", "N/A", "host", "systemd", "pause", "x", -1, 2**32 - 1, 0, 1, 2, ["a"], {}, 1.5, True]
)
FIELDS = (
    "container.id container.name container.image.repository k8s.pod.name k8s.pod.label[app] user.name user.uid"
    " proc.name proc.pname proc.ppid proc.aname[2] proc.aname[3] fd.name evt.time"
)
NAMES = st.sampled_from(FIELDS.split())
ALERTS = st.builds(
    Head,
    hostname=st.sampled_from(["a", "b", None]),
    rule=st.sampled_from(["R", "S"]),
    source=st.sampled_from(["syscall", "k8s_audit", None]),
    priority=st.just("Notice"),
    output_fields=st.none() | st.dictionaries(NAMES, VALUES, max_size=8),
)


def counts(fleet: Fleet) -> object:
    """Return all that is counted of fields."""
    ledger = fleet.alerts.ledger
    hosts = {name: (dict(h.fields), dict(h.excused), dict(h.missing)) for name, h in ledger.hosts.items()}
    return hosts, dict(ledger.rule_missing), dict(ledger.without_fields)


def alert(hostname: str = "a", rule: str = "R", **fields: object) -> Head:
    """Make an alert; two underscores in a field's name stand for a dot."""
    shown = {name.replace("__", "."): value for name, value in fields.items()}
    return Head(hostname=hostname, rule=rule, source="syscall", priority="Notice", output_fields=shown)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(ALERTS, max_size=10), max_size=4))
def test_any_grouping_of_alerts_counts_the_same(blocks: list[list[Head]]) -> None:
    """In blocks or one by one, with values of any type."""
    at_once, by_one = make_fleet(), make_fleet()
    for block in blocks:
        at_once.fold_heads(block)
        for head in block:
            by_one.fold(classify(head))

    assert counts(at_once) == counts(by_one)


@settings(deadline=None, max_examples=30)
@given(st.lists(ALERTS, max_size=12), st.lists(ALERTS, max_size=12))
def test_a_restart_in_between_changes_nothing(before: list[Head], after: list[Head]) -> None:
    """The stored state and what comes later are the same as all of it."""
    whole, first, second = make_fleet(), make_fleet(), make_fleet()
    whole.fold_heads(before + after)
    first.fold_heads(before)
    second.restore(msgspec.json.decode(msgspec.json.encode(first.dump()), type=FleetState))
    second.fold_heads(after)

    assert counts(second) == counts(whole)


def test_a_lost_process_is_one_loss() -> None:
    """Nothing is counted of the other domains then."""
    fleet = make_fleet()
    fleet.fold_heads([alert(proc__name=None, proc__cmdline="", container__id="", user__name="<NA>")])

    fields = fleet.alerts.ledger.hosts["a"].fields
    assert {domain for domain, _, _ in fields} == {"process"}


def test_hostile_alerts_stay_within_the_limits_and_show_it() -> None:
    """Invented hosts, rules and fields share what is left, and every one of them touches a limit's counter."""
    fleet = make_fleet(limits=Limits(max_hosts=5, max_rules=5, max_fields=5))
    for block in range(8):
        heads = [
            alert(f"h{number % 9}", f"R{number}", **{f"proc__aname[{number % 999}]": None, f"x{number}": ""})
            for number in range(block * 500, block * 500 + 500)
        ]
        fleet.fold_heads(heads)
    ledger = fleet.alerts.ledger

    assert len(ledger.hosts) == 5
    assert len({field for host in ledger.hosts.values() for _, field, _ in host.fields}) == 6
    assert OTHER_FIELD in {field for host in ledger.hosts.values() for _, field, _ in host.fields}
    assert len({rule for rule, _ in ledger.rule_missing}) == 6
    assert all(fleet.limit_hits[limit] for limit in ("hosts", "rules", "fields"))
    assert sum(sum(host.fields.values()) for host in ledger.hosts.values()) + fleet.limit_hits["hosts"] == 4_000


def test_an_alert_with_ten_thousand_fields_is_judged() -> None:
    """And not remembered."""
    fleet = make_fleet()
    fleet.fold_heads([alert(**{f"proc.aname[{number}]": "x" for number in range(10_000)})])

    assert sum(fleet.alerts.ledger.hosts["a"].fields.values()) == 1000


def test_recent_alerts_forget_what_was_long_ago() -> None:
    """A runtime that answers again is not held against its past."""
    fleet = make_fleet()
    fleet.fold_heads([alert(container__id="0123456789ab", container__image="")] * (3 * MOST_RECENT_ALERTS))
    host = fleet.alerts.ledger.hosts["a"]
    assert host.recent_share("container_image")[0] == 0
    for _ in range(3):
        fleet.fold_heads([alert(container__id="0123456789ab", container__image="nginx")] * MOST_RECENT_ALERTS)
        assert fleet.alerts.ledger.hosts["a"] is host

    assert host.recent_share("container_image")[1] == 0
    assert host.missing["container_image", "empty"] == 3 * MOST_RECENT_ALERTS


def test_alerts_without_fields_are_counted_not_judged() -> None:
    """json_include_output_fields_property: false."""
    fleet = make_fleet()
    fleet.fold_heads([Head(hostname="a", rule="R", source="syscall", priority="Notice")] * 3)

    assert fleet.alerts.ledger.without_fields == {"a": 3}
    assert not fleet.alerts.ledger.hosts


def test_snapshots_are_the_clock_of_what_is_recent() -> None:
    """After some intervals with enough alerts the old ones no longer count; a quiet host is judged by older ones."""
    fleet = make_fleet()
    minute = 60
    for at in range(0, 30 * minute, minute):
        fleet.fold(make_snapshot(at + 60, "a"))
        missing = at < 10 * minute
        fleet.fold_heads([alert(container__id="0123456789ab", container__image="" if missing else "nginx")] * 20)

    assert fleet.alerts.ledger.hosts["a"].recent_share("container_image")[1] == 0
    for at in range(30 * minute, 60 * minute, minute):
        fleet.fold(make_snapshot(at + 60, "a"))

    assert sum(fleet.alerts.ledger.hosts["a"].recent_share("container_image")) >= 40


def test_a_window_lasts_five_intervals_though_none_is_exactly_as_long() -> None:
    """Else it would last six now and then, and hosts that began together would drift apart."""
    host = HostCounts()
    old, new = (
        Judgement((), (Slot("user_name", "user.name", is_missing),), (), (), 0, frozenset())
        for is_missing in (True, False)
    )
    for tick in range(11):
        host.add({old if tick <= 5 else new: 50})
        host.tick(1 + round(tick * 59.5e9), 60)

    assert host.recent_share("user_name") == (250, 0)


def test_enough_new_alerts_are_judged_without_the_old_ones() -> None:
    """What is mended is soon seen to be; fewer alone would be too few to say so."""
    host = HostCounts()
    old, new = (
        Judgement((), (Slot("user_name", "user.name", is_missing),), (), (), 0, frozenset())
        for is_missing in (True, False)
    )
    host.add({old: MOST_RECENT_ALERTS})  # which ends a window

    host.add({new: LEAST_RECENT_ALERTS - 1})
    assert host.recent_share("user_name") == (LEAST_RECENT_ALERTS - 1, MOST_RECENT_ALERTS)
    host.add({new: 1})
    assert host.recent_share("user_name") == (LEAST_RECENT_ALERTS, 0)


def test_a_window_that_ends_by_number_begins_with_the_next_snapshot() -> None:
    """A busy host's clock is not left behind."""
    host = HostCounts()
    judgement = Judgement((), (), (), (), 0, frozenset())
    host.tick(1, 60)
    host.add({judgement: MOST_RECENT_ALERTS})
    assert not host.is_due(1 + 3600 * 10**9, 60)
    host.tick(1 + 3600 * 10**9, 60)

    assert not host.is_due(1 + 3700 * 10**9, 60)
    assert host.is_due(1 + 3900 * 10**9, 60)


def test_a_window_begins_anew_if_the_clock_of_its_host_is_put_back() -> None:
    """Else it would last until the time that it began at has come."""
    host = HostCounts()
    host.tick(86_400 * 10**9, 60)
    host.tick(10**9, 60)

    assert host.is_due(3600 * 10**9, 60)


def test_every_field_beyond_the_limit_touches_its_counter() -> None:
    """Two fields of each alert share a name, once for each alert."""
    fleet = make_fleet(limits=Limits(max_fields=1))
    fleet.fold_heads([alert(user__name="a", user__uid=1000, proc__name="x")] * 3)

    assert fleet.limit_hits["fields"] == 6


def restarted(fleet: Fleet, limits: Limits) -> Fleet:
    """Return a fleet that goes on from a stored state."""
    other = make_fleet(limits=limits)
    other.restore(msgspec.json.decode(msgspec.json.encode(fleet.dump()), type=FleetState))
    return other


def test_limits_hold_over_a_restart() -> None:
    """Names that were let in before it have their place, and others have none."""
    limits = Limits(max_hosts=1, max_rules=1, max_fields=1)
    fleet = make_fleet(limits=limits)
    fleet.fold_heads([alert("a", "R", user__name="x")])
    fleet = restarted(fleet, limits)
    fleet.fold_heads([alert("b", "R", user__name="x"), alert("a", "R", user__uid=7), alert("a", "S", user__name="x")])

    assert {hostname for hostname, *_ in fleet.alerts.by_host} == {"a"}
    assert {rule for rule, *_ in fleet.alerts.by_rule} == {"R", OVERFLOW}
    assert {name for _, name, _ in fleet.alerts.ledger.hosts["a"].fields} == {"user.name", OTHER_FIELD}
    assert {limit: fleet.limit_hits[limit] for limit in ("hosts", "rules", "fields")} == dict.fromkeys(
        ("hosts", "rules", "fields"), 1
    )


def test_the_limit_of_sources_holds_over_a_restart() -> None:
    """It is of alerts of any source."""
    fleet = make_fleet()
    fleet.fold_heads([Head(rule="R", source=f"s{number}", priority="Notice") for number in range(MAX_SOURCES)])
    fleet = restarted(fleet, Limits())
    fleet.fold_heads([Head(rule="R", source=source, priority="Notice") for source in ("s0", "one more")])

    assert len({source for _, source, _ in fleet.alerts.by_host}) == MAX_SOURCES + 1
    assert fleet.alerts.by_host["default", OVERFLOW, "Notice"] == 1
    assert fleet.alerts.by_host["default", "s0", "Notice"] == 2


def test_a_higher_limit_of_fields_gives_room_after_a_restart() -> None:
    """What the fields beyond the old limit share is no field itself."""
    fleet = make_fleet(limits=Limits(max_fields=1))
    fleet.fold_heads([alert(user__name="x", user__uid=7)])
    fleet = restarted(fleet, Limits(max_fields=2))
    fleet.fold_heads([alert(user__uid=7)])

    assert ("user_name", "user.uid", "present") in fleet.alerts.ledger.hosts["a"].fields


def _judgement(*, is_missing: bool) -> Judgement:
    return Judgement((), (Slot("user_name", "user.name", is_missing),), (), (), 0, frozenset())


def test_a_few_alerts_are_recent_for_some_hours() -> None:
    """Then no more, however few there are; it is seen at once."""
    host, hours_ns = HostCounts(), MOST_RECENT_SECONDS * 10**9
    host.add({_judgement(is_missing=True): 3})
    shares = [host.recent_share("user_name")]
    for tick in (1, hours_ns // 2, hours_ns + 1, 2 * hours_ns + 1):
        host.tick(tick, 60)
        shares.append(host.recent_share("user_name"))

    assert shares == [(0, 3), (0, 3), (0, 3), (0, 3), (0, 0)]


def test_whatever_changes_the_last_alerts_is_seen_at_the_next_reading() -> None:
    """Alerts, and the end of a window; the revision tells."""
    host = HostCounts()
    revisions = [host.revision]
    for is_missing, count, volume, ratio in ((False, 40, 40, 0), (True, 10, 50, 0.2)):
        host.add({_judgement(is_missing=is_missing): count})
        revisions.append(host.revision)
        assert host.recent_volume("user_name") == volume
        assert host.missing_ratios == {Domain.USER_NAME: ratio}
    for tick in (1, 10**12, 10**15):
        host.tick(tick, 60)
        revisions.append(host.revision)

    assert revisions[2] == revisions[3]
    assert len(set(revisions)) == 5
    assert host.recent_volume("user_name") == 0
    assert not host.missing_ratios


def test_what_is_noted_of_a_host_stays_small() -> None:
    """It is entered at the end of a window, and judgements of invented fields are forgotten."""
    host = HostCounts()
    for _ in range(5 * MOST_RECENT_ALERTS):
        host.add({_judgement(is_missing=True): 1})
    assert len(host._new) <= MOST_RECENT_ALERTS

    fleet = make_fleet()
    with patch.object(ledger, "_MOST_JUDGED", 10):
        for number in range(100):
            fleet.fold_heads([alert(**{f"proc.aname[{number}]": "x"})])
            assert len(fleet.alerts.ledger._judgements) <= 10


def test_a_higher_limit_of_rules_gives_room_after_a_restart() -> None:
    """The name of those that were left out takes no place."""
    fleet = make_fleet(limits=Limits(max_rules=1))
    fleet.fold_heads([alert(rule="R"), alert(rule="S")])
    fleet = restarted(fleet, Limits(max_rules=2))
    fleet.fold_heads([alert(rule="S"), alert(rule="T")])

    assert {rule: count for (rule, *_), count in fleet.alerts.by_rule.items()} == {"R": 1, "(other)": 2, "S": 1}

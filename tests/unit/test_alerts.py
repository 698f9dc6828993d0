"""Alerts that are only noted so far: bounded, entered in time, and judged with the snapshots of any host."""

from unittest.mock import patch

from falco_enrichment_exporter.core import alerts
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import MAX_NAME_CHARS, Head
from snapshots import make_fleet, make_snapshot
from test_schema import line_of, take

DAY = 86_400
MOST = 50


def head(hostname: str = "a", rule: str = "R") -> Head:
    """Make an alert."""
    shown = {"user.name": "root"}
    return Head(hostname=hostname, rule=rule, source="syscall", priority="Notice", output_fields=shown)


def of_many_rules() -> Fleet:
    """Return a fleet whose schema takes any name for a rule, and to which nothing is noted."""
    fleet = make_fleet()
    for start in range(0, 700, 100):
        take(fleet, [line_of({"user.name": "root"}, rule=f"R{number}") for number in range(start, start + 100)])
    fleet.alerts.settle()
    return fleet


def test_names_are_noted_no_longer_than_labels_can_be() -> None:
    """What a line has more of it is not kept."""
    fleet = make_fleet()
    long = "x" * 10_000
    fleet.fold_heads([Head(hostname=long, rule=long, source=long, priority=long, output_fields={})])

    assert {len(name or "") for kind in fleet.alerts._pending for name in kind} == {MAX_NAME_CHARS}


def test_alerts_that_come_one_by_one_are_entered_before_they_are_too_many() -> None:
    """Nobody needs to read the counts for it."""
    fleet = make_fleet()
    with patch.object(alerts, "_MOST_PENDING", MOST):
        for number in range(10 * MOST):
            fleet.fold_heads([head(rule=f"R{number}")])
            assert len(fleet.alerts._pending) < MOST

    assert sum(fleet.alerts.by_rule.values()) == 10 * MOST


def test_alerts_that_the_schema_reads_are_entered_before_they_are_too_many() -> None:
    """Kinds of them are counted, not alerts."""
    fleet = of_many_rules()
    reader = fleet.alerts._schema.reader
    assert reader is not None
    with patch.object(alerts, "_MOST_PENDING", MOST):
        for start in range(0, 10 * MOST, 20):
            take(fleet, [line_of({"user.name": "root"}, rule=f"S{number}") for number in range(start, start + 20)])
            assert len(reader.counts) < MOST

    assert fleet.alerts._schema.reader is reader
    assert sum(fleet.alerts.by_rule.values()) == 700 + 10 * MOST


def test_what_an_earlier_schema_has_read_is_entered_before_it_is_too_much() -> None:
    """Together with what came one by one."""
    fleet = of_many_rules()
    with patch.object(alerts, "_MOST_PENDING", MOST):
        take(fleet, [line_of({"user.name": "root"}, rule=f"S{number}") for number in range(MOST - 1)])
        take(fleet, [line_of({"user.name": "root", "proc.name": "bash"})] * 12)
        assert not fleet.alerts._read

    assert sum(fleet.alerts.by_rule.values()) == 700 + MOST - 1 + 12


def test_a_host_whose_clock_is_ahead_does_not_hold_up_the_others() -> None:
    """What is noted is entered at a snapshot of theirs, though an hour to come is over already."""
    fleet = make_fleet()
    for hostname, since in (("ahead", 10 * DAY), ("b", 0)):
        fleet.fold_heads([head(hostname)])
        for at in (60, 120, 180):
            fleet.fold(make_snapshot(since + at, hostname))

    assert fleet.alerts.known_of("b") is not None


def test_the_first_alerts_of_a_host_are_of_a_window_that_begins_with_the_snapshot_that_finds_them() -> None:
    """Not with the one after it."""
    fleet = make_fleet()
    fleet.fold_heads([head()])
    fleet.alerts.tick("a", DAY * 10**9, 60)
    counts = fleet.alerts.known_of("a")

    assert counts is not None
    assert counts.is_due((DAY + 360) * 10**9, 60)


def test_what_an_earlier_schema_has_read_is_seen_though_nothing_else_is_noted() -> None:
    """Who reads the counts sees all of it at once."""
    fleet = of_many_rules()
    take(fleet, [line_of({"user.name": "root"}, rule=f"S{number}") for number in range(MOST)])
    fleet.alerts.learn([Head(rule="R", source="syscall", priority="Notice", output_fields={"proc.name": "bash"})])

    assert sum(fleet.alerts.by_rule.values()) == 700 + MOST

"""The newest values of every signal: what is kept of them, for how long, and how they are drawn."""

import re
from typing import Any

import msgspec
import pytest

from falco_enrichment_exporter.core.fleet import Fleet, FleetState
from falco_enrichment_exporter.core.history import NAMES, POINTS, by_signal, extended
from falco_enrichment_exporter.web.formats import line
from snapshots import make_alert, make_fleet, make_snapshot

MINUTE = 60


def history(fleet: Fleet, signal: str) -> list[float | None]:
    """Return the values of a signal of the one host, oldest first."""
    return by_signal(fleet.hosts["node"]["syscall"].history)[signal]


def drop_ratio(fleet: Fleet, *counts: tuple[int, int], first: int = 1, **more: Any) -> list[float | None]:
    """Fold a snapshot a minute with so many kernel events and drops; return the history of their ratio."""
    for number, (events, drops) in enumerate(counts, first):
        fleet.fold(make_snapshot(number * MINUTE, scap__n_evts=events, scap__n_drops=drops, **more))
    return history(fleet, "kernel_drop_ratio")


def test_each_interval_has_a_value_and_the_first_snapshot_has_none() -> None:
    """A ratio needs two snapshots; what is known from one (the table) is there at once."""
    fleet = make_fleet()

    assert drop_ratio(fleet, (0, 0), (100, 0), (200, 50), falco__n_threads=26214.4) == [None, 0, 0.5]
    assert history(fleet, "threadtable_usage_ratio") == pytest.approx([0.1] * 3)
    assert history(fleet, "container_missing_image_ratio") == [None] * 3


def test_a_restart_is_a_gap() -> None:
    """Unknown, not zero."""
    fleet = make_fleet()
    drop_ratio(fleet, (0, 0), (100, 0))
    again = {"falco__start_ts": 1_700_000_100 * 10**9, "falco__reload_ts": 1_700_000_099 * 10**9}

    assert drop_ratio(fleet, (10, 0), (20, 5), first=3, **again) == [None, 0, None, 0.5]


def test_a_twin_is_no_point_of_its_own() -> None:
    """Some versions write two snapshots at every tick: they are one interval."""
    fleet = make_fleet()
    for at, events in ((60, 0), (120, 100), (180, 200), (182, 210), (240, 300)):
        fleet.fold(make_snapshot(at, scap__n_evts=events, scap__n_drops=0))

    assert history(fleet, "kernel_drop_ratio") == [None, 0, 0, 0]


def test_it_is_bounded_and_survives_a_restart_of_ours() -> None:
    """48 intervals; a checkpoint carries them."""
    fleet = make_fleet()
    drop_ratio(fleet, *((number * 100, 0) for number in range(POINTS + 30)))
    stored = msgspec.json.decode(msgspec.json.encode(fleet.dump()), type=FleetState)
    restored = make_fleet()
    restored.restore(stored)

    assert history(restored, "kernel_drop_ratio") == history(fleet, "kernel_drop_ratio") == [0] * POINTS


def test_a_history_of_other_signals_begins_anew() -> None:
    """An older version's row has another size."""
    row = [0.5] * len(NAMES)

    assert by_signal(b"12345")["kernel_drop_ratio"] == []
    assert by_signal(extended(b"12345", row, is_correction=False))["kernel_drop_ratio"] == [0.5]


def test_a_number_beyond_all_bounds_is_unknown() -> None:
    """A line can say anything; the largest that is believed has room."""
    fleet = make_fleet()
    fleet.fold(make_snapshot(60, falco__n_threads=1e300))
    fleet.fold(make_snapshot(120, falco__n_threads=(1 << 63) - 1))

    assert history(fleet, "threadtable_usage_ratio") == [None, pytest.approx((1 << 63) / 262144)]


def test_the_alerts_are_part_of_it() -> None:
    """What the alerts of the time lacked: the worst domain with enough of them."""
    fleet = make_fleet()
    fleet.fold(make_snapshot(60))
    for number in range(40):
        image = None if number % 4 == 0 else "nginx"
        fields = {"container.id": "4f1a2b3c4d5e", "container.image.repository": image, "proc.name": "sh"}
        fleet.fold(make_alert(fields))
    fleet.fold(make_snapshot(120))

    assert history(fleet, "alert_missing_ratio") == [None, 0.25]


# -- drawn -----------------------------------------------------------------------------------------------------------


def paths(drawing: str) -> list[str]:
    """Return the lines of a drawing."""
    return re.findall(r'd="([^"]*)"', drawing)


def test_values_are_a_staircase_that_ends_at_the_right() -> None:
    """Equal values are one step; two pixels an interval."""
    assert paths(line([0, 0, 1, 1, 0.5], None, "")) == ["M86 19h4V1h4V10h2"]


def test_unknown_values_are_a_gap() -> None:
    """Neither zero nor a line across."""
    assert paths(line([1, None, 1], None, "")) == ["M90 1h2M94 1h2"]


def test_the_limit_is_drawn_to_the_same_scale() -> None:
    """A value of half the limit is at half the height."""
    assert paths(line([0.5, 0.5], 1, "")) == ["M0 1h96", "M92 10h4"]


@pytest.mark.parametrize("values", [[], [None, None], [1], [None, 1]])
def test_nothing_is_drawn_of_fewer_than_two_values(values: list[float | None]) -> None:
    """There is nothing to compare."""
    assert line(values, 0.1, "") == ""


def test_the_label_is_escaped() -> None:
    """It goes into an attribute."""
    assert '"&#34;&gt;"' in line([0, 0], None, '">')

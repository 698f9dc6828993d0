"""The overview: hosts with trouble first, a hundred a page, and nothing judged twice that has not changed."""

import asyncio
from typing import Any

import pytest

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.web import status
from falco_enrichment_exporter.web.status import Overview
from snapshots import START_NS, make_alert, make_fleet, make_snapshot

NOW = START_NS / 10**9 + 7200
LIMITS = {"kernel_drop_ratio": {"warning": 0.001, "critical": 0.1}}


def watch(fleet: Fleet) -> Overview:
    """Return the overview of a fleet."""
    return Overview(fleet, [], LIMITS, waiting_for=lambda: None)


def page(overview: Overview, search: str = "", number: int = 1, now: float = NOW) -> dict[str, Any]:
    """Return a page of it."""
    return asyncio.run(overview.page(now, search, number))


def add(fleet: Fleet, hostname: str, *, drops: int = 0, until: int = 7200) -> None:
    """Fold three snapshots of a host, a minute apart, which lose so many of 1 000 events."""
    for number in range(3):
        at = until - 120 + number * 60
        counters = {"scap__n_evts": 1000 * number, "scap__n_drops": drops * number}
        fleet.fold(make_snapshot(at, hostname, evt__hostname=hostname, **counters))


def fleet_of(healthy: int, critical: int) -> Fleet:
    """Return a fleet of such hosts."""
    fleet = make_fleet()
    for number in range(healthy):
        add(fleet, f"healthy-{number:05}")
    for number in range(critical):
        add(fleet, f"worse-{number:05}", drops=500)
    return fleet


def test_a_page_is_a_hundred_rows_of_what_was_found() -> None:
    """The worst of all first; the counts are of all hosts."""
    overview = watch(fleet_of(380, 120))

    first, last, found = page(overview), page(overview, number=10**6), page(overview, "WORSE-0001")

    assert [len(shown["hosts"]) for shown in (first, last, found)] == [100, 100, 10]
    assert {row["state"] for row in first["hosts"]} == {"critical"}
    assert (first["page"], last["page"], last["pages"]) == (1, 5, 5)
    assert first["states"] == {"critical": 120, "ok": 380}
    assert (found["found_hosts"], found["all_hosts"]) == (10, 500)


def test_nothing_found_is_one_empty_page() -> None:
    """Not an error."""
    shown = page(watch(fleet_of(3, 0)), "no such host", 4)

    assert (shown["hosts"], shown["states"], shown["page"], shown["pages"]) == ([], {"ok": 3}, 1, 1)
    assert (shown["found_hosts"], shown["all_hosts"], shown["search"]) == (0, 3, "no such host")


def test_everything_is_all_hosts_at_once() -> None:
    """For programs; they may ask for some hosts by name."""
    overview = watch(fleet_of(250, 1))

    assert len(asyncio.run(overview.everything(NOW))["hosts"]) == 251
    assert [row["hostname"] for row in asyncio.run(overview.everything(NOW, "worse"))["hosts"]] == ["worse-00000"]


def test_only_hosts_that_changed_are_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh of the page costs a look at each host, not a judgement."""
    fleet = fleet_of(300, 0)
    overview = watch(fleet)
    page(overview)
    asked: list[str] = []

    def describe(hostname: str, *rest: Any, **more: Any) -> Any:
        asked.append(hostname)
        return real(hostname, *rest, **more)

    real = status.describe
    monkeypatch.setattr(status, "describe", describe)

    add(fleet, "healthy-00299", drops=900, until=7320)
    shown = page(overview, now=NOW + 120)

    assert shown["hosts"][0]["hostname"] == "healthy-00299"
    assert len(asked) == 1 + 100  # the one that changed, and those that are shown


def test_time_alone_makes_a_host_stale() -> None:
    """Nothing is folded; the clock goes on."""
    overview = watch(fleet_of(1, 1))

    assert page(overview)["states"] == {"critical": 1, "ok": 1}
    assert page(overview, now=NOW + 3600)["states"] == {"stale": 2}


def test_a_host_that_only_alerts_are_seen_of_is_unknown() -> None:
    """It has a row: somebody must wonder why there are no snapshots."""
    fleet = make_fleet()
    fleet.fold(make_alert({"proc.name": "sh"}))

    (row,) = page(watch(fleet))["hosts"]

    assert (row["hostname"], row["state"], row["snapshot_age_seconds"]) == ("node", "unknown", None)

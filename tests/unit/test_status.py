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


def test_a_host_that_was_ahead_of_the_time_is_ok_once_that_has_come() -> None:
    """Nothing is folded; the clock goes on."""
    overview = watch(fleet_of(1, 0))

    assert page(overview, now=NOW - 3601)["states"] == {"unknown": 1}
    assert page(overview)["states"] == {"ok": 1}


@pytest.mark.parametrize(("ahead", "age", "told"), [(3600, 0, []), (3601, None, ["1h"]), (90_000, None, ["1d 1h"])])
def test_the_age_of_a_snapshot_that_is_ahead_of_the_time_is_not_known(
    ahead: int, age: float | None, told: list[str]
) -> None:
    """Falco's clock is wrong: 0 would say that all is new."""
    fleet = fleet_of(1, 0)
    (row,) = page(watch(fleet), now=NOW - ahead)["hosts"]

    assert (row["state"], row["snapshot_age_seconds"]) == ("ok" if age is not None else "unknown", age)
    reasons = [item["reason"] for item in row["not_judged"] if item["cause"] == "stale"]
    assert reasons == [f"the newest snapshot is {text} ahead of the time" for text in told]


def row_of(fleet: Fleet, now: float = NOW) -> dict[str, Any]:
    """Return the first row of a fleet."""
    row: dict[str, Any] = page(watch(fleet), now=now)["hosts"][0]
    return row


def states(row: dict[str, Any]) -> dict[str, str]:
    """Return the state of every signal that has a value."""
    return {name: signal["state"] for name, signal in row["signals"].items() if signal["value"] is not None}


def fold(fleet: Fleet, *, until: int = 7200, source: str = "syscall", **growing: Any) -> Fleet:
    """Fold four snapshots of a host, a minute apart, whose counters grow by so much each time."""
    for number in range(4):
        counters = {name: step * number for name, step in growing.items()}
        more = {"falco__duration_sec": until - 180 + number * 60} if "falco__duration_sec" not in growing else {}
        fleet.fold(make_snapshot(until - 180 + number * 60, "h", evt__source=source, **counters | more))
    return fleet


def test_what_was_not_judged_is_not_ok() -> None:
    """Of a host whose snapshots are old, or whose Falco has just begun."""
    counters: dict[str, Any] = {
        "scap__n_evts": 1000,
        "scap__n_drops": 500,
        "falco__n_threads": 1,
        "falco__n_store_evts_drops": 5,
    }
    old = states(row_of(fold(make_fleet(), **counters), now=NOW + 86_400))
    young = states(row_of(fold(make_fleet(), until=500, **counters), now=NOW - 6700))

    assert set(old.values()) == {"stale"}
    assert old.keys() >= {"kernel_drop_ratio", "threadtable_usage_ratio"}
    assert young["kernel_drop_ratio"] == "critical"
    assert young["threadtable_usage_ratio"] == "ok"
    fleet = make_fleet()
    for _ in range(40):
        fleet.fold(make_alert({"user.name": "root", "user.uid": 0}))
    assert states(row_of(fleet)) == {"alert_missing_ratio": "ok"}


def test_a_falco_that_watches_no_syscalls_is_judged_by_what_it_has() -> None:
    """By its age and its output queue."""
    limits = {"output_queue_drops": {"warning": 0, "critical": 3}}
    fleet = fold(make_fleet(), source="k8s_audit", falco__outputs_queue_num_drops=60)
    overview = Overview(fleet, [], limits, waiting_for=lambda: None)

    now, later = page(overview)["hosts"][0], page(overview, now=NOW + 86_400)["hosts"][0]

    assert [(f["cause"], f["severity"], f["threshold"]) for f in now["findings"]] == [("output_queue", "critical", 3)]
    assert {item["reason"] for item in now["not_judged"] if item["cause"] != "user_mounts"} >= {
        "no metrics snapshot of the syscall source was seen"
    }
    assert [finding["cause"] for finding in later["findings"]] == ["stale"]
    assert (now["source"], now["state"], later["state"]) == ("k8s_audit", "critical", "stale")


def test_a_full_table_needs_no_interval() -> None:
    """One snapshot tells; the rest has to wait."""
    fleet, limits = make_fleet(), {"threadtable_usage_ratio": {"warning": 0.8}}
    fleet.fold(make_snapshot(7200, "h", falco__n_threads=262144))

    row = page(Overview(fleet, [], limits, waiting_for=lambda: None))["hosts"][0]

    assert [(f["signal"], f["severity"]) for f in row["findings"]] == [("threadtable_usage_ratio", "warning")]
    reasons = {item["reason"] for item in row["not_judged"] if item["cause"] == "events_lost"}
    assert reasons == {"Falco's counters have one snapshot only since they began"}


def test_drops_of_the_output_queue_are_judged_without_state_counters() -> None:
    """Falco writes them with every snapshot."""
    limits = {"output_queue_drops": {"warning": 0, "critical": 3}}
    fleet = fold(make_fleet(), falco__outputs_queue_num_drops=1)

    row = page(Overview(fleet, [], limits, waiting_for=lambda: None))["hosts"][0]

    assert [finding["cause"] for finding in row["findings"]] == ["output_queue"]


def test_why_something_was_not_judged_is_true() -> None:
    """Not known is not short."""
    fleet = make_fleet()
    for at in (7080, 7140, 7200):
        counters = {"falco__n_threads": 1, "falco__n_store_evts_drops": at, "plugins__container__n_containers": 2}
        fleet.fold(make_snapshot(at, "h", falco__duration_sec=None, **counters))
    unknown = [(item["cause"], item["reason"]) for item in row_of(fleet)["not_judged"]]
    images: dict[str, Any] = {
        "plugins__container__n_missing_container_images": 1,
        "plugins__container__n_containers": 1,
    }
    few = [(item["cause"], item["reason"]) for item in row_of(fold(make_fleet(), **images))["not_judged"]]

    assert ("store_drops", "the snapshots do not tell how long Falco has run") in unknown
    assert ("container_runtime", "fewer than 5 containers are known") in few

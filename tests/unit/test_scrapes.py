"""The metrics page of many hosts: made in turns with everything else, and each host's lines are of one moment."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter import turns
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import Alert, Snapshot
from falco_enrichment_exporter.exposition.alerts import AlertCollector
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.native import NativeSeries
from falco_enrichment_exporter.exposition.page import PIECE_BYTES, Page
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.web.app import Surface, create
from falco_enrichment_exporter.web.status import Overview
from snapshots import make_alert, make_fleet, make_snapshot

HOSTS = [f"node-{number:03}" for number in range(100)]
Shown = dict[str, dict[str, float]]
"""hostname -> name -> value."""


def page_of(fleet: Fleet) -> Page:
    """Return the page of a fleet."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AlertCollector(fleet.alerts, {}, {}))
    return Page(fleet, [HostSeries(fleet), NativeSeries({})], Tally(), registry)


def add_snapshots(fleet: Fleet, minute: int) -> None:
    """Fold a snapshot of every host, of which every number is the minute's."""
    for hostname in HOSTS:
        counters = {"falco__n_threads": minute, "falco__n_fds": minute, "scap__n_evts": minute}
        snapshot = make_snapshot(minute * 60, hostname, evt__hostname=hostname, **counters)
        assert isinstance(snapshot, Snapshot)
        fleet.fold(snapshot)


def add_alert(fleet: Fleet, hostname: str, *, user: str | None = "root") -> None:
    """Fold an alert of a host."""
    alert = make_alert({"user.name": user, "user.uid": 0})
    assert isinstance(alert, Alert)
    fleet.fold(Alert(hostname, alert.source, alert.rule, alert.priority, alert.fields))


def shown(page: list[bytes]) -> Shown:
    """Return the samples of hosts that have no label but the host's and the source, or those of alerts."""
    found: Shown = defaultdict(dict)
    for family in text_string_to_metric_families(b"".join(page).decode().removesuffix("# EOF\n")):
        for sample in family.samples:
            rest = {name: value for name, value in sample.labels.items() if name not in ("hostname", "source")}
            if "hostname" in sample.labels:
                found[sample.labels["hostname"]][" ".join([sample.name, *sorted(rest.values())])] = sample.value
    return found


async def beside(page: Page, act: Callable[[], None]) -> tuple[tuple[list[bytes], list[bytes]], int]:
    """Make a page for each of two scrapes at a time, and act between any two turns; return how often, too."""
    making = asyncio.gather(page.make(), page.make(is_open_metrics=True))
    number = 0
    while not making.done():
        await asyncio.sleep(0)
        if not making.done():
            act()
            number += 1
    return await making, number


def test_a_page_of_many_hosts_lets_others_have_their_turn() -> None:
    """The more hosts have changed, the more turns; if none has, there is little to do."""
    fleet = make_fleet()
    add_snapshots(fleet, 1)
    page = page_of(fleet)

    with asyncio.Runner() as runner:
        first, many = runner.run(beside(page, lambda: None))
        again, few = runner.run(beside(page, lambda: None))
        with patch.object(turns, "TURN_SECONDS", 0):
            _, most = runner.run(beside(page, lambda: None))

    assert many > few
    assert most > 2 * (
        len(HOSTS) + b"".join(first[0]).count(b"# TYPE falco_")
    )  # between any two hosts, any two families
    assert first == again
    assert shown(first[0]).keys() == set(HOSTS)


def test_what_a_host_shows_is_of_one_snapshot_whenever_the_next_one_comes() -> None:
    """All of it or nothing of it; the next page shows it of every host."""
    fleet = make_fleet()
    add_snapshots(fleet, 1)
    page, minutes = page_of(fleet), iter(range(2, 100_000))

    found, _ = asyncio.run(beside(page, lambda: add_snapshots(fleet, next(minutes))))
    asked, again = shown(found[0]), shown(found[1])

    threads, fds = "falco_enrichment_threads", "falco_enrichment_fds"
    native = "falcosecurity_falco_n_threads"
    seen = set()
    for values in (*asked.values(), *again.values()):
        assert values[threads] == values[fds] == values["falco_enrichment_falco_uptime_seconds"] / 60
        assert values[threads] == values["falco_enrichment_snapshots_total"]
        assert values.get(native, values[threads]) == values[threads]
        seen.add(values[threads])
    assert len(seen) > 1  # snapshots did come in between
    last = next(minutes) - 1
    assert {values[threads] for values in shown(asyncio.run(page.make())).values()} == {last}


def test_a_host_that_gets_another_name_meanwhile_is_shown_under_one() -> None:
    """Its lines under the old name are gone with the next page."""
    fleet = make_fleet()
    for hostname in HOSTS:
        fleet.fold(make_snapshot(60, None, evt__hostname=hostname))
    page, renamed = page_of(fleet), iter([name for pair in zip(HOSTS, reversed(HOSTS), strict=True) for name in pair])

    def rename() -> None:
        hostname = next(renamed, None)
        if hostname is not None:
            fleet.fold(make_snapshot(120, f"{hostname}.example.com", evt__hostname=hostname))

    asyncio.run(beside(page, rename))

    assert len([name for name in fleet.hosts if name.endswith(".com")]) > 2
    assert shown(asyncio.run(page.make())).keys() == fleet.hosts.keys()


def test_what_the_last_snapshot_does_not_show_is_not_shown() -> None:
    """Unknown is absent; the other hosts keep it."""
    fleet = make_fleet()
    for hostname in HOSTS:
        fleet.fold(make_snapshot(60, hostname, evt__hostname=hostname, plugins__container__n_containers=3))
    page, containers = page_of(fleet), "falco_enrichment_containers"

    before = shown(asyncio.run(page.make()))
    fleet.fold(make_snapshot(120, HOSTS[0], evt__hostname=HOSTS[0]))
    after = shown(asyncio.run(page.make()))

    assert all(values[containers] == 3 for values in before.values())
    assert [hostname for hostname, values in after.items() if containers not in values] == [HOSTS[0]]


def test_only_hosts_with_new_alerts_have_new_counts() -> None:
    """With snapshots or without; a scrape shows every alert that came before it."""
    fleet = make_fleet()
    add_snapshots(fleet, 1)
    add_alert(fleet, HOSTS[0])
    add_alert(fleet, "without-snapshots", user=None)
    page, alerts = page_of(fleet), "falco_enrichment_alerts_total Notice"

    before = shown(asyncio.run(page.make()))
    add_alert(fleet, "without-snapshots")
    after = shown(asyncio.run(page.make()))

    assert (before[HOSTS[0]][alerts], before["without-snapshots"][alerts]) == (1, 1)
    assert (after[HOSTS[0]][alerts], after["without-snapshots"][alerts]) == (1, 2)
    fields = {name: value for name, value in after["without-snapshots"].items() if "user.name" in name}
    assert fields == {
        "falco_enrichment_alert_fields_total missing user.name user_name": 1,
        "falco_enrichment_alert_fields_total present user.name user_name": 1,
    }


def client_of(fleet: Fleet, before_answer: Callable[[], Awaitable[None]]) -> httpx.AsyncClient:
    """Return a client of the exporter's web."""
    overview = Overview(fleet, [], {}, waiting_for=lambda: None)
    app = create(Surface(page_of(fleet), overview, lambda: None, before_answer=before_answer))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://exporter")


def test_a_long_page_is_the_same_whichever_way_it_is_sent() -> None:
    """In pieces, or packed as one."""
    fleet = make_fleet()
    add_snapshots(fleet, 1)

    async def scrape(encoding: str) -> httpx.Response:
        async with client_of(fleet, lambda: asyncio.sleep(0)) as client:
            return await client.get("/metrics", headers={"accept-encoding": encoding})

    plain, packed = asyncio.run(scrape("identity")), asyncio.run(scrape("gzip"))

    assert len(plain.content) > PIECE_BYTES
    assert plain.headers["content-length"] == str(len(plain.content))
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert plain.content == packed.content


def test_what_is_shown_is_stored_before_anybody_sees_it() -> None:
    """However long the page takes to make, and whatever comes in meanwhile: a kill takes nothing back."""
    fleet, stored = make_fleet(), list[int]()
    add_snapshots(fleet, 1)

    async def store() -> None:
        stored.append(sum(fleet.alerts.of_host("busy").values()))

    async def scrape() -> float:
        async with client_of(fleet, store) as client:
            answer = asyncio.create_task(client.get("/metrics"))
            while not answer.done():
                add_alert(fleet, "busy")
                await asyncio.sleep(0)
            return shown([(await answer).content])["busy"]["falco_enrichment_alerts_total Notice"]

    seen = asyncio.run(scrape())

    assert seen > 1
    assert [seen <= number for number in stored] == [True]

"""The status page in a browser: what a person reads, in every state, with a keyboard, on a phone, and with axe-core.

Screenshots of every state are left in build/page.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from e2e.harness import Exporter, Start, alert, append, snapshot

pytestmark = pytest.mark.e2e

PICTURES = Path(__file__).parent.parent.parent / "build" / "page"
DAY = 86400
STATES = ("healthy", "degraded", "stale", "empty", "many")
SCREENS = {"laptop": (1280, 800), "phone": (390, 844)}
MANY = 10_000
HOSTILE = '<img src=x onerror="alert(1)">'
ADVICE = re.compile(r"Next: Raise the buffers: engine\.<kind>\.buf_size_preset from 4 to 5 or 6 in falco\.yaml")


def lived(hostname: str, *, drops: int = 0, age: int = 30, count: int = 8) -> list[bytes]:
    """Return a host's snapshots, a minute apart; in the last four of them so many of 10 000 events are dropped."""
    now = int(time.time())
    lines = []
    for number in range(1, count + 1):
        at = now - age - (count - number) * 60
        fields = {
            "scap__n_evts": 10_000 * number,
            "scap__n_drops": drops * max(number - count + 4, 0),
            "falco__start_ts": (now - 3 * DAY) * 10**9,
            "falco__reload_ts": (now - 3 * DAY) * 10**9 - 1,
            "falco__duration_sec": 3 * DAY + at - now,
            "falco__num_evts": 9_000 * number,
            "falco__n_noncached_thread_lookups": 1_000 * number,
            "plugins__container__n_containers": 12,
        }
        lines.append(snapshot(hostname, at, **fields))
    return lines


def alerts(hostname: str, count: int, *, image: str | None) -> list[bytes]:
    """Return alerts of a container whose image may have been lost; no two are the same."""
    fields = {"container.id": "4f1a2b3c4d5e", "container.image.repository": image, "proc.name": "sh"}
    return [alert("R", hostname=hostname, output_fields=fields, time=str(number)) for number in range(count)]


@pytest.fixture(scope="module")
def exporters(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exporter]:
    """Start an exporter for each state of a fleet."""
    folder = tmp_path_factory.mktemp("page")
    logs = {state: folder / f"{state}.jsonl" for state in STATES}
    append(logs["healthy"], *lived("node-1"), *lived("node-2"))
    append(logs["degraded"], *lived("quiet"), *lived("drowned", drops=3_000), *lived("blind"), *lived(HOSTILE))
    append(logs["stale"], *lived("silent", age=3600))
    append(logs["empty"], b"")
    hosts = (lived(f"node-{number:05}", drops=500 * (number % 100 == 7), count=3) for number in range(MANY))
    append(logs["many"], *(line for lines in hosts for line in lines))
    started = {state: start_shared(f"--source.paths={log}", "--state.directory=") for state, log in logs.items()}
    for exporter in started.values():
        exporter.wait_until_ready()
    for name, state, image in (("node-1", "healthy", "nginx"), ("blind", "degraded", None)):
        append(logs[state], *alerts(name, 50, image=image))
        exporter = started[state]
        for _ in range(200):
            if exporter.total("exporter_lines_total", kind="alert") == 50:
                break
            time.sleep(0.05)
    return started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page, and everything that it complained of or asked others for."""

    def __init__(self, page: Page, exporter: Exporter) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self._base = f"http://127.0.0.1:{exporter.port}"
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._see)

    def open(self, path: str = "/?refresh=off") -> Page:
        """Go to a path; return the page."""
        answer = self.page.goto(self._base + path)
        assert answer is not None
        assert answer.status == 200
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith(self._base):
            self.strangers.append(request.url)


@pytest.fixture
def look(browser: Browser, exporters: dict[str, Exporter], request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Open a page on the exporter of a state; it asks nobody else for anything and complains of nothing."""
    state, scheme, screen = request.param
    width, height = SCREENS[screen]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    watched = Watched(context.new_page(), exporters[state])
    yield watched
    context.close()
    assert not watched.complaints
    assert not watched.strangers


def of(state: str) -> pytest.MarkDecorator:
    """Open the page of one state."""
    return pytest.mark.parametrize("look", [pytest.param((state, "light", "laptop"), id=state)], indirect=True)


every_look = pytest.mark.parametrize(
    "look",
    [
        pytest.param((state, scheme, screen), id=f"{state}-{scheme}-{screen}")
        for state in STATES
        for scheme in ("light", "dark")
        for screen in SCREENS
    ],
    indirect=True,
)


@every_look
def test_nobody_is_kept_out_and_nothing_is_cut_off(look: Watched, request: pytest.FixtureRequest) -> None:
    """axe-core finds nothing (contrast, names, landmarks, focus); only tables scroll sideways, and only on a phone."""
    page = look.open()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{request.node.callspec.id}.png")

    found = Axe().run(page).response["violations"]

    assert [(rule["id"], rule["nodes"][0]["html"], rule["help"]) for rule in found] == []
    scrolling = page.locator("html, .wide").evaluate_all(
        "found => found.filter(e => e.scrollWidth > e.clientWidth).map(e => e.localName)"
    )
    assert scrolling == [] or ("phone" in request.node.callspec.id and "html" not in scrolling)


@of("healthy")
def test_a_healthy_fleet_is_said_to_be_ok_and_no_more(look: Watched) -> None:
    """Zero is written as zero, and what nobody knows as a dash."""
    page = look.open()

    expect(page.get_by_role("search")).to_contain_text("2 ok")
    expect(page.get_by_role("heading", name="Findings")).to_have_count(0)
    row = page.get_by_role("row", name="node-1")
    assert row.get_by_role("cell").all_inner_texts()[1:2] == ["ok"]
    expect(row.get_by_role("img", name="last 6 snapshots: 0 % to 0 %")).to_have_count(3)  # kernel, lookups, images
    headers = page.get_by_role("table").first.get_by_role("columnheader").all_inner_texts()
    cells = dict(zip(headers[1:], row.get_by_role("cell").all(), strict=True))
    expect(cells["Kernel drops"]).to_contain_text("0 %")
    expect(cells["Store drops"]).to_have_text("–")  # noqa: RUF001  a dash
    expect(page).to_have_title("Falco enrichment")


@of("degraded")
def test_the_worst_host_comes_first_with_its_cause_and_the_next_step(look: Watched) -> None:
    """Where it is bad, since when, why, and what to do."""
    page = look.open()

    names = page.get_by_role("rowheader").all_inner_texts()
    assert names[:2] == ["blind", "drowned"]
    assert set(names[2:]) == {"quiet", HOSTILE}
    drowned = page.get_by_role("row", name="drowned")
    expect(drowned.get_by_role("img", name="last 6 snapshots: 0 % to 30 %")).to_have_count(1)
    finding = page.get_by_role("listitem").filter(has_text="drowned")
    expect(finding).to_contain_text(re.compile("the kernel drops events before Falco sees them, for at least [3-9]m"))
    expect(finding).to_contain_text("30.0% of kernel events were dropped in the newest snapshot interval")
    expect(finding).to_contain_text(ADVICE)
    expect(finding).to_contain_text("falcokerneleventdrops")
    blind = page.get_by_role("listitem").filter(has_text="blind")
    expect(blind).to_contain_text("In the last alerts container.image.repository is missing in 50 of 50")
    expect(page).to_have_title("2 critical – Falco enrichment")  # noqa: RUF001


@of("stale")
def test_a_host_that_fell_silent_is_stale_not_ok(look: Watched) -> None:
    """Its old values are shown as old."""
    page = look.open()

    row = page.get_by_role("row", name="silent")
    expect(row.get_by_role("cell").nth(1)).to_have_text("stale")
    expect(row.get_by_role("cell").nth(2)).to_have_text(re.compile(r"^1h( \d+m)?$"))
    expect(page.get_by_role("listitem")).to_contain_text("Falco has stopped writing metrics snapshots")


@of("empty")
def test_without_snapshots_it_says_what_to_set(look: Watched) -> None:
    """Not an empty table."""
    page = look.open()

    expect(page.get_by_text("No snapshot seen yet.")).to_contain_text("metrics.enabled and metrics.output_rule")
    expect(page.get_by_role("search")).to_have_count(0)


@of("many")
def test_ten_thousand_hosts_are_searched_and_paged(look: Watched) -> None:
    """The hundred worst first; a name finds any other."""
    page = look.open()

    expect(page.get_by_role("search")).to_contain_text("100 warning · 9\u202f900 ok")
    assert len(page.get_by_role("rowheader").all()) == 100
    assert page.get_by_role("rowheader").first.inner_text() == "node-00007"
    page.get_by_role("link", name="next").click()
    expect(page.get_by_text("page 2 of 100")).to_be_visible()
    assert page.get_by_role("rowheader").first.inner_text() == "node-00000"
    page.get_by_label("Host", exact=True).fill("NODE-0420")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("10 of 10\u202f000 rows")).to_be_visible()
    expect(page.get_by_role("rowheader").first).to_have_text("node-04207")
    assert page.get_by_label("Host", exact=True).input_value() == "NODE-0420"


@of("degraded")
def test_everything_is_reached_with_the_keyboard_and_where_one_is_can_be_seen(look: Watched) -> None:
    """From link to field to table to findings, in the order in which they are read; Enter searches."""
    page = look.open("/")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(e => e.getAttribute('aria-labelledby') || e.name || e.innerText)(document.activeElement)")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached

    assert reached == [
        "metrics",
        "status as JSON",
        "pause",
        "2 findings",
        "host",
        "Find",
        "hosts",
        "critical",
        "critical",
    ]
    page.keyboard.press("Enter")
    assert page.url.endswith("/#drowned")
    page.get_by_label("Host", exact=True).focus()
    page.keyboard.type("quiet")
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader")).to_have_text(["quiet"])


@of("degraded")
def test_it_refreshes_itself_until_it_is_paused(look: Watched) -> None:
    """By a header, so that it needs no script."""
    page = look.open("/?host=quiet")
    times: list[str] = []
    page.on("framenavigated", lambda frame: times.append(frame.url))

    expect(page.get_by_text("refreshed every 15 s")).to_be_visible()
    page.wait_for_timeout(17_000)
    assert len(times) == 1
    assert times[0].endswith("/?host=quiet")
    page.get_by_role("link", name="pause").click()
    expect(page.get_by_text("paused")).to_be_visible()
    expect(page.get_by_role("rowheader")).to_have_text(["quiet"])


def test_without_a_script_it_is_the_same_page(browser: Browser, exporters: dict[str, Exporter]) -> None:
    """There is none in it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{exporters['degraded'].port}/")

    expect(page.get_by_role("rowheader")).to_have_count(4)
    assert "<script" not in page.content()
    context.close()

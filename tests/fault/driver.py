"""Run many cases through one exporter, with gaps and kills between their steps."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from e2e.harness import Exporter, Samples, Start, always, by_label, eventually, parse, polls, without_root
from fault.world import CATALOGUE, GAP, SETTLED, Case, Kills, Steps, Wait, World

POLL_SECONDS = 0.05
NET_SECONDS = 1.0  # between two looks where the kernel tells of changes: so it is the kernel that is tested
SETTLE_SECONDS = 5.0
RESIDENT_BYTES = 80 << 20
PREFIX = "falco_enrichment_"


def noticing(*, is_notified: bool) -> list[str]:
    """Return the flags that have the kernel tell of changes, or have the exporter look every 50 ms."""
    every = NET_SECONDS if is_notified else POLL_SECONDS
    return [f"--source.notify={str(is_notified).lower()}", f"--source.poll-interval={every * 1000:.0f}ms"]


@cache
def _key(series: str) -> tuple[str, frozenset[tuple[str, str]]]:
    (key,) = parse(f"{series} 0\n")
    return key


def scrape(exporter: Exporter) -> Samples:
    """Return our own series of the metrics page; series are parsed once and not at every scrape."""
    page = exporter.get("/metrics").text
    rows = (row.rpartition(" ") for row in page.splitlines() if row.startswith(PREFIX))
    return {_key(series): float(value) for series, _, value in rows}


def rules(samples: Samples) -> dict[str, float]:
    """Return the alerts by rule."""
    return by_label(samples, f"{PREFIX}rule_alerts_total", "rule")


def rejections(samples: Samples) -> dict[str, float]:
    """Return the rejected lines by reason."""
    return by_label(samples, f"{PREFIX}exporter_lines_rejected_total", "reason")


def resident_bytes(exporter: Exporter) -> int:
    """Return the memory of the process."""
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    return next(int(row.split()[1]) << 10 for row in status.splitlines() if row.startswith("VmRSS"))


def descriptors(exporter: Exporter) -> list[str]:
    """Return what the process holds open."""
    held = []
    for link in Path(f"/proc/{exporter.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held.append(os.readlink(link))  # noqa: PTH115  may be no path
    return held


@dataclass
class Watch:
    """What was shown so far: no counter of ours may ever show less, over restarts too."""

    shown: Samples = field(default_factory=dict)
    steps_back: list[str] = field(default_factory=list)

    def look(self, exporter: Exporter) -> Samples:
        """Scrape, and compare with all scrapes before."""
        samples = scrape(exporter)
        for key, value in samples.items():
            if key[0].startswith(PREFIX) and key[0].endswith("_total"):
                if value < self.shown.get(key, 0):
                    self.steps_back.append(f"{key[0]}{dict(key[1])}: {self.shown[key]} -> {value}")
                self.shown[key] = value
        return samples


@dataclass
class Play:
    """A case under way."""

    case: Case
    world: World
    steps: Steps
    needs: Wait = GAP
    is_over: bool = False
    failure: str = ""

    @property
    def is_stuck(self) -> bool:
        return bool(self.failure)

    def step(self) -> None:
        """Do the next step."""
        try:
            self.needs = next(self.steps)
        except StopIteration:
            self.is_over, self.needs = True, SETTLED


class Run:
    """One combination of notification, gap and kills, and what all cases came to in it."""

    def __init__(self, start: Start, folder: Path, *, is_notified: bool, gap_seconds: float, kills: Kills) -> None:
        self.watch = Watch()
        self.logs: list[Exporter] = []
        self.plays: list[Play] = []
        self._start = start
        self._folder = folder
        self._gap_seconds = gap_seconds
        self._kills = kills
        self._is_notified = is_notified

    @property
    def exporter(self) -> Exporter:
        """The one that runs now."""
        return self.logs[-1]

    def lost_bytes(self, samples: Samples) -> float:
        """Return how much of what the cases wrote is not counted."""
        return sum(play.world.lost_bytes(rules(samples)) for play in self.plays)

    @property
    def rejected(self) -> Counter[str]:
        """All lines that the cases wrote for it to reject."""
        return sum((play.world.rejected for play in self.plays), Counter())

    def play(self, cases: Iterable[Case] = CATALOGUE.cases) -> None:
        """Run all cases to their verdict."""
        for case in cases:
            folder = self._folder / case.name
            folder.mkdir()
            is_watched = self._is_notified and self._kills is Kills.NEVER and self._gap_seconds > POLL_SECONDS
            world = World(case.name, folder, self._kills, is_watched)
            self.plays.append(Play(case, world, case.script(world)))
            self.plays[-1].step()
        self._launch()
        self._settle(self._under_way())
        while playing := self._under_way():
            self._advance(playing)
            self._settle([play for play in playing if play.needs is SETTLED])
        self._judge()
        for play in self.plays:
            play.world.close()

    def _under_way(self) -> list[Play]:
        return [play for play in self.plays if not play.is_over and not play.is_stuck]

    def _advance(self, playing: list[Play]) -> None:
        """Do one step of every case; without a gap, or without an exporter, all up to where one is needed."""
        is_sleeping = self._kills in (Kills.DURING_EACH_STEP, Kills.UNTIL_SETTLED)
        at_once = self._kills is Kills.UNTIL_SETTLED or (self._kills is Kills.NEVER and not self._gap_seconds)
        if is_sleeping:
            self._kill()
        for play in playing:
            play.step()
            while at_once and play.needs is GAP:
                play.step()
        if is_sleeping:
            self._launch()
        if any(play.needs is GAP for play in playing):
            self._pause()
        if self._kills is Kills.AFTER_EACH_STEP:
            self._kill()
            self._launch()

    def _pause(self) -> None:
        if self._gap_seconds:
            for _ in polls(self._gap_seconds):
                self.watch.look(self.exporter)

    def _launch(self) -> None:
        paths = [f"--source.paths={play.world.folder / play.case.pattern}" for play in self.plays]
        settings = (*noticing(is_notified=self._is_notified), f"--state.directory={self._folder / 'state'}")
        exporter = self._start(*paths, *settings, prefix=without_root())
        self.logs.append(exporter.wait_until_ready())

    def _kill(self) -> None:
        self.exporter.process.kill()
        self.exporter.process.wait()

    def _settle(self, plays: list[Play]) -> None:
        """Wait until all that these cases wrote is counted; who is wrong when time is up has failed."""
        wrong = self._until_right(plays, _difference)
        for play in plays:
            play.failure = play.failure or wrong.get(play.case.name, "")

    def _until_right(self, plays: list[Play], differ: Callable[[Play, Samples], str]) -> dict[str, str]:
        wrong: dict[str, str] = {}
        for _ in polls(SETTLE_SECONDS, every=POLL_SECONDS):
            samples = self.watch.look(self.exporter)
            wrong = {play.case.name: text for play in plays if (text := differ(play, samples))}
            if not wrong:
                break
        return wrong

    def _judge(self) -> None:
        """Look for a while longer: a double count may come late. Then the state of the paths must be right, too."""
        standing = [play for play in self.plays if not play.failure]
        for _ in polls(1.2 * NET_SECONDS if self._is_notified else 5 * POLL_SECONDS):
            samples = self.watch.look(self.exporter)
            for play in standing:
                play.failure = play.failure or _difference(play, samples)
        wrong = self._until_right([play for play in standing if not play.failure], _state)
        for play in standing:
            play.failure = play.failure or wrong.get(play.case.name, "")


def _difference(play: Play, samples: Samples) -> str:
    return play.world.difference(rules(samples))


def _state(play: Play, samples: Samples) -> str:
    """Say what is wrong with source_up and source_lag_bytes of a case's path."""
    path = str(play.world.folder / play.case.pattern)
    labels = frozenset({("path", path)})
    if "*" in path:
        return ""
    up = samples.get((f"{PREFIX}exporter_source_up", labels))
    lag = samples.get((f"{PREFIX}exporter_source_lag_bytes", labels))
    return "" if (up, lag) == (1, 0) else f"source_up is {up}, source_lag_bytes {lag}"


def counts(exporter: Exporter, world: World, watch: Watch | None = None, *, within: float = 10) -> None:
    """Assert that before long all that was written is counted, and that it stays exact; no counter goes back."""
    watch = watch or Watch()
    look = lambda: world.difference(rules(watch.look(exporter)))  # noqa: E731
    eventually(look, lambda wrong: not wrong, within)
    always(look, lambda wrong: not wrong)
    assert not watch.steps_back

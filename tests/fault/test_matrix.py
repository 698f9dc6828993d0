"""Every case, with and without notification, with gaps and with kills between its steps.

All cases of one combination share an exporter, and start it anew together; each has a verdict of its own.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from e2e.harness import Start, by_label, eventually
from fault import identities, paths, rotations, truncations, writings
from fault.driver import POLL_SECONDS, PREFIX, RESIDENT_BYTES, Run, descriptors, rejections, resident_bytes, scrape
from fault.world import CATALOGUE, Kills

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SCRIPTS = (identities, paths, rotations, truncations, writings)  # they enter their cases when they are imported
NAMES = [case.name for case in CATALOGUE.cases]
assert len(NAMES) == len(set(NAMES))

WORKERS = 2
GAPS = (0.0, POLL_SECONDS, 2 * POLL_SECONDS)
COMBINATIONS = [
    *((is_notified, gap, Kills.NEVER) for is_notified in (True, False) for gap in GAPS),
    # A restart takes longer than any gap; what matters is whether the exporter had time to see a step before it.
    (True, 2 * POLL_SECONDS, Kills.AFTER_EACH_STEP),
    (False, 0.0, Kills.AFTER_EACH_STEP),
    # It sees no step, so it makes no difference how it would have been told.
    (False, 0.0, Kills.DURING_EACH_STEP),
    (True, 0.0, Kills.UNTIL_SETTLED),
]

Combination = tuple[bool, float, Kills]
Runs = dict[Combination, Future[Run]]


def _name(combination: Combination) -> str:
    is_notified, gap, kills = combination
    return f"{'inotify' if is_notified else 'polling'}-{gap * 1000:.0f}ms-killed-{kills.value}"


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, start_shared: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """Run the combinations that tests were chosen of, two at a time; exporters stay up until the module is over."""

    def play(combination: Combination) -> Run:
        is_notified, gap, kills = combination
        folder = tmp_path_factory.mktemp("run")
        run = Run(start_shared, folder, is_notified=is_notified, gap_seconds=gap, kills=kills)
        run.play()
        return run

    chosen = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    wanted = dict.fromkeys(spec.params["run"] for spec in chosen if spec is not None)
    with ThreadPoolExecutor(WORKERS) as pool:
        yield {combination: pool.submit(play, combination) for combination in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(params=COMBINATIONS, ids=_name, scope="module")
def run(request: pytest.FixtureRequest, runs: Runs) -> Run:
    """Return one combination, played to its end."""
    return runs[request.param].result()


@pytest.mark.parametrize("name", NAMES)
def test_every_line_on_disk_is_counted_once(run: Run, name: str) -> None:
    """The case is exact by phase: fewer are a loss, more are a double count."""
    (play,) = (play for play in run.plays if play.case.name == name)
    assert not play.failure


def test_lines_are_rejected_for_the_right_reasons(run: Run) -> None:
    """What the cases wrote to be rejected is, and nothing else."""
    assert rejections(scrape(run.exporter)) == run.rejected


def test_no_more_loss_is_told_than_there_is(run: Run) -> None:
    """Where all that was written is counted, lost_bytes_total is 0."""
    samples = scrape(run.exporter)
    told = by_label(samples, f"{PREFIX}exporter_lost_bytes_total", "reason")
    assert sum(told.values()) <= run.lost_bytes(samples), told


def test_no_counter_goes_back(run: Run) -> None:
    """No scrape shows less than one before it, over all kills."""
    assert not run.watch.steps_back


def test_memory_stays_small(run: Run) -> None:
    """Whatever was written."""
    assert resident_bytes(run.exporter) < RESIDENT_BYTES


def test_descriptors_are_given_back(run: Run) -> None:
    """When rotated files have been quiet for long enough, one file a path is open, and a few for the process."""
    most = len(run.plays) + 40
    eventually(lambda: descriptors(run.exporter), lambda held: len(held) < most and not _deleted(held), within=20)


def test_no_exporter_has_failed(run: Run) -> None:
    """None has logged a traceback, and the last one is still there."""
    assert run.exporter.process.poll() is None
    assert not any("Traceback" in exporter.stderr for exporter in run.logs)


def _deleted(held: list[str]) -> list[str]:
    return [path for path in held if path.endswith("(deleted)")]

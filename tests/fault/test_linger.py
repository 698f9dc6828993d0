"""What takes longer than a rotated file is held: pauses of eleven seconds between two steps."""

# ruff: noqa: D401  a case says what happens, as a test does

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.harness import Start
from fault.driver import Run
from fault.world import GAP, SETTLED, Catalogue, Kills, Steps, World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

LINGER_SECONDS = 11.0
CATALOGUE = Catalogue()
case = CATALOGUE.case


@case("R1")
def a_path_that_is_absent_for_long_loses_and_repeats_nothing(world: World) -> Steps:
    """Falco makes its new file only with its next alert, hours later perhaps."""
    world.write("old", 5)
    del world.expected["old"]
    yield SETTLED
    world.write("rotated", 5)
    world.rotate()
    yield GAP
    world.write("new", 5)


@case("R7", pattern="falco*")
def a_glob_whose_files_are_renamed_and_quiet_repeats_nothing(world: World) -> Steps:
    """The rotated file is closed, and still matches."""
    world.log.touch()
    yield SETTLED
    world.write("rotated", 5)
    world.rotate()
    yield GAP
    world.write("new", 5)


@case("P1")
def a_new_file_that_may_not_be_read_for_long_repeats_nothing(world: World) -> Steps:
    """The old file is closed long before the new one may be opened."""
    world.log.touch()
    yield SETTLED
    world.write("old", 5)
    world.rotate()
    world.write("new", 5)
    world.log.chmod(0)
    yield GAP
    world.log.chmod(0o600)
    world.write("new", 5)


@case("R6")
def a_file_that_is_compressed_after_it_was_closed_is_not_read_again(world: World) -> Steps:
    """Logrotate's `delaycompress`: falco.log.1 becomes falco.log.2.gz at the next rotation."""
    world.log.touch()
    yield SETTLED
    world.write("first", 5)
    world.rotate()
    world.write("second", 5)
    yield GAP
    world.rotate()
    subprocess.run(["gzip", str(world.beside(".2"))], check=True)
    world.write("third", 5)


@case("T1")
def a_copy_of_long_ago_is_not_read_again(world: World) -> Steps:
    """The copy is shifted to .2 when the next one is made."""
    world.log.touch()
    yield SETTLED
    world.write("first", 5)
    yield SETTLED
    world.copy()
    world.truncate()
    world.write("second", 5)
    yield GAP
    world.beside(".1").rename(world.beside(".2"))
    world.copy()
    world.truncate()
    world.write("third", 5)


@case("D1")
def a_folder_that_is_away_for_long_loses_and_repeats_nothing(world: World) -> Steps:
    """An unmounted volume that comes back with the same files."""
    world.log.touch()
    yield SETTLED
    world.write("before", 5)
    yield SETTLED
    world.folder.rename(world.folder.with_name(world.folder.name + ".away"))
    yield GAP
    world.folder.with_name(world.folder.name + ".away").rename(world.folder)
    world.write("after", 5)


@pytest.fixture(scope="module")
def runs(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Run]:
    """Run all cases with and without notification, side by side."""
    runs = {
        is_notified: Run(
            start_shared,
            tmp_path_factory.mktemp("linger"),
            is_notified=is_notified,
            gap_seconds=LINGER_SECONDS,
            kills=Kills.NEVER,
        )
        for is_notified in (True, False)
    }
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda run: run.play(CATALOGUE.cases), runs.values()))
    return runs


@pytest.mark.parametrize("name", [case.name for case in CATALOGUE.cases])
@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_every_line_is_counted_once_over_a_long_pause(runs: dict[bool, Run], name: str, *, is_notified: bool) -> None:
    """Rotated files are closed meanwhile, and what was read of them is still known."""
    (play,) = (play for play in runs[is_notified].plays if play.case.name == name)
    assert not play.failure


@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_no_counter_goes_back_in_a_long_pause(runs: dict[bool, Run], *, is_notified: bool) -> None:
    """No scrape shows less than one before it."""
    assert not runs[is_notified].watch.steps_back

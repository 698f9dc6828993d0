"""Loss that nobody can prevent is told in bytes, neither more nor less."""

import os
from collections.abc import Callable

import pytest

from e2e.harness import Exporter, always, append, by_label, eventually
from fault.conftest import Follow
from fault.driver import PREFIX, Watch, counts, rejections, rules, scrape
from fault.world import World, lines

pytestmark = pytest.mark.e2e

BACKLOG = 150_000  # lines, about 100 MB: they take a good part of a second to read


def lost(exporter: Exporter) -> dict[str, float]:
    """Return the lost bytes by reason."""
    return by_label(scrape(exporter), f"{PREFIX}exporter_lost_bytes_total", "reason")


def _counted(exporter: Exporter) -> float:
    return sum(rules(scrape(exporter)).values())


def _give_backlog(world: World, exporter: Exporter) -> None:
    """Put a file with many lines in the log's place at once; return while it is being read."""
    made = world.folder / "made-elsewhere"
    made.write_bytes(world.make("backlog", BACKLOG))
    made.rename(world.log)
    eventually(lambda: _counted(exporter), bool)


def _is_told_exactly(exporter: Exporter, world: World, reason: str) -> None:
    """Assert that what is counted and what is lost are together what was written."""

    def told() -> tuple[float, dict[str, float]]:
        samples = scrape(exporter)
        return world.lost_bytes(rules(samples)), by_label(samples, f"{PREFIX}exporter_lost_bytes_total", "reason")

    world.perished["backlog"] = BACKLOG
    eventually(told, lambda seen: 0 < seen[0] == seen[1].get(reason), within=5)
    always(told, lambda seen: seen[1] == {reason: seen[0]})


def test_a_backlog_that_is_truncated_is_told_in_bytes(follow: Follow, world: World) -> None:
    """T2: no copy is left; what was read and what was lost make up the file."""
    exporter = follow(world.log)
    _give_backlog(world, exporter)
    world.truncate()
    _is_told_exactly(exporter, world, "truncated")
    assert world.sizes["backlog"] < lost(exporter)["truncated"]


def test_a_backlog_that_is_truncated_while_down_is_told_in_bytes(follow: Follow, world: World) -> None:
    """T2: the checkpoint knows how long the file was."""
    exporter = follow(world.log)
    _give_backlog(world, exporter)
    exporter.process.kill()
    exporter.process.wait()
    world.truncate()
    _is_told_exactly(follow(world.log), world, "truncated")


def test_a_backlog_that_is_removed_while_down_is_told_in_bytes(follow: Follow, world: World) -> None:
    """I5: the file was known to hold more than was read, and it is nowhere any more; told once."""
    exporter = follow(world.log)
    _give_backlog(world, exporter)
    exporter.process.kill()
    exporter.process.wait()
    world.log.unlink()
    exporter = follow(world.log)
    _is_told_exactly(exporter, world, "gone")
    exporter.process.kill()
    exporter.process.wait()
    _is_told_exactly(follow(world.log), world, "gone")


def test_a_backlog_of_a_deleted_file_is_no_loss_for_who_holds_it(follow: Follow, world: World) -> None:
    """I5: the name is gone, the bytes are not."""
    exporter = follow(world.log)
    _give_backlog(world, exporter)
    world.log.unlink()
    counts(exporter, world)
    assert lost(exporter) == {}


@pytest.mark.parametrize("count", [20, 45], ids=["same-size", "larger"])
def test_a_rewritten_file_that_had_been_read_is_no_loss(follow: Follow, world: World, count: int) -> None:
    """T3, T4: all that stood in it before was counted; what is new in it was not lost."""
    exporter = follow(world.log)
    world.write("old", 20)
    counts(exporter, world)
    world.log.write_bytes(world.make("new", count))
    counts(exporter, world)
    assert lost(exporter) == {}


def _replace_by_new(world: World) -> None:
    world.rotate()
    world.write("new", 2)


def _copy_and_truncate(world: World) -> None:
    world.copy()
    world.truncate()
    world.write("new", 2)


@pytest.mark.parametrize("rotate", [_replace_by_new, _copy_and_truncate])
@pytest.mark.parametrize("is_killed", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize("pattern", ["falco.log", "falco.log*"])
def test_a_backlog_that_is_rotated_away_is_no_loss(
    follow: Follow, world: World, rotate: Callable[[World], None], pattern: str, *, is_killed: bool
) -> None:
    """T2, R5: what is still on disk is counted, and no loss is told; a glob may match what it was rotated to."""
    watch = Watch()
    exporter = follow(world.folder / pattern)
    _give_backlog(world, exporter)
    if is_killed:
        exporter.process.kill()
        exporter.process.wait()
    rotate(world)
    if is_killed:
        exporter = follow(world.folder / pattern)
    counts(exporter, world, watch, within=20)
    assert lost(exporter) == {}


def test_an_unfinished_line_of_a_rotated_file_is_told_when_the_file_is_closed(follow: Follow, world: World) -> None:
    """L4: the rest of the line stands in the new file: two fragments, never glued, and no line after them is harmed."""
    watch = Watch()
    exporter = follow(world.log)
    torn = lines("torn", 1)
    world.write("old", 2)
    append(world.log, torn[:100])
    world.rotate()
    append(world.log, torn[100:])
    world.write("new", 2)
    counts(exporter, world, watch)
    eventually(lambda: lost(exporter), lambda seen: seen == {"unfinished": 100}, within=15)
    remainder = rejections(scrape(exporter))
    assert remainder.pop("unfinished") == 1
    assert sum(remainder.values()) <= 1  # the rest begins with no brace: noise or bad JSON
    assert os.path.getsize(world.beside(".1")) > 100  # noqa: PTH202
    counts(exporter, world, watch)

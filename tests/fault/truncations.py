"""Truncation in all its forms: cases T of the catalogue."""

# ruff: noqa: D401  a case says what happens, as a test does

import os

from fault.world import GAP, SETTLED, Steps, World, case

LIMIT_BYTES = 1 << 20  # of a line, by default


def _rewrite(world: World, rule: str, count: int) -> None:
    world.log.write_bytes(world.make(rule, count))  # O_TRUNC and one write


@case("T1")
def copytruncate_when_caught_up_loses_nothing(world: World) -> Steps:
    """Copied, truncated, and written on to through the same descriptor."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 40, to=falco)
    yield SETTLED
    world.copy()
    yield GAP
    world.truncate()
    yield GAP
    world.write("after", 15, to=falco)
    yield GAP
    world.write("after", 50, to=falco)


def _backlog(world: World, after: int) -> Steps:
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 40, to=falco)
    yield SETTLED
    world.write("backlog", 12, to=falco)
    yield GAP
    world.copy()
    yield GAP
    world.truncate()
    yield GAP
    world.write("after", after, to=falco)


@case("T2")
def copytruncate_with_a_backlog_loses_nothing_of_the_copy(world: World) -> Steps:
    """What was not read before the truncation is read in the copy."""
    yield from _backlog(world, 5)


@case("T2")
def copytruncate_with_a_backlog_and_a_fast_writer_loses_nothing_of_the_copy(world: World) -> Steps:
    """The file is longer than before when somebody looks again."""
    yield from _backlog(world, 80)


@case("T2")
def copytruncate_twice_with_backlogs_loses_nothing_of_the_copies(world: World) -> Steps:
    """Two generations of copies, of which the first has moved on to .2."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 40, to=falco)
    yield SETTLED
    for generation in range(2):
        world.write(f"backlog {generation}", 12 + generation, to=falco)
        yield GAP
        if world.beside(".1").exists():
            world.beside(".1").rename(world.beside(".2"))
        world.copy()
        world.truncate()
        yield GAP
    world.write("after", 5, to=falco)


@case("T2")
def copytruncate_with_a_backlog_to_a_dated_name_loses_nothing_of_the_copy(world: World) -> Steps:
    """Logrotate's `dateext`: falco.log-20261123."""
    world.log.touch()
    yield SETTLED
    world.write("before", 40)
    yield SETTLED
    world.write("backlog", 12)
    world.copy(world.beside("-20261123"))
    world.truncate()
    yield GAP
    world.write("after", 8)


@case("T2")
def copytruncate_of_a_file_that_was_never_read_loses_nothing_of_the_copy(world: World) -> Steps:
    """Nothing is known of the file but that it was empty, so nothing tells a truncation but the copy."""
    world.log.touch()
    yield SETTLED
    for generation in (2, 1):
        world.write(f"copied {generation}", 10 + generation)
        world.copy(world.beside(f".{generation}"))
        world.truncate()
    world.write("after", 5)
    yield GAP
    world.write("after", 3)


@case("T2")
def two_copies_of_one_backlog_count_once(world: World) -> Steps:
    """Neither is known yet when both are met."""
    world.log.touch()
    yield SETTLED
    world.write("backlog", 5)
    world.copy(world.beside(".2"))
    world.copy(world.beside(".1"))
    world.truncate()
    yield GAP
    world.write("after", 3)


@case("T2")
def a_copy_that_is_removed_after_the_truncation_costs_nothing(world: World) -> Steps:
    """All its lines were counted from the original."""
    world.log.touch()
    yield SETTLED
    world.write("before", 14)
    yield SETTLED
    world.copy()
    world.truncate()
    yield GAP
    world.beside(".1").unlink()
    yield GAP
    world.write("after", 3)


@case("T2")
def a_truncation_without_a_copy_costs_no_more_than_its_backlog(world: World) -> Steps:
    """Lines that are nowhere any more may be missing; all others are exact."""
    world.log.touch()
    yield SETTLED
    world.write("before", 40)
    yield SETTLED
    world.write("backlog", 12)
    world.perished["backlog"] += 12
    yield GAP
    world.truncate()
    yield GAP
    world.write("after", 5)


@case("T3")
def a_file_that_is_rewritten_to_the_same_size_is_read_again(world: World) -> Steps:
    """Its content tells."""
    world.log.touch()
    yield SETTLED
    world.write("aaa", 20)
    yield SETTLED
    _rewrite(world, "bbb", 20)
    yield SETTLED
    _rewrite(world, "ccc", 20)
    yield GAP
    world.write("ddd", 3)


@case("T4")
def a_file_that_is_rewritten_larger_is_read_from_its_start(world: World) -> Steps:
    """Not from the middle of a line at the old offset."""
    world.log.touch()
    yield SETTLED
    world.write("old", 20)
    yield SETTLED
    _rewrite(world, "new", 45)
    yield GAP
    world.write("new", 5)


@case("T4")
def a_file_that_is_rewritten_smaller_is_read_from_its_start(world: World) -> Steps:
    """It is shorter than the offset, however fast it grows afterwards."""
    world.log.touch()
    yield SETTLED
    world.write("old", 20)
    yield SETTLED
    _rewrite(world, "new", 5)
    yield GAP
    world.write("new", 30)


def _hole(world: World, hole_bytes: int) -> Steps:
    world.log.touch()
    falco = world.open(flags=0)
    yield SETTLED
    world.write("before", 20, to=falco)
    if hole_bytes:
        os.write(falco, b"no alert" * (hole_bytes // 8) + b"\n")
        world.rejected["oversize"] += 1
        world.write("before", 1, to=falco)  # settled is what is counted: so the long line, too
    yield SETTLED
    world.truncate()
    yield GAP
    world.write("after", 2, to=falco)
    yield GAP
    world.write("after", 3, to=falco)


@case("T5")
def the_hole_before_a_writer_that_keeps_its_offset_costs_no_line(world: World) -> Steps:
    """Without O_APPEND the file begins with NUL bytes after a truncation."""
    yield from _hole(world, 0)


@case("T5")
def a_hole_that_is_longer_than_a_line_may_be_costs_no_line(world: World) -> Steps:
    """The run of NUL bytes is no oversize line."""
    yield from _hole(world, 3 * LIMIT_BYTES)


@case("T6")
def a_file_that_is_truncated_and_stays_empty_is_no_error(world: World) -> Steps:
    """Nothing is counted, nothing is lost, and it goes on when it grows."""
    world.log.touch()
    yield SETTLED
    world.write("before", 20)
    yield SETTLED
    world.truncate()
    yield GAP
    yield GAP
    yield SETTLED
    world.write("after", 3)


@case("T7")
def a_file_that_is_cut_in_the_middle_loses_nothing(world: World) -> Steps:
    """It is begun anew, as every tailer does: the part that stayed may be counted a second time."""
    world.log.touch()
    yield SETTLED
    world.write("before", 20)
    yield SETTLED
    world.truncate(world.log.stat().st_size // 2)
    world.repeated["before"] += 10
    yield GAP
    world.write("after", 30)

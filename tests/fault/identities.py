"""Which file is which, and who may read it: cases I and P of the catalogue."""

# ruff: noqa: D401  a case says what happens, as a test does

import os

from fault.world import GAP, SETTLED, Kills, Steps, World, case

TRIES = 200


def _make_with_inode(world: World, inode: int) -> None:
    """Make the log until it has that inode again; give up where the file system never hands one out twice."""
    others = []
    for number in range(TRIES):
        world.log.touch()
        if world.log.stat().st_ino == inode:
            break
        others.append(world.folder / f"other-{number}")
        world.log.rename(others[-1])
    world.log.touch()
    for other in others:
        other.unlink()


def _recreate(world: World, count: int) -> Steps:
    world.log.touch()
    yield SETTLED
    world.write("old", 20)
    yield SETTLED
    inode = world.log.stat().st_ino
    world.log.unlink()
    yield GAP
    _make_with_inode(world, inode)
    world.write("new", count)
    yield GAP
    world.write("new", 2)


@case("I1")
def a_recreated_file_with_the_same_inode_is_a_new_file(world: World) -> Steps:
    """It is shorter than the old one was."""
    yield from _recreate(world, 5)


@case("I1")
def a_recreated_file_of_the_same_inode_and_size_is_a_new_file(world: World) -> Steps:
    """Only the content tells."""
    yield from _recreate(world, 20)


@case("I1")
def a_recreated_file_with_the_same_inode_that_is_larger_is_a_new_file(world: World) -> Steps:
    """The old offset is in the middle of it."""
    yield from _recreate(world, 45)


@case("I2", pattern="falco*.log")
def files_that_begin_alike_are_all_followed(world: World) -> Steps:
    """The same banner of 3 KiB is no identity; neither is being empty."""
    banner = b"Mon Nov 23 04:56:10 2026: Falco version: 0.44.1 (x86_64)\n" * 55
    one, two, empty = (world.folder / f"falco-{name}.log" for name in ("one", "two", "empty"))
    one.touch()
    empty.touch()
    yield SETTLED
    one.write_bytes(banner)
    world.write("one", 3, to=one)
    yield GAP
    two.write_bytes(banner)
    world.write("two", 4, to=two)
    yield GAP
    world.write("empty", 5, to=empty)
    world.write("one", 1, to=one)


@case("I3")
def a_file_that_is_tiny_at_first_sight_stays_the_same_file(world: World) -> Steps:
    """Ten bytes have no identity yet; it grows with the file."""
    world.log.touch()
    yield SETTLED
    whole = world.make("slow")
    os.write(world.open(), whole[:10])
    yield GAP
    os.write(world.open(), whole[10:])
    yield GAP
    world.rotate()
    world.write("new", 1)
    yield GAP
    world.write("new", 30)


@case("I4")
def an_atomic_replacement_with_the_same_content_is_gone_on_with(world: World) -> Steps:
    """Editors and rsync write another file and rename it over the log."""
    world.log.touch()
    yield SETTLED
    world.write("before", 20)
    yield SETTLED
    world.copy(world.folder / "copy")
    (world.folder / "copy").rename(world.log)
    yield GAP
    world.write("after", 5)


@case("I4")
def an_atomic_replacement_by_a_copy_with_a_backlog_loses_no_line(world: World) -> Steps:
    """The copy has what was not read of the file that it replaces."""
    world.log.touch()
    yield SETTLED
    world.write("before", 20)
    yield SETTLED
    world.write("backlog", 6)
    world.copy(world.folder / "copy")
    (world.folder / "copy").rename(world.log)
    yield GAP
    world.write("after", 5)


@case("I5")
def a_deleted_file_that_is_written_to_is_read_on(world: World) -> Steps:
    """It is there as long as somebody holds it; a kill of the exporter lets go of it."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 10, to=falco)
    yield SETTLED
    world.log.unlink()
    world.write("deleted", 5, to=falco)
    yield GAP
    world.write("deleted", 5, to=falco)
    if world.kills is not Kills.NEVER:
        world.perished["deleted"] += 10
    yield GAP
    world.write("new", 7)


@case("I5")
def a_file_that_is_moved_away_and_back_is_the_same_file(world: World) -> Steps:
    """Renamed, written to, renamed back, written to."""
    world.log.touch()
    yield SETTLED
    world.write("before", 10)
    yield SETTLED
    away = world.beside(".away")
    world.log.rename(away)
    yield GAP
    world.write("away", 2, to=away)
    yield GAP
    away.rename(world.log)
    yield GAP
    world.write("back", 3)


@case("I5")
def two_files_that_change_their_names_are_both_known(world: World) -> Steps:
    """The log becomes .1, and what was .1 becomes the log again: nothing is new but what was written."""
    world.log.touch()
    yield SETTLED
    world.write("first", 10)
    yield SETTLED
    world.rotate()
    world.write("second", 10)
    yield SETTLED
    world.log.rename(world.beside(".swap"))
    world.beside(".1").rename(world.log)
    world.beside(".swap").rename(world.beside(".1"))
    yield GAP
    world.write("first", 5)


@case("P1")
def a_permission_that_is_lost_and_regained_costs_no_line(world: World) -> Steps:
    """The held file is read on; a restart waits and goes on from where it was."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 10, to=falco)
    yield SETTLED
    world.log.chmod(0)
    world.write("during", 5, to=falco)
    yield GAP
    world.write("during", 5, to=falco)
    yield GAP
    world.log.chmod(0o600)
    yield GAP
    world.write("after", 5, to=falco)


@case("P1")
def a_new_file_that_may_not_be_read_yet_is_read_from_its_start(world: World) -> Steps:
    """Root rotates, and the new file gets its group a moment later."""
    world.log.touch()
    yield SETTLED
    world.write("old", 10)
    yield SETTLED
    world.write("old", 5)
    world.rotate()
    falco = world.open()
    world.log.chmod(0)
    world.write("new", 3, to=falco)
    yield GAP
    world.write("new", 3, to=falco)
    yield GAP
    world.log.chmod(0o600)
    yield GAP
    world.write("new", 3, to=falco)


@case("P1")
def a_folder_that_may_not_be_searched_for_a_while_costs_no_line(world: World) -> Steps:
    """Not being able to look at the path is not the file being gone."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 10, to=falco)
    yield SETTLED
    world.folder.chmod(0)
    world.write("during", 5, to=falco)
    yield GAP
    world.folder.chmod(0o700)
    yield GAP
    world.write("after", 5, to=falco)


@case("P1", pattern="falco*.log")
def a_folder_of_a_glob_that_may_not_be_read_for_a_while_costs_no_line(world: World) -> Steps:
    """A glob that matches nothing for want of a permission has not lost its files."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 10, to=falco)
    yield SETTLED
    world.folder.chmod(0)
    world.write("during", 5, to=falco)
    yield GAP
    world.folder.chmod(0o700)
    yield GAP
    world.write("after", 5, to=falco)


@case("I2", pattern="falco*.log")
def a_hard_link_that_comes_late_is_the_same_file(world: World) -> Steps:
    """A second name is no second file."""
    world.log.touch()
    yield SETTLED
    world.write("once", 10)
    yield SETTLED
    (world.folder / "falco-link.log").hardlink_to(world.log)
    yield GAP
    world.write("once", 5)

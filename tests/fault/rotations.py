"""Rotation by rename, by copy and by compression: cases R of the catalogue."""

# ruff: noqa: D401  a case says what happens, as a test does

import subprocess

from e2e.harness import append
from fault.world import GAP, SETTLED, Steps, World, case


@case("R1")
def a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start(world: World) -> Steps:
    """Logrotate with `create`: rename, make, go on."""
    world.log.touch()
    yield SETTLED
    world.write("old", 50)
    yield GAP
    world.log.rename(world.beside(".1"))
    world.log.touch()
    yield GAP
    world.write("new", 30)
    yield GAP
    world.write("new", 20)


@case("R1")
def a_path_that_is_absent_for_a_while_loses_nothing(world: World) -> Steps:
    """Falco makes its file only when it writes next."""
    world.log.touch()
    yield SETTLED
    world.write("old", 50)
    yield SETTLED
    world.write("old", 5)
    world.log.rename(world.beside(".1"))
    yield GAP
    yield GAP
    world.write("new", 30)


@case("R2")
def a_late_writer_to_a_renamed_file_is_heard(world: World) -> Steps:
    """Falco keeps its file open after the rotation until it gets a signal."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("old", 10, to=falco)
    yield GAP
    world.log.rename(world.beside(".1"))
    world.log.touch()
    yield GAP
    world.write("late", 20, to=falco)
    yield GAP
    world.write("new", 5)
    world.write("later", 2, to=falco)


@case("R2")
def a_writer_that_is_late_by_two_rotations_is_heard(world: World) -> Steps:
    """Three files of one path are written to in turn."""
    world.log.touch()
    first = world.open()
    yield SETTLED
    world.rotate()
    second = world.open()
    world.write("first", 3, to=first)
    yield GAP
    world.write("second", 4, to=second)
    world.rotate()
    world.log.touch()
    yield GAP
    for writer, rule in ((first, "first"), (second, "second")):
        world.write(rule, 5, to=writer)
    world.write("third", 6)
    yield GAP
    world.write("first", 7, to=first)


@case("R3")
def two_rotations_lose_nothing_that_is_on_disk(world: World) -> Steps:
    """The file in between was under the path only for a moment."""
    world.log.touch()
    yield SETTLED
    world.write("first", 10)
    yield SETTLED
    world.write("first", 5)
    yield GAP
    world.rotate()
    world.write("second", 10)
    yield GAP
    world.rotate()
    world.write("third", 10)


@case("R4")
def a_rotation_storm_is_exact_for_all_that_is_still_there(world: World) -> Steps:
    """Six generations, of which four stay; who watches has them all, who slept has the last four."""
    world.log.touch()
    yield SETTLED
    for generation in range(6):
        rule = f"generation {generation}"
        world.write(rule, 100)
        world.rotate(keep=4)
        if generation < 2 and not world.is_watched:  # nobody had to look in time
            world.perished[rule] += 100
        yield GAP
    world.write("last", 10)


@case("R5")
def a_backlog_and_a_rotation_are_taken_up_where_they_were_left(world: World) -> Steps:
    """Counted, written, rotated, written: the classic night of a restart."""
    world.log.touch()
    yield SETTLED
    world.write("old", 100)
    yield SETTLED
    world.write("backlog", 100)
    yield GAP
    world.rotate()
    yield GAP
    world.write("new", 50)


@case("R6")
def a_rotated_file_that_is_compressed_is_read_on_once(world: World) -> Steps:
    """What was not read before gzip is read in the .gz, from where the plain file was left."""
    world.log.touch()
    yield SETTLED
    world.write("old", 40)
    yield SETTLED
    world.write("old", 15)
    yield GAP
    world.rotate()
    world.write("new", 10)
    yield GAP
    subprocess.run(["gzip", str(world.beside(".1"))], check=True)
    yield GAP
    world.write("new", 10)


@case("R6", pattern="falco*")
def a_compressed_file_within_a_glob_is_not_counted_again(world: World) -> Steps:
    """The pattern matches the .gz too; all of it was counted before."""
    world.log.touch()
    yield SETTLED
    world.write("old", 40)
    yield SETTLED
    world.rotate()
    yield GAP
    subprocess.run(["gzip", str(world.beside(".1"))], check=True)
    world.write("new", 10)


@case("R7", pattern="falco*")
def a_rotated_name_that_matches_the_glob_is_no_new_file(world: World) -> Steps:
    """The same file goes on under its other name."""
    world.log.touch()
    yield SETTLED
    world.write("old", 25)
    yield SETTLED
    world.write("old", 25)
    yield GAP
    world.rotate()
    yield GAP
    world.write("new", 20)
    world.write("late", 5, to=world.beside(".1"))


@case("R7", pattern="falco*")
def a_copy_that_matches_the_glob_is_no_new_file(world: World) -> Steps:
    """Copytruncate leaves a copy of lines that were counted already."""
    world.log.touch()
    yield SETTLED
    world.write("old", 25)
    yield SETTLED
    world.copy()
    yield GAP
    world.truncate()
    yield GAP
    world.write("new", 20)


@case("R7", pattern="falco*.log")
def a_rotated_name_that_keeps_its_extension_is_no_new_file(world: World) -> Steps:
    """Logrotate's `extension .log` with `dateext`: falco-20261123.log, by rename and then by copy."""
    world.log.touch()
    yield SETTLED
    world.write("first", 25)
    yield SETTLED
    world.log.rename(world.folder / "falco-20261123.log")
    world.write("second", 20)
    yield SETTLED
    world.copy(world.folder / "falco-20261124.log")
    world.truncate()
    yield GAP
    world.write("third", 10)


@case("R3")
def a_generation_whose_name_keeps_its_extension_is_found(world: World) -> Steps:
    """The same names, where the pattern is the log alone and its file came and went."""
    world.log.touch()
    yield SETTLED
    world.write("first", 10)
    yield SETTLED
    world.log.rename(world.folder / "falco-20261123.log")
    world.write("second", 10)
    world.log.rename(world.folder / "falco-20261124.log")
    yield GAP
    world.write("third", 10)


@case("R7", pattern="falco*")
def a_copy_that_is_seen_half_made_is_no_new_file(world: World) -> Steps:
    """A large log takes a while to copy; it is truncated when that is done."""
    world.log.touch()
    yield SETTLED
    world.write("old", 25)
    yield SETTLED
    content = world.log.read_bytes()
    for piece in (content[: len(content) // 2], content[len(content) // 2 :]):
        append(world.beside(".1"), piece)
        yield GAP
    world.truncate()
    yield GAP
    world.write("new", 20)


@case("R7", pattern="falco*")
def a_copy_that_is_seen_to_end_within_a_long_line_is_no_new_file(world: World) -> Steps:
    """A command line may fill most of a line; the end of the last whole one is far before the end of the copy then."""
    world.log.touch()
    yield SETTLED
    world.write("old", 25)
    append(world.log, world.make("long", 1, output="x" * 200_000))
    world.write("old", 5)
    yield SETTLED
    content = world.log.read_bytes()
    within = content.index(b"x" * 1000) + 100_000
    for piece in (content[:within], content[within:]):
        append(world.beside(".1"), piece)
        yield GAP
    world.truncate()
    yield GAP
    world.write("new", 20)

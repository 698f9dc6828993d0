"""What is under a path: links, folders, devices, nothing yet: cases S, D and A of the catalogue."""

# ruff: noqa: D401  a case says what happens, as a test does

import os

from fault.world import GAP, SETTLED, Steps, World, case


@case("S1")
def a_symlink_swap_finishes_the_old_target_and_starts_the_new_one(world: World) -> Steps:
    """The kubelet points the link at the next file."""
    first, second, swap = (world.folder / name for name in ("0.log", "1.log", "swap"))
    first.touch()
    world.log.symlink_to(first)
    yield SETTLED
    world.write("first", 10, to=first)
    yield SETTLED
    world.write("first", 5, to=first)
    yield GAP
    world.write("second", 10, to=second)
    swap.symlink_to(second)
    swap.rename(world.log)
    yield GAP
    world.write("second", 5, to=second)


@case("S2")
def a_rotation_behind_a_symlink_loses_nothing(world: World) -> Steps:
    """The link stays as it is; its target, in another folder, is renamed and made anew."""
    pod = world.folder / "pod"
    pod.mkdir()
    target = pod / "0.log"
    target.touch()
    world.log.symlink_to(target)
    yield SETTLED
    world.write("first", 10, to=target)
    yield SETTLED
    world.write("first", 3, to=target)
    yield GAP
    target.rename(pod / "0.log.20261123-045611")
    yield GAP
    world.write("second", 10, to=target)


@case("S3")
def a_dangling_symlink_is_followed_once_it_leads_somewhere(world: World) -> Steps:
    """A link to nothing is a file that is not there yet."""
    target = world.folder / "target"
    world.log.symlink_to(target)
    yield GAP
    world.write("first", 7, to=target)
    yield GAP
    world.write("first", 3, to=target)


@case("S3")
def a_symlink_loop_is_waited_for(world: World) -> Steps:
    """ELOOP is the state of a path, not the end of anything."""
    other = world.folder / "other"
    other.symlink_to(world.log)
    world.log.symlink_to(other)
    yield GAP
    world.log.unlink()
    yield GAP
    world.write("first", 7)


@case("D1")
def a_folder_that_is_renamed_and_made_anew_loses_nothing(world: World) -> Steps:
    """The path counts, not the folder that once was behind it."""
    world.log.touch()
    yield SETTLED
    world.write("old", 10)
    yield SETTLED
    world.folder.rename(world.folder.with_name(world.folder.name + ".moved"))
    yield GAP
    world.folder.mkdir()
    yield GAP
    world.write("new", 10)
    yield GAP
    world.write("new", 5)


@case("D1", pattern="deep/er/falco.log")
def a_folder_of_the_path_that_comes_late_or_anew_is_looked_into(world: World) -> Steps:
    """No folder is there at the start; then it comes, goes with its parent, and comes again."""
    deep = world.folder / "deep" / "er"
    yield GAP
    deep.mkdir(parents=True)
    yield GAP
    world.write("first", 10, to=deep / "falco.log")
    yield SETTLED
    deep.parent.rename(world.folder / "away")
    deep.mkdir(parents=True)
    world.write("second", 5, to=deep / "falco.log")
    yield GAP
    world.write("second", 5, to=deep / "falco.log")


@case("D2")
def a_folder_in_place_of_the_file_is_waited_out(world: World) -> Steps:
    """EISDIR until it is a file."""
    world.log.mkdir()
    yield GAP
    world.log.rmdir()
    yield GAP
    world.write("first", 4)


@case("D2")
def a_device_in_place_of_the_file_is_waited_out(world: World) -> Steps:
    """A link to /dev/null is not read, and what comes after it is."""
    world.log.symlink_to(os.devnull)
    yield GAP
    world.log.unlink()
    world.write("first", 4)


@case("A1")
def a_file_that_is_born_with_content_is_read_from_its_start(world: World) -> Steps:
    """It appears in one moment, by a rename, with lines in it."""
    yield GAP
    world.write("first", 20, to=world.folder / "made-elsewhere")
    (world.folder / "made-elsewhere").rename(world.log)
    yield GAP
    world.write("first", 5)


@case("A1", pattern="*/falco*.log")
def files_of_a_glob_that_are_born_late_are_read_from_their_start(world: World) -> Steps:
    """The folder is new, too."""
    yield GAP
    (world.folder / "a").mkdir()
    world.write("first", 7, to=world.folder / "a" / "falco-1.log")
    yield GAP
    world.write("second", 5, to=world.folder / "a" / "falco-2.log")
    yield GAP
    world.write("first", 2, to=world.folder / "a" / "falco-1.log")


@case("A2")
def alerts_from_before_the_first_start_are_not_counted(world: World) -> Steps:
    """Only growth counts."""
    world.write("before", 30)
    del world.expected["before"]
    yield GAP
    world.write("after", 5)
    yield GAP
    world.rotate()
    world.write("after", 5)

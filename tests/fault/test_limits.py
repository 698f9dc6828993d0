"""Many files, few descriptors, few watches, and writers that do not share: cases N and L7 of the catalogue."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import Exporter, eventually, polls
from fault.conftest import Follow
from fault.driver import RESIDENT_BYTES, Watch, counts, descriptors, rejections, resident_bytes, rules, scrape
from fault.world import World

pytestmark = pytest.mark.e2e

MOST_IDLE_CORE = 0.1
FEW_DESCRIPTORS = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
# A user name space has limits of its own, so nobody else is harmed.
_LIMITED = 'echo {} >/proc/sys/user/{}; exec "$@"'


def _with(limit: str) -> tuple[str, ...]:
    name, _, most = limit.partition("=")
    return ("unshare", "--user", "--map-root-user", "sh", "-c", _LIMITED.format(most, name), "sh")


def _cpu_seconds(exporter: Exporter) -> float:
    fields = Path(f"/proc/{exporter.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _files(world: World, count: int) -> list[Path]:
    return [world.folder / f"falco-{number:04}.log" for number in range(count)]


@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_a_thousand_files_are_served_at_little_cost(follow: Follow, world: World, *, is_notified: bool) -> None:
    """N1: exact, in little memory, with the CPU at rest when nothing happens."""
    watch, files = Watch(), _files(world, 1000)
    for file in files[:500]:
        file.touch()
    options = ["--source.poll-interval=1s"]
    exporter = follow(world.folder / "falco-*.log", is_notified=is_notified, options=options)
    for file in files:
        world.write("first", 1, to=file)
    counts(exporter, world, watch)
    for file in files:
        world.write("second", 2, to=file)
    counts(exporter, world, watch)

    before, since = _cpu_seconds(exporter), time.monotonic()
    for _ in polls(2, every=2):
        pass
    assert _cpu_seconds(exporter) - before < MOST_IDLE_CORE * (time.monotonic() - since)
    assert resident_bytes(exporter) < RESIDENT_BYTES
    assert sum("inotify" in path for path in descriptors(exporter)) == is_notified


@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_more_files_than_descriptors_are_served_in_turn(follow: Follow, world: World, *, is_notified: bool) -> None:
    """N2: 120 files and 64 descriptors; nothing from before the start is counted, all later lines are."""
    watch, files = Watch(), _files(world, 120)
    for file in files:
        world.write("before", 1, to=file)
    world.expected.clear()
    pattern = world.folder / "falco-*.log"
    exporter = follow(pattern, is_notified=is_notified, prefix=FEW_DESCRIPTORS)
    for rule in ("first", "second"):
        for file in files:
            world.write(rule, 2, to=file)
        counts(exporter, world, watch, within=20)
    for file in files[:60]:
        world.write("old", 1, to=file)
        file.rename(file.with_name(file.name + ".1"))
        world.write("new", 1, to=file)
    for file in files[60:80]:
        world.write("copied", 1, to=file)
        shutil.copyfile(file, file.with_name(file.name + ".1"))
        os.truncate(file, 0)
        world.write("after", 1, to=file)
    counts(exporter, world, watch, within=20)
    assert len(descriptors(exporter)) <= 64
    exporter.process.kill()
    exporter.process.wait()

    for file in files:
        world.write("down", 2, to=file)
    exporter = follow(pattern, is_notified=is_notified, prefix=FEW_DESCRIPTORS)
    counts(exporter, world, watch, within=20)


@pytest.mark.parametrize("limit", ["max_inotify_instances=0", "max_inotify_watches=0", "max_inotify_watches=1"])
def test_without_inotify_there_is_polling(follow: Follow, world: World, limit: str) -> None:
    """N3: the kernel refuses all, or files alone; a series and one log line say so, and every line is counted."""
    watch = Watch()
    exporter = follow(world.log, is_notified=True, prefix=_with(limit))
    world.write("first", 5)
    counts(exporter, world, watch)
    world.rotate()
    world.write("second", 5)
    counts(exporter, world, watch)

    assert exporter.total("exporter_inotify_up") == 0
    assert len([row for row in exporter.stderr.splitlines() if "the kernel cannot tell" in row]) == 1


def test_a_folder_that_cannot_be_watched_is_said_though_it_is_empty(follow: Follow, world: World) -> None:
    """N3: there is no file yet of which the kernel could refuse to tell."""
    world.log.unlink()
    exporter = follow(world.log, is_notified=True, prefix=_with("max_inotify_watches=0"))
    assert exporter.total("exporter_inotify_up") == 0


@pytest.mark.parametrize("is_notified", [True, False])
def test_a_series_tells_whether_the_kernel_tells(follow: Follow, world: World, *, is_notified: bool) -> None:
    """inotify_up is 1 with inotify, and 0 when it is switched off."""
    assert follow(world.log, is_notified=is_notified).total("exporter_inotify_up") == is_notified


@pytest.fixture
def slow_net(follow: Follow, world: World) -> Exporter:
    """Start an exporter that looks by itself only every minute."""
    paths = [world.log, world.folder / "*" / "falco*.log"]
    return follow(*paths, is_notified=True, options=["--source.poll-interval=60s"])


def test_what_the_kernel_tells_is_counted_long_before_the_next_look(slow_net: Exporter, world: World) -> None:
    """N4, the other way round: growth, rotations, truncation and new folders need no poll."""
    watch = Watch()
    world.write("growth", 3)
    counts(slow_net, world, watch)
    world.write("rotated", 3)
    world.rotate()
    world.write("new", 3)
    counts(slow_net, world, watch)
    world.write("late", 3, to=world.beside(".1"))
    counts(slow_net, world, watch)
    world.copy(world.beside(".2"))
    world.truncate()
    world.write("after", 3)
    counts(slow_net, world, watch)
    (world.folder / "made").mkdir()
    world.write("in a new folder", 3, to=world.folder / "made" / "falco-1.log")
    counts(slow_net, world, watch)
    world.write("in a new folder", 3, to=world.folder / "made" / "falco-1.log")
    counts(slow_net, world, watch)
    (world.folder / "made" / "falco-1.log").rename(world.folder / "made" / "falco-2.log")
    world.write("under another name", 3, to=world.folder / "made" / "falco-2.log")
    counts(slow_net, world, watch)


def test_a_folder_that_was_seen_empty_is_watched(follow: Follow, world: World) -> None:
    """N4: what is made in it later is told, though there is no other file."""
    world.log.unlink()
    exporter = follow(world.folder / "*" / "falco*.log", is_notified=True, options=["--source.poll-interval=60s"])
    (world.folder / "made").mkdir()
    for _ in polls(0.5, every=0.5):
        pass
    world.write("in a new folder", 3, to=world.folder / "made" / "falco-1.log")
    counts(exporter, world, within=5)


def test_a_queue_of_events_that_runs_over_loses_nothing(slow_net: Exporter, world: World) -> None:
    """N3: after more events than the kernel keeps everything is looked at anew."""
    watch = Watch()
    world.write("before", 3)
    counts(slow_net, world, watch)
    slow_net.process.send_signal(signal.SIGSTOP)
    _run_over(world.folder)
    world.write("old", 3)
    world.rotate()
    world.write("new", 3)
    slow_net.process.send_signal(signal.SIGCONT)
    counts(slow_net, world, watch, within=5)


@pytest.mark.parametrize("is_overflow", [True, False])
def test_a_file_that_was_rewritten_to_its_size_is_seen_among_other_news(
    slow_net: Exporter, world: World, *, is_overflow: bool
) -> None:
    """T3, N3: neither a rename that is told with it nor a queue that runs over hides it, though no size has changed."""
    watch, other = Watch(), world.folder / "made" / "falco-1.log"
    other.parent.mkdir()
    world.write("other", 3, to=other)
    world.write("old", 3)
    counts(slow_net, world, watch)
    for _ in polls(2.5, every=2.5):
        pass  # until it is sure that nothing has happened in the log's folder since
    other = other.rename(other.with_name("falco-2.log"))  # it is looked at everything
    world.write("other", 3, to=other)
    counts(slow_net, world, watch)
    slow_net.process.send_signal(signal.SIGSTOP)
    if is_overflow:
        _run_over(other.parent)
    world.log.write_bytes(world.make("new", 3))
    other.rename(other.with_name("falco-3.log"))
    slow_net.process.send_signal(signal.SIGCONT)
    counts(slow_net, world, watch, within=5)


def _run_over(folder: Path) -> None:
    """Make more events than the kernel keeps."""
    for number in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())):
        os.close(os.open(folder / f"x{number % 2}", os.O_CREAT | os.O_WRONLY))
        (folder / f"x{number % 2}").unlink()


@contextlib.contextmanager
def mounted(file: Path, over: Path) -> Iterator[None]:
    """Mount a file over another one."""
    subprocess.run(["mount", "--bind", str(file), str(over)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(over)], check=True)


def test_a_write_is_told_whatever_it_was_made_through(follow: Follow, world: World) -> None:
    """N4: a container has the log alone mounted, and a file may have more than one name."""
    watch, elsewhere = Watch(), world.folder.with_name("elsewhere")
    elsewhere.mkdir()
    for name in ("mounted.log", "linked.log"):
        (elsewhere / name).touch()
    linked = world.folder / "linked.log"
    linked.hardlink_to(elsewhere / "linked.log")
    with mounted(elsewhere / "mounted.log", world.log):
        exporter = follow(world.log, linked, is_notified=True, options=["--source.poll-interval=60s"])
        for rule in ("first", "second"):
            for name in ("mounted.log", "linked.log"):
                world.write(f"{rule} {name}", 3, to=elsewhere / name)
            counts(exporter, world, watch)


def test_what_the_kernel_does_not_tell_is_found_by_looking(follow: Follow, world: World) -> None:
    """N4, D1: nothing is told of a file that is mounted over another one; that one is read to its end."""
    watch, elsewhere = Watch(), world.folder.with_name("elsewhere")
    elsewhere.mkdir()
    exporter = follow(world.log, is_notified=True, options=["--source.poll-interval=500ms"])
    world.write("first", 3)
    counts(exporter, world, watch)
    for _ in polls(2.5, every=2.5):
        pass  # until it is sure that nothing has happened in the log's folder since
    with world.log.open("ab", buffering=0) as falco:
        world.write("mounted", 3, to=elsewhere / "falco.log")
        with mounted(elsewhere / "falco.log", world.log):
            world.write("late", 3, to=falco.fileno())
            counts(exporter, world, watch)
            world.write("mounted", 3)
            counts(exporter, world, watch)
    world.write("again", 3)
    counts(exporter, world, watch)


@pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])
def test_a_flood_in_one_file_does_not_hold_up_the_others(follow: Follow, world: World, *, is_notified: bool) -> None:
    """N5: two hundred MB are there at once; the few lines of quiet files are counted before them."""
    flood, quiet = World("flood", world.folder), _files(world, 20)
    made = world.folder / "made-elsewhere"
    made.write_bytes(flood.make("flood", 300_000))
    exporter = follow(world.folder / "falco*.log", is_notified=is_notified)
    made.rename(world.log)
    eventually(lambda: rules(scrape(exporter)), bool)
    for file in quiet:
        world.write("quiet", 2, to=file)
    seen = eventually(lambda: rules(scrape(exporter)), lambda seen: not world.difference(seen))
    assert seen["flood: flood"] < 300_000
    assert resident_bytes(exporter) < RESIDENT_BYTES
    counts(exporter, flood, within=20)


def test_a_file_without_a_newline_costs_no_memory(follow: Follow, world: World) -> None:
    """L7: 256 MiB of one line are left out, counted once, and the next line is exact."""
    exporter = follow(world.log)
    with world.log.open("ab", buffering=0) as falco:
        for _ in range(256):
            falco.write(b"x" * (1 << 20))
        world.expected["after"] = 0
        eventually(lambda: rejections(scrape(exporter)), lambda seen: seen == {"oversize": 1})
        falco.write(b"\n")
    world.write("after", 3)
    counts(exporter, world)
    assert rejections(scrape(exporter)) == {"oversize": 1}
    assert resident_bytes(exporter) < RESIDENT_BYTES

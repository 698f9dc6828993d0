"""FIFOs and stdin: cases F of the catalogue."""

import errno
import json
import os
import subprocess
import time

import pytest

from e2e.harness import Exporter, Start, always, eventually, without_root
from fault.conftest import Follow
from fault.driver import RESIDENT_BYTES, Watch, counts, rejections, resident_bytes, rules, scrape
from fault.world import World, lines

pytestmark = pytest.mark.e2e

MODES = pytest.mark.parametrize("is_notified", [True, False], ids=["inotify", "polling"])


@pytest.fixture
def fifo(world: World) -> World:
    """Have a FIFO where the log would be."""
    world.log.unlink()
    os.mkfifo(world.log)
    return world


def _open(world: World) -> int:
    """Open the FIFO for writing as soon as somebody reads it, without waiting for ever."""

    def descriptor() -> int:
        try:
            return os.open(world.log, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO  # noqa: PT017  nobody reads it yet
            return -1

    found = eventually(descriptor, lambda number: number >= 0)
    os.set_blocking(found, True)
    return found


@MODES
def test_a_fifo_is_read_on_when_its_writer_comes_back(follow: Follow, fifo: World, *, is_notified: bool) -> None:
    """F1: every writer counts, and between two of them the FIFO stays open for the next."""
    watch = Watch()
    exporter = follow(fifo.log, is_notified=is_notified)
    for rule in ("first", "second", "third"):
        writer = _open(fifo)
        fifo.write(rule, 5, to=writer)
        os.close(writer)
        counts(exporter, fifo, watch)
    assert exporter.total("exporter_source_up", path=str(fifo.log)) == 1


@MODES
def test_a_fifo_without_a_writer_holds_nobody_up(follow: Follow, fifo: World, *, is_notified: bool) -> None:
    """F3: the exporter is ready, answers, and follows its other files."""
    other = World("other", fifo.folder.with_name("other"))
    other.folder.mkdir()
    other.log.touch()
    exporter = follow(fifo.log, other.log, is_notified=is_notified)
    other.write("other", 5)
    counts(exporter, other)
    assert exporter.stop().code == 0


def test_a_fifo_that_may_not_be_opened_says_so_until_it_may(follow: Follow, fifo: World) -> None:
    """On the status, as a file does."""

    def error() -> str | None:
        (told,) = json.loads(exporter.get("/api/v1/status").text)["sources"]
        return str(told["error"]) if told["error"] else None

    fifo.log.chmod(0)
    exporter = follow(fifo.log, prefix=without_root())
    eventually(error, lambda told: told == "permission denied")
    fifo.log.chmod(0o600)
    eventually(error, lambda told: told is None)
    fifo.write("allowed", 5, to=_open(fifo))
    counts(exporter, fifo)


def test_two_writers_of_a_fifo_are_both_heard(follow: Follow, fifo: World) -> None:
    """F1: a writer that goes does not end what the other one writes."""
    watch = Watch()
    exporter = follow(fifo.log)
    one, two = _open(fifo), _open(fifo)
    fifo.write("one", 3, to=one)
    fifo.write("two", 3, to=two)
    os.close(one)
    counts(exporter, fifo, watch)
    fifo.write("two", 3, to=two)
    os.close(two)
    counts(exporter, fifo, watch)


def test_a_line_in_pieces_through_a_fifo_is_counted_once(follow: Follow, fifo: World) -> None:
    """F1: a pipe has no offset to go back to; the first half waits in memory."""
    exporter = follow(fifo.log)
    writer = _open(fifo)
    line = fifo.make("halved")
    os.write(writer, fifo.make("whole", 2) + line[:100])
    eventually(lambda: sum(rules(scrape(exporter)).values()), lambda seen: seen == 2)
    os.write(writer, line[100:])
    counts(exporter, fifo)
    os.close(writer)


def test_half_a_line_of_a_writer_that_is_gone_is_glued_to_nothing(follow: Follow, fifo: World) -> None:
    """F1: the next writer's line is whole, whatever the last one left behind."""
    exporter = follow(fifo.log)
    writer = _open(fifo)
    os.write(writer, fifo.make("whole", 2) + lines("never finished", 1)[:100])
    os.close(writer)
    counts(exporter, fifo)
    writer = _open(fifo)
    fifo.write("next", 3, to=writer)
    os.close(writer)
    counts(exporter, fifo)
    assert sum(rejections(scrape(exporter)).values()) == 1


def test_a_flood_through_a_fifo_is_exact_in_little_memory(follow: Follow, fifo: World) -> None:
    """F1: the writer waits for the reader; fifty thousand lines in pieces of all sizes, one of them far too long."""
    exporter = follow(fifo.log)
    writer = _open(fifo)
    data = fifo.make("flood", 25_000) + b"x" * (3 << 20) + b"\n" + fifo.make("flood", 25_000)
    _write_all(writer, data)
    os.close(writer)
    counts(exporter, fifo, within=20)
    assert rejections(scrape(exporter)) == {"oversize": 1}
    assert resident_bytes(exporter) < RESIDENT_BYTES


def _write_all(writer: int, data: bytes) -> None:
    """Write in pieces of an odd size; nobody reading for ten seconds is a failure and not a hang."""
    os.set_blocking(writer, False)
    view, until = memoryview(data), time.monotonic() + 20
    while view:
        assert time.monotonic() < until, "nobody reads"
        try:
            view = view[os.write(writer, view[:50_021]) :]
        except BlockingIOError:
            time.sleep(0.001)


def test_a_fifo_that_is_replaced_by_a_file_is_left_for_it(follow: Follow, fifo: World) -> None:
    """F1: the path counts; what is behind it may change its kind."""
    watch = Watch()
    exporter = follow(fifo.log)
    writer = _open(fifo)
    fifo.write("piped", 3, to=writer)
    counts(exporter, fifo, watch)
    fifo.log.unlink()
    fifo.write("filed", 3)
    counts(exporter, fifo, watch)
    os.close(writer)


def test_counts_of_a_fifo_survive_a_kill(follow: Follow, fifo: World) -> None:
    """F1: what was read cannot be read again, and what was shown is not taken back."""
    watch = Watch()
    exporter = follow(fifo.log)
    writer = _open(fifo)
    fifo.write("before", 5, to=writer)
    counts(exporter, fifo, watch)
    os.close(writer)
    exporter.process.kill()
    exporter.process.wait()

    exporter = follow(fifo.log)
    writer = _open(fifo)
    fifo.write("after", 5, to=writer)
    os.close(writer)
    counts(exporter, fifo, watch)


def _serve_stdin(start: Start) -> Exporter:
    return start("--source.paths=-", stdin=subprocess.PIPE).wait_until_ready()


def test_the_end_of_stdin_is_not_the_end(start: Start, world: World) -> None:
    """F2: the last values are there to be scraped, for as long as somebody wants them."""
    exporter = _serve_stdin(start)
    assert exporter.process.stdin is not None
    exporter.process.stdin.write(world.make("piped", 1000))
    exporter.process.stdin.close()
    eventually(lambda: exporter.total("exporter_source_up", path="-"), lambda up: up == 0)
    counts(exporter, world)
    always(exporter.process.poll, lambda code: code is None)

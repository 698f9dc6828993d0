"""What is counted stays counted, once, over kills, restarts, and rotations in between."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.harness import Exporter, Start, alert, append, eventually, grow, snapshot

pytestmark = pytest.mark.e2e

Restart = Callable[[], Exporter]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name a log file in a folder of its own."""
    folder = tmp_path / "falco"
    folder.mkdir()
    return folder / "falco.log"


@pytest.fixture
def restart(start: Start, log: Path, tmp_path: Path) -> Restart:
    """Kill the exporter, if one runs, and start it on the same state."""
    running: list[Exporter] = []

    def restart() -> Exporter:
        for exporter in running:
            exporter.process.send_signal(signal.SIGKILL)
            exporter.process.wait()
        running.clear()
        settings = ("--source.poll-interval=20ms", f"--state.directory={tmp_path / 'state'}")
        running.append(start(f"--source.paths={log}", *settings).wait_until_ready())
        return running[0]

    return restart


def counted(exporter: Exporter) -> float:
    """Return all ordinary alerts counted."""
    return exporter.total("rule_alerts_total") or 0


def becomes(exporter: Exporter, count: int) -> None:
    """Wait until so many alerts are counted."""
    eventually(lambda: counted(exporter), lambda seen: seen == count)


def test_a_kill_takes_nothing_back_that_was_shown(restart: Restart, log: Path) -> None:
    """A scrape is written down before it is answered."""
    log.touch()
    becomes_after_kill = restart()
    grow(log, "a", 20)
    becomes(becomes_after_kill, 20)
    becomes_after_kill.process.kill()
    log.unlink()  # the lines cannot be read again

    assert counted(restart()) == 20


def test_lines_written_while_down_are_counted_once(restart: Restart, log: Path) -> None:
    """The file is gone on from where it was left."""
    log.touch()
    exporter = restart()
    grow(log, "a", 20)
    becomes(exporter, 20)
    exporter.process.kill()
    grow(log, "b", 5)

    becomes(restart(), 25)
    becomes(restart(), 25)


def test_an_unfinished_line_is_counted_once_over_a_kill(restart: Restart, log: Path) -> None:
    """The stored offset is the start of the unfinished line."""
    log.touch()
    exporter = restart()
    line = alert("a")
    append(log, alert("a") + line[:200])
    becomes(exporter, 1)
    exporter = restart()
    append(log, line[200:])

    becomes(exporter, 2)


def test_fragments_of_a_split_line_survive_a_kill(restart: Restart, log: Path) -> None:
    """The first half of a CRI line is stored with the offset behind it."""
    log.touch()
    exporter = restart()
    stamp, line = b"2026-11-23T04:56:11.123456789Z stdout ", alert("a").rstrip()
    append(log, stamp + b"F " + line + b"\n" + stamp + b"P " + line[:100] + b"\n")
    becomes(exporter, 1)
    exporter = restart()
    append(log, stamp + b"F " + line[100:] + b"\n")

    becomes(exporter, 2)


@pytest.mark.parametrize("rotations", [1, 2, 3])
def test_rotations_while_down_lose_nothing_that_is_on_disk(restart: Restart, log: Path, rotations: int) -> None:
    """The old file is found by its inode, those in between by their time."""
    log.touch()
    exporter = restart()
    grow(log, "a", 10)
    becomes(exporter, 10)
    exporter.process.kill()
    exporter.process.wait()
    grow(log, "late", 3)
    for _ in range(rotations):
        for number in range(rotations, 0, -1):
            older = log.with_name(f"falco.log.{number}")
            if older.exists():
                older.rename(log.with_name(f"falco.log.{number + 1}"))
        log.rename(log.with_name("falco.log.1"))
        grow(log, "b", 7)

    becomes(restart(), 13 + 7 * rotations)
    becomes(restart(), 13 + 7 * rotations)


@pytest.mark.parametrize("after", [4, 10, 30])
def test_copytruncate_while_down_loses_nothing(restart: Restart, log: Path, after: int) -> None:
    """The rest is found in the copy by its content; the truncated file is read from its start, whatever its size."""
    log.touch()
    exporter = restart()
    grow(log, "before", 10)
    becomes(exporter, 10)
    exporter.process.kill()
    exporter.process.wait()
    grow(log, "before", 3)
    shutil.copyfile(log, log.with_name("falco.log.1"))
    os.truncate(log, 0)
    grow(log, "later", after)

    becomes(restart(), 13 + after)


def test_a_deleted_and_recreated_file_is_new(restart: Restart, log: Path) -> None:
    """Another file under the path is read from its start, even if it has the old one's inode."""
    log.touch()
    exporter = restart()
    grow(log, "old", 10)
    becomes(exporter, 10)
    exporter.process.kill()
    exporter.process.wait()
    log.unlink()
    grow(log, "new", 10)

    becomes(restart(), 20)


def test_intervals_go_on_over_a_kill(restart: Restart, log: Path) -> None:
    """The life of Falco's counters is stored with them: one more snapshot is enough for a rate."""
    log.touch()
    exporter = restart()
    append(log, snapshot("node", 1_800_000_000, scap__n_evts=1000))
    eventually(lambda: exporter.total("snapshots_total"), lambda seen: seen == 1)
    exporter = restart()
    append(log, snapshot("node", 1_800_000_060, scap__n_evts=7000))
    eventually(lambda: exporter.total("snapshots_total"), lambda seen: seen == 2)

    assert exporter.total("kernel_events_per_second", hostname="node") == 100


def test_a_second_instance_is_refused(restart: Restart, start: Start, log: Path, tmp_path: Path) -> None:
    """Two followers of the same sources with one checkpoint would both be wrong."""
    log.touch()
    restart()
    second = start(f"--source.paths={log}", f"--state.directory={tmp_path / 'state'}")

    assert second.process.wait(10) == 2
    assert "--state.directory: another instance" in second.stderr

"""Checkpoints that cannot be read or written, and stops in the middle of the work: cases C of the catalogue."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.harness import Exporter, eventually, run, without_root
from fault.conftest import Follow
from fault.driver import Watch, counts, rules, scrape
from fault.world import World, lines

pytestmark = pytest.mark.e2e

Damage = Callable[[Path], object]

KEPT_BYTES = 8000  # for a few dozen offsets of files that were, to know a copy of them


def _kill(exporter: Exporter) -> None:
    exporter.process.kill()
    exporter.process.wait()


def _checkpoint(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "state").glob("*.checkpoint")
    return path


def test_a_stop_in_the_middle_of_a_backlog_loses_nothing(follow: Follow, world: World) -> None:
    """C1: SIGTERM while 60 MB are read: exit 0 within two seconds, and the next one goes on exactly."""
    watch, backlog = Watch(), world.folder / "backlog"
    exporter = follow(world.log)
    backlog.write_bytes(world.make("backlog", 100_000))
    backlog.rename(world.log)
    eventually(lambda: rules(watch.look(exporter)), bool)
    exporter.process.send_signal(signal.SIGTERM)
    assert exporter.process.wait(2) == 0

    exporter = follow(world.log)
    counts(exporter, world, watch, within=20)


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _forbid(path: Path) -> None:
    path.chmod(0)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(_cut, id="cut-in-the-middle"),
        pytest.param(_flip, id="one-bit-flipped"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() * 2), id="written-twice"),
        pytest.param(
            lambda path: path.write_bytes(b"falco-enrichment-exporter checkpoint 99 0\n{}"), id="of-the-future"
        ),
        pytest.param(lambda path: path.write_bytes(b"\xff" * 5000), id="binary"),
        pytest.param(_replace_by_folder, id="a-folder"),
        pytest.param(_forbid, id="not-readable"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_costs_the_past_alone(
    follow: Follow, world: World, tmp_path: Path, damage: Damage
) -> None:
    """C3: it is counted, the exporter starts as if for the first time, and checkpoints are written again."""
    exporter = follow(world.log)
    world.write("before", 5)
    counts(exporter, world)
    _kill(exporter)
    damage(_checkpoint(tmp_path))

    exporter = follow(world.log, prefix=without_root())
    assert exporter.total("exporter_checkpoint_errors_total") == 1
    world.expected.clear()
    world.write("after", 5)
    counts(exporter, world)
    _kill(exporter)
    counts(follow(world.log, prefix=without_root()), world)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 KiB; without the right to do so, in a name space of the exporter's own."""
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _errors(exporter: Exporter) -> float:
    return exporter.total("exporter_checkpoint_errors_total") or 0


def test_a_full_disk_stops_checkpoints_and_nothing_else(follow: Follow, world: World, small_disk: Path) -> None:
    """C4: counting and serving go on, the old checkpoint stays whole, and it recovers by itself."""
    watch = Watch()
    exporter = follow(world.log)
    world.write("before", 5)
    counts(exporter, world, watch)
    (before,) = (path.read_bytes() for path in small_disk.glob("*.checkpoint"))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(1 << 20))

    world.write("during", 5)
    counts(exporter, world, watch)
    eventually(lambda: _errors(exporter), bool)
    (during,) = (path.read_bytes() for path in small_disk.glob("*.checkpoint"))
    assert during == before

    (small_disk / "ballast").unlink()
    world.write("after", 5)
    counts(exporter, world, watch)
    _kill(exporter)
    counts(follow(world.log), world, watch)


def test_a_state_directory_that_cannot_be_written_for_a_while_is_got_over(
    follow: Follow, world: World, tmp_path: Path
) -> None:
    """C4: EACCES is counted, and the first write that works holds everything."""
    watch, state = Watch(), tmp_path / "state"
    exporter = follow(world.log, prefix=without_root())
    state.chmod(0o500)
    world.write("during", 5)
    counts(exporter, world, watch)
    eventually(lambda: _errors(exporter), bool)

    state.chmod(0o700)
    world.write("after", 5)
    counts(exporter, world, watch)
    _kill(exporter)
    counts(follow(world.log), world, watch)


def test_a_state_directory_that_is_removed_is_made_again_or_told(follow: Follow, world: World, tmp_path: Path) -> None:
    """C4: somebody cleans up under a running exporter; counting goes on and the trouble is a number."""
    watch = Watch()
    exporter = follow(world.log)
    shutil.rmtree(tmp_path / "state")
    world.write("during", 5)
    counts(exporter, world, watch)
    assert _errors(exporter) > 0 or _checkpoint(tmp_path).exists()


def test_a_second_exporter_with_the_same_state_is_refused(follow: Follow, world: World, tmp_path: Path) -> None:
    """C5: exit code 2, and the first one goes on; with another directory the second may run."""
    exporter = follow(world.log)
    arguments = ["serve", f"--source.paths={world.log}", "--web.listen-address=127.0.0.1:0"]
    refused = run([*arguments, f"--state.directory={tmp_path / 'state'}"], tmp_path)
    assert (refused.code, "Traceback" in refused.stderr) == (2, False)
    other = follow(world.log, options=[f"--state.directory={tmp_path / 'other'}"])

    world.write("both", 5)
    counts(exporter, world)
    counts(other, world)


@pytest.mark.parametrize("after", [0, 3])
def test_a_file_that_shrank_while_the_exporter_was_down_is_read_once(follow: Follow, world: World, after: int) -> None:
    """C6: the stored offset is behind its end; it is read from its start at one restart, and at the next not again."""
    watch = Watch()
    exporter = follow(world.log)
    world.write("before", 20)
    counts(exporter, world, watch)
    _kill(exporter)
    world.truncate()
    if after:
        world.write("after", after)

    for _ in range(3):
        exporter = follow(world.log)
        counts(exporter, world, watch)
        _kill(exporter)


def test_the_checkpoint_does_not_grow_with_the_files_that_were(follow: Follow, world: World, tmp_path: Path) -> None:
    """C7: four hundred files come and go, and leave nothing once they have been quiet for long enough."""
    exporter = follow(world.folder / "falco*")
    counts(exporter, world)
    at_first = _checkpoint(tmp_path).stat().st_size
    for batch in range(4):
        files = [world.folder / f"falco-{batch}-{number}" for number in range(100)]
        for file in files:
            world.write("many", 1, to=file)
        counts(exporter, world)
        for file in files:
            file.unlink()

    def size() -> int:
        world.write("after", 1)  # so that there is something to store
        scrape(exporter)
        return _checkpoint(tmp_path).stat().st_size

    eventually(size, lambda now: now < at_first + KEPT_BYTES, within=20)


def test_checkpoints_that_nobody_has_used_for_a_month_are_removed(follow: Follow, world: World, tmp_path: Path) -> None:
    """C7: those of other sources, by their age."""
    old, young = (tmp_path / "state" / f"{name}.checkpoint" for name in ("0123456789ab", "ba9876543210"))
    old.parent.mkdir()
    for path in (old, young):
        path.write_bytes(lines("x", 1))
    os.utime(old, (0, 0))
    follow(world.log)

    assert (old.exists(), young.exists()) == (False, True)

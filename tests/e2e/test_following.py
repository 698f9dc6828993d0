"""Following files and globs through everything that rotation, writers and administrators do to them."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from e2e.harness import (
    Exporter,
    Start,
    alert,
    always,
    append,
    by_label,
    eventually,
    grow,
    snapshot,
    total,
    without_root,
)

pytestmark = pytest.mark.e2e

Follow = Callable[..., Exporter]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name a log in a folder of its own."""
    folder = tmp_path / "falco"
    folder.mkdir()
    return folder / "falco.log"


@pytest.fixture
def follow(start: Start) -> Follow:
    """Start an exporter that follows paths and looks at them every 50 ms (or as told); return it once it is ready."""

    def follow(*paths: Path | str, every: str = "50ms", prefix: tuple[str, ...] = ()) -> Exporter:
        sources = [f"--source.paths={path}" for path in paths]
        return start(*sources, f"--source.poll-interval={every}", prefix=prefix).wait_until_ready()

    return follow


Expected = Mapping[str, float]
Counts = tuple[Expected, Expected]


def counted(exporter: Exporter) -> Counts:
    """Return the alerts by rule and the rejected lines by reason."""
    samples = exporter.scrape()
    rules = by_label(samples, "falco_enrichment_rule_alerts_total", "rule")
    return rules, by_label(samples, "falco_enrichment_exporter_lines_rejected_total", "reason")


def counts_exactly(
    exporter: Exporter, rules: Expected, *, rejected: Expected | None = None, within: float = 10
) -> None:
    """Assert that these alerts and rejections are counted before long, no others, and that it stays so."""
    expected: Counts = (rules, rejected or {})
    eventually(lambda: counted(exporter), lambda seen: seen == expected, within)
    always(lambda: counted(exporter), lambda seen: seen == expected)


def becomes(exporter: Exporter, rules: Expected) -> None:
    """Return once these alerts are counted: a step on the way to counts_exactly."""
    eventually(lambda: counted(exporter)[0], lambda seen: seen == rules)


def wait_until_up(exporter: Exporter, path: Path, up: float) -> None:
    """Return once the exporter says that it can (1) or cannot (0) read the path."""
    eventually(lambda: exporter.total("exporter_source_up", path=str(path)), lambda seen: seen == up)


def says_of(exporter: Exporter, path: Path | str) -> tuple[str | None, str]:
    """Return why a source cannot be read, as the status has it, and its state on the page."""
    (error,) = [
        told["error"]
        for told in json.loads(exporter.get("/api/v1/status").text)["sources"]
        if told["path"] == str(path)
    ]
    _, _, rest = exporter.get("/").text.partition(f"<td>{path}</td>")
    return error, rest.partition(">")[2].partition("<")[0]


def wait_for_truncation(exporter: Exporter) -> None:
    """Return once the exporter has seen a file become shorter."""
    eventually(lambda: exporter.total("exporter_rotations_total", kind="truncate"), lambda seen: seen == 1)


# -- appearing and growing ---------------------------------------------------------------------------------------------


def test_a_file_that_appears_late_is_counted_from_its_start(follow: Follow, log: Path) -> None:
    """What a file born after the start holds is news, all of it."""
    exporter = follow(log)
    wait_until_up(exporter, log, 0)

    grow(log, "late", 20)
    counts_exactly(exporter, {"late": 20})
    assert exporter.total("exporter_source_up", path=str(log)) == 1


def test_a_file_of_a_glob_that_appears_late_is_counted_from_its_start(follow: Follow, log: Path) -> None:
    """A pattern that matches nothing at the start matches files that come."""
    exporter = follow(log.parent / "*" / "falco*.log")

    (log.parent / "a").mkdir()
    grow(log.parent / "a" / "falco-1.log", "first", 7)
    becomes(exporter, {"first": 7})
    grow(log.parent / "a" / "falco-2.log", "second", 5)
    grow(log.parent / "a" / "other.log", "other", 5)
    counts_exactly(exporter, {"first": 7, "second": 5})


def test_growth_is_counted_once_and_what_was_there_before_is_not(follow: Follow, log: Path) -> None:
    """Older alerts stay uncounted; every later one counts once, whatever the pieces it is written in."""
    grow(log, "before the start", 10)
    exporter = follow(log)

    for _ in range(5):
        grow(log, "growth", 1)
    grow(log, "growth", 2000)
    counts_exactly(exporter, {"growth": 2005})


def test_an_empty_file_is_followed_from_its_start(follow: Follow, log: Path) -> None:
    """A file without a byte at the start has no past."""
    log.touch()
    exporter = follow(log)

    grow(log, "first", 3)
    counts_exactly(exporter, {"first": 3})


def test_a_dangling_symlink_is_followed_once_it_leads_somewhere(follow: Follow, log: Path) -> None:
    """A link to nothing is a file that is not there yet."""
    target = log.with_name("target.log")
    log.symlink_to(target)
    exporter = follow(log)
    wait_until_up(exporter, log, 0)

    grow(target, "first", 3)
    counts_exactly(exporter, {"first": 3})


# -- rotation by rename ------------------------------------------------------------------------------------------------


def test_rename_and_create_loses_nothing(follow: Follow, log: Path) -> None:
    """The old file is read to its end although its name is gone, the new one from its start."""
    log.touch()
    exporter = follow(log)
    grow(log, "old", 10)
    becomes(exporter, {"old": 10})

    grow(log, "old", 90)
    log.rename(log.with_suffix(".log.1"))
    grow(log, "new", 50)
    counts_exactly(exporter, {"old": 100, "new": 50})
    assert exporter.total("exporter_rotations_total", kind="rename") == 1


def test_rename_and_create_with_the_path_absent_for_a_while_loses_nothing(follow: Follow, log: Path) -> None:
    """The exporter sees that nothing is there, and begins the new file at its start nevertheless."""
    log.touch()
    exporter = follow(log)
    grow(log, "old", 100)

    log.rename(log.with_suffix(".log.1"))
    wait_until_up(exporter, log, 0)
    grow(log, "new", 50)
    counts_exactly(exporter, {"old": 100, "new": 50})
    assert exporter.total("exporter_source_up", path=str(log)) == 1


def test_a_rotation_with_the_path_absent_for_a_while_is_a_rotation(follow: Follow, log: Path) -> None:
    """rotations_total counts another file under the path, however long nothing was there in between."""
    log.touch()
    exporter = follow(log)
    log.rename(log.with_suffix(".log.1"))
    wait_until_up(exporter, log, 0)
    grow(log, "new", 1)

    counts_exactly(exporter, {"new": 1})
    assert exporter.total("exporter_rotations_total", kind="rename") == 1


def test_a_late_writer_to_the_renamed_file_is_heard(follow: Follow, log: Path) -> None:
    """Falco keeps its file open after a rotation until it is told; what it writes meanwhile counts."""
    log.touch()
    exporter = follow(log)
    with log.open("ab", buffering=0) as late:
        log.rename(log.with_suffix(".log.1"))
        grow(log, "new", 5)
        becomes(exporter, {"new": 5})

        late.write(alert("late") * 20)
        becomes(exporter, {"new": 5, "late": 20})
        late.write(alert("later") * 2)
        grow(log, "new", 5)
    counts_exactly(exporter, {"new": 10, "late": 20, "later": 2})


def test_a_line_that_is_unfinished_at_the_rotation_is_finished_in_the_old_file(follow: Follow, log: Path) -> None:
    """The two halves of one file's line belong together, and to no line of the new file."""
    log.touch()
    exporter = follow(log)
    line = alert("halved")
    with log.open("ab", buffering=0) as late:
        late.write(line[:100])
        eventually(lambda: exporter.total("exporter_source_lag_bytes"), lambda lag: lag == 100)
        log.rename(log.with_suffix(".log.1"))
        grow(log, "new", 5)
        becomes(exporter, {"new": 5})
        late.write(line[100:])
    counts_exactly(exporter, {"new": 5, "halved": 1})


def test_two_rotations_between_two_looks_lose_nothing_that_is_on_disk(follow: Follow, log: Path) -> None:
    """The file that had the path only between two looks is found next to it."""
    log.touch()
    exporter = follow(log, every="500ms")
    grow(log, "first", 10)
    becomes(exporter, {"first": 10})

    log.rename(log.with_suffix(".log.2"))
    grow(log, "second", 10)
    log.rename(log.with_suffix(".log.1"))
    grow(log, "third", 10)
    counts_exactly(exporter, {"first": 10, "second": 10, "third": 10}, within=3)


@pytest.mark.parametrize("pattern", ["falco*.log", "falco*"])
def test_a_rename_within_a_glob_is_not_another_file(follow: Follow, log: Path, pattern: str) -> None:
    """A file keeps its place under its new name, whether the pattern matches that or not."""
    log.touch()
    exporter = follow(log.parent / pattern)
    grow(log, "old", 10)
    becomes(exporter, {"old": 10})

    log.rename(log.with_name("falco.log.1"))
    grow(log, "new", 5)
    becomes(exporter, {"old": 10, "new": 5})
    grow(log.with_name("falco.log.1"), "late", 2)
    counts_exactly(exporter, {"old": 10, "new": 5, "late": 2})


def test_a_rotation_storm_within_a_glob_is_counted_exactly(follow: Follow, log: Path) -> None:
    """Twelve generations, each shifting all the others, faster than the exporter looks."""
    log.touch()
    exporter = follow(log.parent / "falco.log*")
    names = [log, *(log.with_suffix(f".log.{number}") for number in range(1, 13))]
    for generation in range(12):
        grow(log, f"generation {generation}", 25)
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.rename(older)
    grow(log, "last", 25)
    counts_exactly(exporter, {f"generation {n}": 25 for n in range(12)} | {"last": 25})


def test_a_compressed_generation_within_a_glob_is_not_read(follow: Follow, log: Path) -> None:
    """falco.log.2.gz is falco.log.1 of before, and not text."""
    log.touch()
    exporter = follow(log.parent / "falco*")
    grow(log, "only", 10)
    becomes(exporter, {"only": 10})

    subprocess.run(["gzip", "--keep", str(log)], check=True)
    counts_exactly(exporter, {"only": 10})


def test_a_file_that_is_moved_away_and_back_is_not_read_twice(follow: Follow, log: Path) -> None:
    """The same file under the same path again goes on where it was."""
    log.touch()
    exporter = follow(log)
    grow(log, "before", 10)
    becomes(exporter, {"before": 10})

    log.rename(log.with_name("away"))
    wait_until_up(exporter, log, 0)
    grow(log.with_name("away"), "away", 2)
    log.with_name("away").rename(log)
    wait_until_up(exporter, log, 1)
    grow(log, "back", 3)
    counts_exactly(exporter, {"before": 10, "away": 2, "back": 3})


def test_a_directory_that_is_renamed_and_made_anew_loses_nothing(follow: Follow, log: Path) -> None:
    """The path counts, not the directory that once was behind it."""
    log.touch()
    exporter = follow(log)
    grow(log, "old", 10)
    log.parent.rename(log.parent.with_name("moved"))
    log.parent.mkdir()
    grow(log, "new", 5)
    grow(log.parent.with_name("moved") / log.name, "late", 2)
    counts_exactly(exporter, {"old": 10, "new": 5, "late": 2})


# -- symlinks --------------------------------------------------------------------------------------------------------


def test_a_symlink_swap_loses_nothing(follow: Follow, log: Path) -> None:
    """The kubelet points the link at the next file: the old target is finished, the new one begun at its start."""
    first, second, swap = (log.with_name(name) for name in ("0.log", "1.log", "swap"))
    first.touch()
    log.symlink_to(first)
    exporter = follow(log)
    grow(first, "first", 10)
    grow(second, "second", 10)
    swap.symlink_to(second)
    swap.rename(log)
    grow(first, "late", 3)
    counts_exactly(exporter, {"first": 10, "second": 10, "late": 3})


def test_a_rotation_behind_a_symlink_loses_nothing(follow: Follow, log: Path) -> None:
    """The link stays as it is while its target is renamed and made anew in another directory."""
    target = log.parent.parent / "0.log"
    target.touch()
    log.symlink_to(target)
    exporter = follow(log)
    grow(target, "first", 10)
    target.rename(target.with_suffix(".log.1"))
    grow(target, "second", 10)
    counts_exactly(exporter, {"first": 10, "second": 10})


# -- truncation --------------------------------------------------------------------------------------------------------


def test_a_truncated_file_is_read_from_its_start_again(follow: Follow, log: Path) -> None:
    """After `: > falco.log` the next line is the first one."""
    log.touch()
    exporter = follow(log)
    grow(log, "before", 10)
    becomes(exporter, {"before": 10})

    os.truncate(log, 0)
    wait_for_truncation(exporter)
    becomes(exporter, {"before": 10})
    grow(log, "after", 20)
    counts_exactly(exporter, {"before": 10, "after": 20})


def test_copytruncate_when_caught_up_loses_nothing(follow: Follow, log: Path) -> None:
    """Logrotate copies and truncates while the writer holds the file open; shorter content follows at once."""
    log.touch()
    exporter = follow(log)
    with log.open("ab", buffering=0) as falco:
        falco.write(alert("before") * 100)
        becomes(exporter, {"before": 100})
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
        falco.write(alert("after") * 30)
        counts_exactly(exporter, {"before": 100, "after": 30})
    assert exporter.total("exporter_rotations_total", kind="truncate") == 1


def test_copytruncate_within_a_glob_does_not_count_the_copy(follow: Follow, log: Path) -> None:
    """The copy holds lines that were counted already, in a file that was not there before."""
    log.touch()
    exporter = follow(log.parent / "falco*")
    grow(log, "before", 100)
    becomes(exporter, {"before": 100})

    shutil.copyfile(log, log.with_suffix(".log.1"))
    os.truncate(log, 0)
    grow(log, "after", 30)
    counts_exactly(exporter, {"before": 100, "after": 30}, within=3)


def test_copytruncate_with_an_unfinished_line_forgets_that_line_alone(follow: Follow, log: Path) -> None:
    """The half that was cut off is not glued to what is written next."""
    log.touch()
    exporter = follow(log)
    append(log, alert("before"), alert("halved")[:100])
    eventually(lambda: exporter.total("exporter_source_lag_bytes"), lambda lag: lag == 100)
    os.truncate(log, 0)
    wait_for_truncation(exporter)
    grow(log, "after", 2)
    counts_exactly(exporter, {"before": 1, "after": 2})


@pytest.mark.parametrize("lines", [20, 45], ids=["same-size", "larger"])
def test_a_file_that_is_rewritten_between_two_looks_is_read_from_its_start(
    follow: Follow, log: Path, lines: int
) -> None:
    """A truncation shows in the content when the size has caught up before the next look."""
    log.touch()
    exporter = follow(log, every="500ms")
    grow(log, "old", 20)
    becomes(exporter, {"old": 20})

    log.write_bytes(alert("new") * lines)
    counts_exactly(exporter, {"old": 20, "new": lines}, within=3)


@pytest.mark.parametrize("hole_bytes", [4096, 3 << 20], ids=["page", "longer-than-a-line-may-be"])
def test_the_hole_that_a_writer_leaves_after_copytruncate_costs_no_line(
    follow: Follow, log: Path, hole_bytes: int
) -> None:
    """A writer without O_APPEND goes on at its old offset, behind a run of NUL bytes."""
    log.touch()
    exporter = follow(log)
    with log.open("r+b", buffering=0) as falco:
        written = hole_bytes // len(alert("before")) + 1
        falco.write(alert("before") * written)
        before = eventually(lambda: counted(exporter)[0].get("before", 0), lambda count: count == written)
        os.truncate(log, 0)
        wait_for_truncation(exporter)
        falco.write(alert("after") * 2)
    counts_exactly(exporter, {"before": before, "after": 2}, within=3)


# -- lines -------------------------------------------------------------------------------------------------------------


def test_an_unfinished_line_counts_once_it_is_finished(follow: Follow, log: Path) -> None:
    """Only a newline ends a line; until then it is lag and nothing else."""
    log.touch()
    exporter = follow(log)
    line = alert("slow")
    append(log, alert("whole"), line[:100])
    eventually(lambda: exporter.total("exporter_source_lag_bytes"), lambda lag: lag == 100)
    becomes(exporter, {"whole": 1})
    append(log, line[100:-1])
    eventually(lambda: exporter.total("exporter_source_lag_bytes"), lambda lag: lag == len(line) - 1)
    becomes(exporter, {"whole": 1})

    append(log, line[-1:])
    counts_exactly(exporter, {"whole": 1, "slow": 1})
    assert exporter.total("exporter_source_lag_bytes") == 0


def test_a_line_that_is_unfinished_at_the_start_counts_once_it_is_finished(follow: Follow, log: Path) -> None:
    """Falco was in the middle of a line when the exporter started: that line is not old."""
    line = alert("slow")
    append(log, alert("old"), line[:100])
    exporter = follow(log)

    append(log, line[100:])
    grow(log, "new", 1)
    counts_exactly(exporter, {"slow": 1, "new": 1})


@pytest.mark.parametrize("pieces", [1, 3])
def test_an_oversize_line_costs_a_counter_and_the_next_line_is_exact(follow: Follow, log: Path, pieces: int) -> None:
    """A line of 3 MiB is left out and counted once, in however many writes it comes."""
    log.touch()
    exporter = follow(log)
    for piece in range(pieces):
        append(log, b"x" * ((3 << 20) // pieces))
        if piece < pieces - 1:
            eventually(lambda: exporter.total("exporter_read_bytes_total"), lambda seen: seen == log.stat().st_size)
    append(log, b"\n", alert("next"))
    grow(log, "next", 2)
    counts_exactly(exporter, {"next": 3}, rejected={"oversize": 1})


def test_hostile_lines_cost_a_counter_each_and_the_next_line_is_exact(follow: Follow, log: Path) -> None:
    """Deep nesting, torn JSON, huge numbers, raw bytes, blank lines: none of them is the end."""
    log.touch()
    exporter = follow(log)
    torn = [b'{"a":' * 100_000, alert("torn")[:200], b"{", b'{"rule":1e999}', b'{"rule":"\xff', b"{}"]
    harmless = [b"", b"\r", b"Mon Nov 23 04:56:10 2026: Falco initialized", b"\xff\xfe\x00", b"[1]", b"null"]
    append(log, b"\n".join([*torn, *harmless, alert("next")]))
    rules, rejected = eventually(lambda: counted(exporter), lambda seen: seen[0] == {"next": 1})
    assert (rules, sum(rejected.values())) == ({"next": 1}, len(torn))


# -- files that go, and that are not files -----------------------------------------------------------------------------


def test_a_file_that_is_deleted_and_recreated_is_read_from_its_start(follow: Follow, log: Path) -> None:
    """However often, and with whatever inode the file system hands out."""
    log.touch()
    exporter = follow(log)
    expected: dict[str, float] = {}
    for number in range(4):
        grow(log, f"life {number}", 10 + number)
        expected[f"life {number}"] = 10 + number
        becomes(exporter, expected)
        log.unlink()
        if number % 2:
            wait_until_up(exporter, log, 0)
    grow(log, "last", 5)
    counts_exactly(exporter, expected | {"last": 5})


def test_a_directory_in_place_of_a_file_is_an_error_until_it_is_a_file(follow: Follow, log: Path) -> None:
    """EISDIR is counted once, shown, and got over."""
    log.mkdir()
    exporter = follow(log)
    wait_until_up(exporter, log, 0)
    always(lambda: exporter.total("exporter_source_errors_total", errno="EISDIR"), lambda seen: seen == 1)

    log.rmdir()
    grow(log, "now a file", 4)
    counts_exactly(exporter, {"now a file": 4})
    wait_until_up(exporter, log, 1)


def test_a_permission_that_is_lost_and_regained_costs_no_line(follow: Follow, log: Path) -> None:
    """The held file is read on; a new one that may not be read is waited for."""
    log.touch()
    exporter = follow(log, prefix=tuple(without_root()))
    with log.open("ab", buffering=0) as falco:
        log.chmod(0)
        falco.write(alert("held") * 5)
        becomes(exporter, {"held": 5})

    log.rename(log.with_suffix(".log.1"))
    with log.open("ab", buffering=0) as falco:
        log.chmod(0)
        falco.write(alert("forbidden") * 3)
        wait_until_up(exporter, log, 0)
        eventually(lambda: exporter.total("exporter_source_errors_total", errno="EACCES"), lambda count: count == 1)
        becomes(exporter, {"held": 5})
        assert says_of(exporter, log) == ("permission denied", "permission denied")

        log.chmod(0o600)
        falco.write(alert("allowed") * 2)
    counts_exactly(exporter, {"held": 5, "forbidden": 3, "allowed": 2})
    assert exporter.total("exporter_source_up", path=str(log)) == 1
    assert says_of(exporter, log) == (None, "up")


def test_a_directory_that_may_not_be_searched_for_a_while_costs_no_line(follow: Follow, log: Path) -> None:
    """Not being able to look at the path is not the file being gone."""
    log.touch()
    exporter = follow(log, prefix=tuple(without_root()))
    with log.open("ab", buffering=0) as falco:
        grow(log, "before", 2)
        becomes(exporter, {"before": 2})
        log.parent.chmod(0)
        wait_until_up(exporter, log, 0)
        falco.write(alert("during") * 3)
        log.parent.chmod(0o700)
        wait_until_up(exporter, log, 1)
        falco.write(alert("after") * 4)
    counts_exactly(exporter, {"before": 2, "during": 3, "after": 4})


def test_patterns_that_name_one_file_count_it_once(follow: Follow, log: Path) -> None:
    """A path and a glob, another spelling, a symlink, a hard link: it is the same file, after a rotation too."""
    log.touch()
    (log.parent / "link").symlink_to(log)
    (log.parent / "hard").hardlink_to(log)
    exporter = follow(*(f"{log.parent}/{name}" for name in ("hard", "falco.log", "falco*.log", "./falco.log", "link")))
    grow(log, "once", 10)
    becomes(exporter, {"once": 10})

    log.rename(log.with_name("rotated"))
    grow(log, "new", 5)
    grow(log.with_name("rotated"), "late", 2)
    counts_exactly(exporter, {"once": 10, "new": 5, "late": 2})


def test_a_file_name_that_is_not_utf8_does_not_break_the_page(follow: Follow, log: Path) -> None:
    """File names are bytes; one that is no text is followed and shown somehow."""
    exporter = follow(log.parent / "falco*.log")
    strange = Path(os.fsdecode(os.fsencode(log.parent) + b"/falco-\xff.log"))
    grow(strange, "strange", 2)
    grow(log, "plain", 3)

    counts_exactly(exporter, {"strange": 2, "plain": 3}, within=3)
    assert exporter.get("/").status == 200
    assert exporter.get("/api/v1/status").status == 200


# -- standard input ----------------------------------------------------------------------------------------------------


def test_a_pipe_on_stdin_is_counted_and_its_end_is_not_the_end(start: Start) -> None:
    """Every line of a pipe counts, in whatever pieces; after its end the counts are served on."""
    exporter = start("--source.paths=-", stdin=subprocess.PIPE).wait_until_ready()
    pipe = exporter.process.stdin
    assert pipe is not None
    line = alert("piped")
    pipe.write(line * 1000 + line[:50])
    pipe.flush()
    becomes(exporter, {"piped": 1000})
    assert exporter.total("exporter_source_up", path="-") == 1
    pipe.write(line[50:])
    pipe.close()

    eventually(lambda: exporter.total("exporter_source_up", path="-"), lambda up: up == 0)
    counts_exactly(exporter, {"piped": 1001})
    assert says_of(exporter, "-") == (None, "ended")
    assert exporter.get("/-/ready").status == 200
    assert exporter.stop().code == 0


def test_a_file_redirected_to_stdin_is_counted_from_its_start(start: Start, log: Path) -> None:
    """Who redirects a file wants its lines, the older ones too; the last one has no newline and is no line."""
    append(log, alert("redirected") * 500, alert("cut off")[:100])
    with log.open("rb") as file:
        exporter = start("--source.paths=-", stdin=file).wait_until_ready()
    counts_exactly(exporter, {"redirected": 500}, rejected={"unfinished": 1})
    assert exporter.total("exporter_source_up", path="-") == 0


def test_a_stdin_without_anything_is_an_end_and_no_error(start: Start) -> None:
    """Under a service manager stdin is /dev/null: that is an end of file at once."""
    exporter = start("--source.paths=-", stdin=subprocess.DEVNULL).wait_until_ready()

    eventually(lambda: exporter.total("exporter_source_up", path="-"), lambda up: up == 0)
    assert not exporter.total("exporter_source_errors_total")


def test_stdin_and_a_file_are_followed_together(start: Start, log: Path) -> None:
    """Sources of different kinds add up, and the end of one does not end the other."""
    log.touch()
    arguments = (f"--source.paths=-,{log}", "--source.poll-interval=50ms")
    exporter = start(*arguments, stdin=subprocess.PIPE).wait_until_ready()
    assert exporter.process.stdin is not None
    exporter.process.stdin.write(alert("shared"))
    exporter.process.stdin.close()
    eventually(lambda: exporter.total("exporter_source_up", path="-"), lambda up: up == 0)

    grow(log, "shared", 2)
    counts_exactly(exporter, {"shared": 3})


def test_a_host_whose_clock_was_ahead_is_seen_again_once_it_is_right(log: Path, follow: Follow) -> None:
    """What it wrote meanwhile lies in the future; a snapshot of today takes its place."""
    now = int(time.time())
    append(log, snapshot("host", now + 90_000))
    exporter = follow(log)
    at = "falco_enrichment_snapshot_timestamp_seconds"
    eventually(lambda: total(exporter.scrape(), at, hostname="host"), lambda seen: seen == now + 90_000)

    append(log, snapshot("host", now))

    eventually(lambda: total(exporter.scrape(), at, hostname="host"), lambda seen: seen == now)

"""A look at paths finds whatever has happened to them, though it asks most files by their descriptors."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from falco_enrichment_exporter.sources.looking import Folders, Known, Looker, Patterns, list_files
from falco_enrichment_exporter.sources.reading import facts_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Make a log in a folder of its own."""
    path = tmp_path / "logs" / "falco.log"
    path.parent.mkdir()
    path.write_text("one\n")
    return path


@pytest.fixture
def known(log: Path) -> Iterator[Known]:
    """Hold the log open."""
    descriptor = os.open(log, os.O_RDONLY)
    yield Known(str(log.parent), facts_of(os.fstat(descriptor)), descriptor)
    os.close(descriptor)


def settled_looker(log: Path, known: Known) -> Looker:
    """Return a looker that has seen the folder as it is."""
    looker = Looker(settled_ns=0, whole_seconds=3600)
    looker.look({str(log): known})
    assert looker.was_whole
    assert not looker.look({str(log): known}).paths
    assert not looker.was_whole
    return looker


def append(log: Path) -> None:
    """Write a line."""
    with log.open("a") as file:
        file.write("two\n")


def truncate(log: Path) -> None:
    """Empty the log."""
    os.truncate(log, 0)


def rewrite(log: Path) -> None:
    """Write as much as there is, at another time."""
    log.write_text("two\n")
    os.utime(log, ns=(1, 1))


def rotate(log: Path) -> None:
    """Put another file in its place, one of the same size and time."""
    found = log.stat()
    log.rename(log.with_suffix(".1"))
    log.write_text("two\n")
    os.utime(log, ns=(found.st_atime_ns, found.st_mtime_ns))


def move_over(log: Path) -> None:
    """Move another file over it."""
    other = log.with_suffix(".new")
    other.write_text("another\n")
    other.rename(log)


def swap_folder(log: Path) -> None:
    """Put another folder in the place of its folder."""
    other = log.parent.with_name("other")
    shutil.copytree(log.parent, other)
    log.parent.rename(log.parent.with_name("old"))
    other.rename(log.parent)


@pytest.mark.parametrize("is_notified", [False, True])
@pytest.mark.parametrize("happens", [append, truncate, rewrite, rotate, move_over, swap_folder])
def test_whatever_happens_to_a_file_is_seen_at_the_next_look(
    log: Path, known: Known, happens: Callable[[Path], None], *, is_notified: bool
) -> None:
    """Also what only its folder tells; of what keeps its size the kernel tells."""
    looker = settled_looker(log, known)
    happens(log)
    seen = looker.look({str(log): known}, is_notified=is_notified).paths

    assert seen == ({} if is_notified and happens is rewrite else {str(log): facts_of(log.stat())})
    whole = Looker(whole_seconds=0).look({str(log): known}, is_notified=is_notified)
    assert whole.paths == {str(log): facts_of(log.stat())}


def test_after_news_that_were_lost_every_path_is_looked_at(log: Path, known: Known) -> None:
    """Also what keeps its size, in a folder that is as it was."""
    looker = settled_looker(log, known)
    rewrite(log)
    assert not looker.look({str(log): known}, is_notified=True).paths
    looker.trust_nothing()

    assert looker.look({str(log): known}, is_notified=True).paths == {str(log): facts_of(log.stat())}


def test_a_folder_whose_time_was_set_back_is_no_known_one(log: Path, known: Known) -> None:
    """Another file was put in it meanwhile."""
    looker = settled_looker(log, known)
    before = log.parent.stat()
    rotate(log)
    os.utime(log.parent, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert looker.look({str(log): known}).paths == {str(log): facts_of(log.stat())}


@pytest.mark.parametrize("fact", ["device", "inode", "size_bytes", "changed_ns"])
def test_a_file_is_another_one_if_any_fact_is_another(log: Path, known: Known, fact: str) -> None:
    """Its device, too: inodes are numbered anew on each."""
    facts = facts_of(log.stat())
    other = replace(known, facts=replace(facts, **{fact: getattr(facts, fact) + 1}))

    assert Looker(whole_seconds=0).look({str(log): other}).paths == {str(log): facts}


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_gone_is_seen_to_be(log: Path, known: Known, what: str) -> None:
    """Though it is held open."""
    looker = settled_looker(log, known)
    if what == "file":
        log.unlink()
    else:
        shutil.rmtree(log.parent)

    assert isinstance(looker.look({str(log): known}).paths[str(log)], FileNotFoundError)


@pytest.mark.parametrize("is_set_back", [False, True])
def test_a_folder_that_has_just_changed_tells_nothing(log: Path, known: Known, *, is_set_back: bool) -> None:
    """Its time goes in steps: it may change again within one, though it was set back."""
    if is_set_back:
        os.utime(log.parent, (1, 1))
    other = replace(known, facts=facts_of(Path(__file__).stat()), descriptor=os.open(__file__, os.O_RDONLY))
    looker = Looker(settled_ns=3600 * 10**9, whole_seconds=3600)
    for _ in range(3):
        assert looker.look({str(log): other}).paths == {str(log): known.facts}
    os.close(other.descriptor or 0)


def test_what_does_not_show_in_a_folder_is_seen_when_all_paths_are_looked_at(log: Path, known: Known) -> None:
    """As if another file were mounted over it."""
    other = replace(known, facts=facts_of(Path(__file__).stat()), descriptor=os.open(__file__, os.O_RDONLY))
    looker = settled_looker(log, known)
    assert not looker.look({str(log): other}).paths
    looker = Looker(settled_ns=0, whole_seconds=0)
    for _ in range(2):
        assert looker.look({str(log): other}).paths == {str(log): known.facts}
    os.close(other.descriptor or 0)


@pytest.mark.parametrize("what", ["glob", "folder"])
def test_a_file_that_is_made_within_the_tick_of_a_listing_is_found(log: Path, what: str) -> None:
    """The time of its folder is the same."""
    patterns, folders = Patterns([str(log.parent / "*.log")]), Folders()

    def look() -> set[str]:
        return set(
            patterns.expand() if what == "glob" else [name for name, _ in folders.list_changed([str(log.parent)])]
        )

    before = log.parent.stat()
    assert look() == {str(log)}
    other = log.with_name("other.log")
    other.touch()
    os.utime(log.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look() == {str(log), str(other)}


def test_a_folder_in_which_nothing_happens_is_listed_once(log: Path) -> None:
    """And again once a file was made in it."""
    folders = Folders()
    os.utime(log.parent, (1, 1))
    assert [len(folders.list_changed([str(log.parent)])) for _ in range(3)] == [1, 0, 0]
    log.with_name("other.log").touch()
    assert len(folders.list_changed([str(log.parent)])) == 2


RENAMES = """
import os, sys
for round in range(20):
    for number in range(300):
        names = [f"{number}.log", f"{number}.log.1"]
        os.rename(*(names if round % 2 == 0 else reversed(names)))
    print(flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_is_renamed_while_its_folder_is_listed_is_listed(tmp_path: Path) -> None:
    """Under one of its names; another process renames all of them, over and over."""
    for number in range(300):
        (tmp_path / f"{number}.log").touch()
    (tmp_path / "a link to nothing").symlink_to("nothing")
    there = {path.stat().st_ino for path in tmp_path.glob("*.log")}
    command = [sys.executable, "-c", RENAMES]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as renaming:
        assert renaming.stdin is not None
        assert renaming.stdout is not None
        listings = []
        for _ in range(20):
            while not select.select([renaming.stdout], [], [], 0)[0]:
                listings.append({facts.inode for _, facts in list_files(str(tmp_path))})
            renaming.stdout.readline()
            renaming.stdin.write("\n")
            renaming.stdin.flush()

    assert listings
    assert all(found == there for found in listings)

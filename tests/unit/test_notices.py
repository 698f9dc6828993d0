"""What the kernel tells of folders and of open files, and of what it does not tell."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import append
from falco_enrichment_exporter.sources.notices import News, Notices


@pytest.fixture
def notices() -> Iterator[Notices[str]]:
    """Ask the kernel until the end of the test."""
    notices: Notices[str] = Notices()
    yield notices
    notices.close()


def told(notices: Notices[str]) -> News[str]:
    """Return what has been told until now."""
    return asyncio.run(notices.wait(0))


def test_what_others_write_into_the_folder_of_a_file_is_not_told(tmp_path: Path, notices: Notices[str]) -> None:
    """Many programs write to /var/log; a quiet log must cost nothing there."""
    log, other = tmp_path / "falco.log", tmp_path / "syslog"
    other.touch()
    with log.open("ab", buffering=0) as falco:
        assert notices.watch([str(tmp_path)])
        assert notices.watch_files({"falco": falco.fileno()}) == {"falco"}
        append(other, b"not ours\n")
        assert told(notices) == News()
        falco.write(b"ours\n")
        assert told(notices) == News(written={"falco"})
        other.rename(tmp_path / "syslog.1")
        assert told(notices).moved == {str(other), str(tmp_path / "syslog.1")}
    assert notices.is_up


def test_a_file_is_told_of_under_any_name(tmp_path: Path, notices: Notices[str]) -> None:
    """Renamed, linked to elsewhere, without a name at all: it is the file that is watched."""
    log, elsewhere = tmp_path / "falco.log", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with log.open("ab", buffering=0) as falco:
        notices.watch_files({"falco": falco.fileno()})
        (elsewhere / "link").hardlink_to(log)
        append(elsewhere / "link", b"1\n")
        assert told(notices).written == {"falco"}
        log.rename(tmp_path / "falco.log.1")
        append(tmp_path / "falco.log.1", b"2\n")
        assert told(notices).written == {"falco"}
        (elsewhere / "link").unlink()
        (tmp_path / "falco.log.1").unlink()
        falco.write(b"3\n")
        assert told(notices).written == {"falco"}


def watches() -> int:
    """Count the watches that this process has."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    (own,) = [link for link in links if "inotify" in str(link.readlink())]
    return Path(f"/proc/self/fdinfo/{own.name}").read_text().count("\ninotify ")


def test_a_file_of_which_the_kernel_forgets_is_watched_anew(tmp_path: Path, notices: Notices[str]) -> None:
    """It does so when the last name is removed, if that is not the one by which the file was opened."""
    log, link = tmp_path / "falco.log", tmp_path / "link"
    with log.open("ab", buffering=0) as falco:
        link.hardlink_to(log)
        assert notices.watch_files({"falco": falco.fileno()}) == {"falco"}
        log.unlink()
        link.unlink()
        assert told(notices) == News()
        assert notices.watch_files({"falco": falco.fileno()}) == {"falco"}
        falco.write(b"more\n")
        assert told(notices) == News(written={"falco"})


def test_a_file_that_is_not_given_again_is_not_told_of_any_more(tmp_path: Path, notices: Notices[str]) -> None:
    """Those that are given again are not new."""
    with (tmp_path / "a").open("ab", buffering=0) as a, (tmp_path / "b").open("ab", buffering=0) as b:
        files = {"a": a.fileno(), "b": b.fileno()}
        assert notices.watch_files(files) == {"a", "b"}
        assert notices.watch_files(files) == set()
        assert watches() == 2
        del files["a"]
        assert notices.watch_files(files) == set()
        assert watches() == 1
        told(notices)
        for file in (a, b):
            file.write(b"more\n")
        assert told(notices) == News(written={"b"})


def test_a_file_that_was_opened_anew_is_told_of_by_its_new_name(tmp_path: Path, notices: Notices[str]) -> None:
    """The kernel has one watch for a file, however often it was opened."""
    log = tmp_path / "falco.log"
    with log.open("ab", buffering=0) as falco, log.open("rb") as again:
        notices.watch_files({"before": falco.fileno()})
        assert notices.watch_files({"after": again.fileno()}) == {"after"}
        falco.write(b"more\n")
        assert told(notices) == News(written={"after"})


def test_a_file_that_cannot_be_watched_is_said_once(
    tmp_path: Path, notices: Notices[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Then all must be looked at; once all that there are can be watched, that is over."""
    with (tmp_path / "falco.log").open("ab") as falco:
        for _ in range(2):
            assert notices.watch_files({"falco": falco.fileno(), "closed": 1 << 19}) <= {"falco"}
            assert not notices.is_up
        assert not notices.watch([str(tmp_path / "absent")])
        assert not notices.is_up
        notices.watch_files({"falco": falco.fileno()})
        assert notices.is_up
    assert [vars(record)["error"] for record in caplog.records] == [os.strerror(errno.ENOENT)]


def test_without_the_kernel_nothing_is_told(tmp_path: Path) -> None:
    """Switched off, it only waits."""
    notices: Notices[str] = Notices(is_enabled=False)
    with (tmp_path / "falco.log").open("ab", buffering=0) as falco:
        assert not notices.watch([str(tmp_path)])
        assert notices.watch_files({"falco": falco.fileno()}) == set()
        falco.write(b"more\n")
        assert told(notices) == News()
    assert not notices.is_up


def test_news_end_a_wait_and_the_next_one_waits_again(tmp_path: Path, notices: Notices[str]) -> None:
    """Whether the wait before ended by news or by the time."""

    async def wait() -> None:
        with (tmp_path / "falco.log").open("ab", buffering=0) as falco:
            notices.watch_files({"falco": falco.fileno()})
            for _ in range(2):
                assert await notices.wait(0.01) == News()
                waiting = asyncio.create_task(notices.wait(60))
                await asyncio.sleep(0)
                falco.write(b"more\n")
                async with asyncio.timeout(5):
                    assert await waiting == News(written={"falco"})
                falco.write(b"more\n")
                assert await notices.wait(0) == News(written={"falco"})
            assert await notices.wait(0.01) == News()
        notices.close()

    asyncio.run(wait())

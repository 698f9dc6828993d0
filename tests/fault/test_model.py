"""Steps in any order: a machine draws what happens to a log and to the exporter, and a model says what must be counted.

Short runs are always the same ones; ``HYPOTHESIS_PROFILE=nightly`` draws long ones that nobody has seen before.
"""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from e2e.harness import Exporter, Samples, Start, eventually, polls, total
from fault.driver import NET_SECONDS, POLL_SECONDS, PREFIX, Watch, noticing, rules
from fault.model import Linked, Model

pytestmark = pytest.mark.e2e


def _has_log(machine: "Machine") -> bool:
    return machine.model.world.log.exists()


def _is_up(machine: "Machine") -> bool:
    return machine.exporter is not None


class Machine(RuleBasedStateMachine):
    """One log, and one exporter that is up or down."""

    def __init__(self, start: Start, folder: Path) -> None:
        super().__init__()
        self.exporter: Exporter | None = None
        self._watch = Watch()
        self._start, self._folder = start, folder
        self._is_wrong = False

    @initialize(is_notified=st.booleans(), is_linked=st.booleans(), is_there=st.booleans())
    def begin(self, *, is_notified: bool, is_linked: bool, is_there: bool) -> None:
        """Start with an empty log, or without one."""
        (self._folder / "log").mkdir(parents=True)
        self.model = Model(self._folder / "log", is_linked=is_linked)
        if is_there:
            self.model.world.log.touch()
        sources = f"--source.paths={self.model.path}", f"--state.directory={self._folder / 'state'}"
        self._arguments = (*sources, *noticing(is_notified=is_notified))
        self._late_seconds = 1.2 * NET_SECONDS if is_notified else 5 * POLL_SECONDS
        self.start()

    # -- the exporter ------------------------------------------------------------------------------------------------

    @precondition(lambda self: not _is_up(self))
    @rule()
    def start(self) -> None:
        """Start it; what it shows is stored."""
        self.exporter = self._start(*self._arguments).wait_until_ready()
        self._look()
        self.model.begin()

    @precondition(_is_up)
    @rule(seconds=st.sampled_from((POLL_SECONDS, 3 * POLL_SECONDS)))
    def pause(self, seconds: float) -> None:
        """Scrape for a while."""
        for _ in polls(seconds):
            self._look()

    @rule()
    def settle(self) -> None:
        """Wait until all that was written is counted."""
        self._is_wrong = True  # unless
        eventually(self._difference, lambda wrong: not wrong)
        self._is_wrong = False
        self.model.settle()

    @precondition(_is_up)
    @rule()
    def kill(self) -> None:
        """End it at once."""
        self._up().process.kill()
        self._up().process.wait()
        self._note_end()

    @precondition(_is_up)
    @rule()
    def stop(self) -> None:
        """End it with SIGTERM."""
        assert self._up().stop().code == 0
        self._note_end()

    @rule(count=st.integers(1, 60))
    def write(self, count: int) -> None:
        self.model.write(count)

    @precondition(lambda self: self.model.begun is None)
    @rule(length=st.sampled_from((1, 100, -1)))  # -1: all but the newline
    def begin_line(self, length: int) -> None:
        self.model.begin_line(length)

    @precondition(lambda self: self.model.begun is not None)
    @rule()
    def end_line(self) -> None:
        self.model.end_line()

    @precondition(_has_log)
    @rule(late=st.integers(0, 3), is_created=st.booleans())
    def rename(self, late: int, *, is_created: bool) -> None:
        self.model.rename(late, is_created=is_created)

    @precondition(_has_log)
    @rule()
    def copy(self) -> None:
        self.model.copy()

    @precondition(_has_log)
    @rule()
    def truncate(self) -> None:
        self.model.truncate()

    @precondition(_has_log)
    @rule()
    def copy_and_truncate(self) -> None:
        """Leave no time between the two."""
        self.model.copy()
        self.model.truncate()

    @precondition(_has_log)
    @rule(is_created=st.booleans())
    def remove(self, *, is_created: bool) -> None:
        self.model.remove(is_created=is_created)

    @rule()
    def remove_rotated(self) -> None:
        self.model.remove_rotated()

    @precondition(lambda self: isinstance(self.model.world, Linked))
    @rule(is_created=st.booleans())
    def swap(self, *, is_created: bool) -> None:
        self.model.swap(is_created=is_created)

    def teardown(self) -> None:
        """Wait until all that was written is counted, and that it stays so: a double count may come late."""
        try:
            if not self._is_wrong:
                self._judge()
        finally:
            if self.exporter is not None:
                self.kill()
            self.model.world.close()

    def _judge(self) -> None:
        if self.model.begun is not None:
            self.model.end_line()
        self.settle()
        for _ in polls(self._late_seconds):
            assert not self._difference()

    def _up(self) -> Exporter:
        if self.exporter is None:
            self.start()
        assert self.exporter is not None
        return self.exporter

    def _look(self) -> Samples:
        """Scrape; what was shown before is never taken back."""
        samples = self._watch.look(self._up())
        assert not self._watch.steps_back
        return samples

    def _note_end(self) -> None:
        self.exporter = None
        self.model.end()

    def _difference(self) -> str:
        """Say where it is not what it must be, in alerts by rule or in the bytes that are told as lost."""
        samples = self._look()
        told = total(samples, f"{PREFIX}exporter_lost_bytes_total") or 0
        most = self.model.lost_bytes(rules(samples))
        loss = f"told as lost {told:.0f} bytes of {most:.0f}" if told > most else ""
        return self.model.world.difference(rules(samples)) or loss


def test_whatever_happens_every_line_on_disk_is_counted_once(start: Start, tmp_path: Path) -> None:
    """Counted once, never taken back, and no more told as lost than is."""
    folders = (tmp_path / str(number) for number in itertools.count())

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(start, next(folders))

    profile = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
    run_state_machine_as_test(Here, settings=profile)

"""The exporters of the fault tests end with their test or module, as those of the end-to-end tests do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings

from e2e.conftest import start, start_shared
from e2e.harness import Exporter, Start
from fault.driver import noticing
from fault.world import World

__all__ = ["start", "start_shared"]

_SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What fails by a race does not get simpler by being tried again, so the short runs are not shrunk.
settings.register_profile(
    "short",
    _SLOW,
    max_examples=12,
    stateful_step_count=12,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("nightly", _SLOW, max_examples=300, stateful_step_count=40)


class Follow(Protocol):
    """Start an exporter on patterns, with its state in the test's folder; return it once it is ready."""

    def __call__(
        self, *patterns: Path | str, is_notified: bool = False, options: Sequence[str] = (), prefix: Sequence[str] = ()
    ) -> Exporter: ...


@pytest.fixture
def follow(start: Start, tmp_path: Path) -> Follow:
    """Start exporters in the test's folder."""

    def follow(
        *patterns: Path | str, is_notified: bool = False, options: Sequence[str] = (), prefix: Sequence[str] = ()
    ) -> Exporter:
        paths = [f"--source.paths={pattern}" for pattern in patterns]
        settings = [*noticing(is_notified=is_notified), f"--state.directory={tmp_path / 'state'}", *options]
        return start(*paths, *settings, prefix=prefix).wait_until_ready()

    return follow


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world with an empty log in a folder of its own."""
    folder = tmp_path / "falco"
    folder.mkdir()
    world = World("world", folder)
    world.log.touch()
    return world

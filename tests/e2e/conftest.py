"""Exporters that are gone when the test is over."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Exporter, Start


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:
        started: list[Exporter] = []

        def start(*arguments: str, **more: Any) -> Exporter:
            command = list(arguments) if arguments[0] in ("serve", "demo") else ["serve", *arguments]
            if not any(argument.startswith("--web.listen-address") for argument in arguments):
                command.append("--web.listen-address=127.0.0.1:0")
            exporter = stack.enter_context(Exporter(command, folder, **more))
            started.append(exporter)
            return exporter

        yield start
        for exporter in started:
            assert "Traceback" not in exporter.stderr, exporter.stderr


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start exporters that end with the test; none of them may have logged a traceback."""
    with _starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start exporters that end with the module."""
    with _starting(tmp_path_factory.mktemp("shared")) as start:
        yield start

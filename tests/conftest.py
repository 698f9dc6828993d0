"""Options of the test run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag of `make golden`."""
    parser.addoption("--golden-rewrite", action="store_true", help="rewrite the golden scrapes instead of comparing")

"""Tables in Markdown, aligned to be read as they are."""

import math
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import mtail_version

NONE = "-"


@dataclass(frozen=True)
class Target:
    """A limit that a value should keep."""

    limit: float
    unit: str = ""
    is_least: bool = False

    def judge(self, value: float) -> str:
        """Say the limit, and whether it is kept."""
        is_kept = value >= self.limit if self.is_least else value <= self.limit
        return f"{'>=' if self.is_least else '<='} {self.limit:g}{self.unit} {'met' if is_kept else 'MISSED'}"


@dataclass
class Table:
    """One section of the report."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row; cells that are not given are empty."""
        self.rows.append([*cells, *[NONE] * (len(self.columns) - len(cells))])

    def __str__(self) -> str:
        rows = [self.columns, *self.rows]
        widths = [max(len(row[index]) for row in rows) for index in range(len(self.columns))]
        rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
        lines = [f"## {self.title}", "", _line(self.columns, widths), _line(rule, widths)]
        lines += [_line(row, widths) for row in self.rows]
        return "\n".join([*lines, *[f"\n{note}" for note in self.notes], ""])


def _line(cells: Sequence[str], widths: Iterable[int]) -> str:
    padded = [
        cell.rjust(width) if index else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write the median, and the range if there is one."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def times(value: float | None, by: float | None) -> str:
    """Write a ratio."""
    return NONE if not value or not by else f"{value / by:.1f}x"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def machine() -> str:
    """Say in one line where this was measured."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    load = os.getloadavg()[0]
    build = (
        f"Python {platform.python_version()} of {sys.base_prefix}"  # a distribution's is a tenth faster than pyenv's
    )
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {build}, "
        f"mtail {mtail_version()}, load {load:.1f} at the start"
    )

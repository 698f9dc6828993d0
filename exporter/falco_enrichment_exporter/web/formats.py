"""How numbers are written and drawn for people. Unknown is a dash or a gap, never a zero."""

from collections.abc import Sequence
from itertools import groupby
from math import floor, log10
from typing import Final

from markupsafe import Markup

from falco_enrichment_exporter.core import words
from falco_enrichment_exporter.core.history import POINTS

UNKNOWN: Final = "–"  # noqa: RUF001  a dash on purpose
_STEP: Final = 2  # width of an interval in a small line
_HEIGHT: Final = 20


def duration(seconds: float | None) -> str:
    """Write a duration with its two largest units."""
    return UNKNOWN if seconds is None else words.duration(seconds)


def percent(ratio: float | None) -> str:
    """Write a ratio in percent with as many decimals as it takes to be more than 0."""
    if ratio is None:
        return UNKNOWN
    value = ratio * 100
    if value == 0 or value >= 10:  # noqa: PLR2004
        return f"{value:.0f} %"
    decimals = max(1 - floor(log10(value)), 0)
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") + " %"


def count(number: float | None) -> str:
    """Write a whole number with thin groups of three."""
    return UNKNOWN if number is None else f"{number:,.0f}".replace(",", "\u202f")


def size(number: float | None) -> str:
    """Write a number of bytes with a binary unit."""
    if number is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":  # noqa: PLR2004
            break
        number /= 1024
    return f"{number:.0f} {unit}" if number == int(number) else f"{number:.1f} {unit}"


def line(values: Sequence[float | None], limit: float | None, label: str) -> Markup:
    """Draw values as a staircase, the newest at the right, from 0 to the largest or the limit; the limit dotted.

    Empty while there are not two values to compare.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004
        return Markup()
    top = max(*known, limit or 0) or 1

    def height(value: float) -> int:
        return _HEIGHT - 1 - round(value / top * (_HEIGHT - 2))

    path, x = "", _STEP * (POINTS - len(values))
    is_drawn = False
    for y, same in groupby(None if value is None else height(value) for value in values):
        width = _STEP * len(list(same))
        if y is not None:
            path += (f"V{y}" if is_drawn else f"M{x} {y}") + f"h{width}"
        is_drawn, x = y is not None, x + width
    dots = Markup('<path class="limit" d="M0 {}h{}"/>').format(height(limit), _STEP * POINTS) if limit else ""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}<path d="{}"/></svg>').format(
        _STEP * POINTS, _HEIGHT, label, dots, path
    )


FILTERS: Final = {"duration": duration, "percent": percent, "count": count, "size": size}

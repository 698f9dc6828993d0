"""The newest values of every signal of a host, a row for each snapshot interval: small lines are drawn of them.

A history is a string of bytes, ``POINTS`` rows at most and the oldest first: 1.5 KiB a host, small enough for 10 000
hosts and for the checkpoint. A row has a float32 for each of ``NAMES``; NaN stands for unknown.
"""

from collections.abc import Sequence
from math import isnan, nan
from struct import Struct
from typing import Final

from falco_enrichment_exporter.core.signals import ALERT_RATIO, SIGNALS

POINTS: Final = 48  # two days at Falco's default interval
NAMES: Final = (*(signal.name for signal in SIGNALS), ALERT_RATIO)
_ROW: Final = Struct(f"<{len(NAMES)}f")


def extended(history: bytes, values: Sequence[float | None], *, is_correction: bool) -> bytes:
    """Add a row, in the order of ``NAMES``; a correction takes the place of the newest one."""
    if len(history) % _ROW.size:
        history = b""  # of a version with other signals
    kept = history[: -_ROW.size] if is_correction else history
    row = _ROW.pack(*(nan if value is None else value for value in values))
    return (kept + row)[-POINTS * _ROW.size :]


def by_signal(history: bytes) -> dict[str, list[float | None]]:
    """Return the values of each signal, oldest first; None is unknown."""
    rows = list(_ROW.iter_unpack(history)) if len(history) % _ROW.size == 0 else []
    return {name: [None if isnan(row[place]) else row[place] for row in rows] for place, name in enumerate(NAMES)}

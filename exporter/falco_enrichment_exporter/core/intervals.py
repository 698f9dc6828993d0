"""Lives, resets, intervals: what the difference between two snapshots means.

A *life* is one run of Falco's counters. Within a life a counter is followed by its high-water mark: Falco corrects
some counters downwards, now and then below zero into 2^64, and neither is a reset nor a number. An *interval* is the
way from one tick of Falco's metrics timer to the next; a twin snapshot seconds after a tick prolongs the interval it
follows.
All times are Falco's own ``evt.time`` in nanoseconds; nothing here knows a clock.
"""

from itertools import takewhile
from statistics import median
from typing import Final

import msgspec

from falco_enrichment_exporter.core import catalog
from falco_enrichment_exporter.core.records import Snapshot
from falco_enrichment_exporter.core.units import Fields, Number

WINDOWS: Final = {"last": 1, "last3": 3}
GAPS_KEPT: Final = 5
TWIN_SHARE: Final = 4  # a gap below a quarter of the usual one is not a tick of its own
FIRST_TWIN_SHARE: Final = 10  # so much longer must the second gap be for the first one to have been a twin's
WRAPPED: Final = 1 << 63
CORRECTION_SLACK: Final = 1000
RELOAD_TS_SINCE: Final = (0, 41)


class Interval(msgspec.Struct):
    """What happened between two ticks of one life: increases by key, and the container gauges at its end."""

    seconds: float
    increases: dict[str, int]
    containers: Number | None = None
    missing_images: Number | None = None


class Life(msgspec.Struct):
    """One run of Falco's counters, as far as snapshots told.

    ``marks`` are the high-water marks of the counters in the newest snapshot; a counter it does not carry is not there.
    ``intervals`` are the newest three, oldest first. ``gaps`` are the lengths of the newest five, in seconds.
    """

    start_ns: int | None
    reload_ns: int | None
    at_ns: int
    processed_events: Number
    marks: dict[str, int]
    snapshots: int = 1
    intervals: list[Interval] = []
    gaps: list[float] = []
    is_after_twin: bool = False

    def is_continued_by(self, snapshot: Snapshot) -> bool:
        """Say whether a later snapshot belongs to the same run of the counters."""
        start_ns, reload_ns = identity(snapshot.fields)
        if _differ(start_ns, self.start_ns) or _differ(reload_ns, self.reload_ns):
            return False
        # Before 0.41 only the fall of num_evts tells a hot reload: start_ts stays.
        return reload_ns is not None or _events(snapshot.fields, self.processed_events) >= self.processed_events

    def advance(self, snapshot: Snapshot, counters: dict[str, int]) -> None:
        """Take in the next snapshot of this life; ``counters`` are its raw counters, zeros filled in."""
        gap = (snapshot.at_ns - self.at_ns) / 1e9
        increases = self._raise_marks(counters)
        fields = snapshot.fields
        if self._is_twin(gap):
            self._prolong(gap, increases)
            self.is_after_twin = True
        else:
            self._append(gap, increases)
            self.is_after_twin = False
        newest = self.intervals[-1]
        newest.containers = gauge(fields, "falco.n_containers", "plugins.container.n_containers")
        newest.missing_images = gauge(fields, "falco.n_missing_container_images")
        self.at_ns = snapshot.at_ns
        start_ns, reload_ns = identity(fields)
        self.start_ns, self.reload_ns = start_ns or self.start_ns, reload_ns or self.reload_ns
        self.processed_events = _events(fields, self.processed_events)
        self.snapshots += 1

    def _raise_marks(self, counters: dict[str, int]) -> dict[str, int]:
        """Move the marks to the new values; return the increase of every counter that has one."""
        increases: dict[str, int] = {}
        marks: dict[str, int] = {}
        for key, value in counters.items():
            mark = self.marks.get(key)
            if mark is None:
                marks[key] = 0 if value >= WRAPPED else value
            elif value >= WRAPPED or (value < mark and _is_correction(key, mark, value)):
                marks[key], increases[key] = mark, 0
            elif value < mark:  # this counter alone began anew
                marks[key] = value
                for interval in self.intervals:
                    interval.increases.pop(key, None)
            else:
                marks[key], increases[key] = value, value - mark
        self.marks = marks
        return increases

    def _is_twin(self, gap: float) -> bool:
        # A twin follows a tick, never another twin: two short gaps in a row are the timer itself.
        return bool(self.gaps) and not self.is_after_twin and gap * TWIN_SHARE < median(self.gaps)

    def _prolong(self, gap: float, increases: dict[str, int]) -> None:
        newest = self.intervals[-1]
        newest.seconds += gap
        self.gaps[-1] += gap
        newest.increases = {key: newest.increases[key] + n for key, n in increases.items() if key in newest.increases}

    def _append(self, gap: float, increases: dict[str, int]) -> None:
        if len(self.gaps) == 1 and gap > FIRST_TWIN_SHARE * self.gaps[0]:
            self._prolong(gap, increases)  # the first gap of this life was a twin's
            return
        self.gaps = [*self.gaps, gap][-GAPS_KEPT:]
        self.intervals = [*self.intervals, Interval(gap, increases)][-max(WINDOWS.values()) :]

    def in_a_row(self, key: str, limit: float = 0) -> int | None:
        """Count the newest intervals in a row in which a counter grew by more; None as for ``increase``."""
        if self.increase(key, 1) is None:
            return None
        return sum(1 for _ in takewhile(lambda past: past.increases.get(key, 0) > limit, reversed(self.intervals)))

    def increase(self, key: str, intervals: int) -> int | None:
        """Sum the increases of a counter over a window; None if the newest interval does not know it."""
        window = self._window((key,), intervals)
        return sum(interval.increases[key] for interval in window) if window else None

    def _window(self, keys: tuple[str, ...], intervals: int) -> list[Interval]:
        """Return the newest intervals in a row that have all of these counters."""
        window: list[Interval] = []
        for interval in reversed(self.intervals[-intervals:]):
            if not all(key in interval.increases for key in keys):
                break
            window.insert(0, interval)
        return window

    @property
    def interval_seconds(self) -> float | None:
        """Median of the newest gaps between ticks; None before the second snapshot."""
        return median(self.gaps) if self.gaps else None

    def ratio(self, over: tuple[str, ...], under: tuple[str, ...], intervals: int) -> float | None:
        """Divide two sums over the same intervals; None when a part is unknown or the denominator is 0."""
        window = self._window((*over, *under), intervals)
        denominator = sum(interval.increases[key] for interval in window for key in under)
        return (
            sum(interval.increases[key] for interval in window for key in over) / denominator if denominator else None
        )

    def missing_image_ratio(self, intervals: int) -> float | None:
        """Relate image-less containers to containers, whichever generation of the two counts there is; at most 1."""
        if not self.intervals:
            return None
        containers = self.intervals[-1].containers
        missing: Number | None = self.increase("plugins.container.n_missing_container_images", intervals)
        if missing is None:
            window = [
                i for i in self.intervals[-intervals:] if i.containers is not None and i.missing_images is not None
            ]
            containers = sum(i.containers or 0 for i in window)
            missing = sum(i.missing_images or 0 for i in window)
        return min(missing / containers, 1) if containers else None

    def per_second(self, key: str) -> float | None:
        """Return the increase of a counter by second over the newest interval; None if unknown."""
        if not self.intervals or key not in self.intervals[-1].increases:
            return None
        return self.intervals[-1].increases[key] / self.intervals[-1].seconds


def begin(snapshot: Snapshot, counters: dict[str, int]) -> Life:
    """Start a life with its first snapshot."""
    start_ns, reload_ns = identity(snapshot.fields)
    return Life(
        start_ns=start_ns,
        reload_ns=reload_ns,
        at_ns=snapshot.at_ns,
        processed_events=_events(snapshot.fields, 0),
        marks={key: 0 if value >= WRAPPED else value for key, value in counters.items()},
    )


def identity(fields: Fields) -> tuple[int | None, int | None]:
    """Return (start, reload) of Falco in nanoseconds since 1970; a replay's start of 0 is unknown."""
    return _count(fields.get("falco.start_ts")) or None, _count(fields.get("falco.reload_ts")) or None


def raw_counters(fields: Fields) -> dict[str, int]:
    """Pick the counters of our series out of zero-filled fields."""
    known = ((key, fields[key]) for key in catalog.COUNTER_KEYS & fields.keys())
    return {key: int(value) for key, value in known if not isinstance(value, str)}


def gauge(fields: Fields, *keys: str) -> Number | None:
    """Return the first of these fields that is a number, or None."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, int | float):
            return value
    return None


def _count(value: Number | str | None) -> int:
    return max(int(value), 0) if isinstance(value, int | float) else 0


def _differ(found: int | None, known: int | None) -> bool:
    """Say whether a time is another one; one that a snapshot does not tell is not."""
    return found is not None and known is not None and found != known


def _events(fields: Fields, before: Number) -> Number:
    """Return the events that Falco has processed: 0 if there is no such field, as before if it cannot be read."""
    value = fields.get("falco.num_evts", 0)
    return before if isinstance(value, str) else max(int(value), 0)


def _is_correction(key: str, mark: int, value: int) -> bool:
    """Tell Falco's own small correction from a counter that began anew."""
    if key in catalog.CORRECTED_KEYS and mark - value <= CORRECTION_SLACK:
        return True
    return value * 2 > mark

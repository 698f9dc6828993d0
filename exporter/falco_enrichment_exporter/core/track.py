"""One host and source: its newest snapshot with the zeros that Falco left out, and the life it belongs to."""

from functools import lru_cache
from typing import Final

import msgspec

from falco_enrichment_exporter.core import catalog, intervals
from falco_enrichment_exporter.core.catalog import Group
from falco_enrichment_exporter.core.records import Snapshot
from falco_enrichment_exporter.core.units import Fields

MOST_AHEAD_SECONDS: Final = 3600
"""A snapshot of a time further ahead was written by a clock that is wrong."""


def age_seconds(at_ns: int, now: float) -> float | None:
    """Return how old a snapshot is at a Unix time; None if that is not known, for it is ahead of the time."""
    age = now - at_ns / 1e9
    return max(age, 0) if age >= -MOST_AHEAD_SECONDS else None


class Track(msgspec.Struct):
    """One (hostname, source): the fields of its newest snapshot, zeros filled in, and what came before it.

    ``history`` has the newest values of its signals (core.history).
    """

    fields: Fields
    groups: frozenset[Group]
    life: intervals.Life
    snapshots: int = 1
    restarts: int = 0
    reloads: int = 0
    history: bytes = b""

    @property
    def version(self) -> catalog.Version | None:
        """Falco's version, None if the snapshot does not say."""
        return catalog.version_of(self.fields.get("falco.version"))

    @property
    def uptime_seconds(self) -> float | None:
        """Age of Falco's process at the newest snapshot; None where Falco did not know its start (a replay)."""
        duration = intervals.gauge(self.fields, "falco.duration_sec")
        return float(duration) if duration is not None and self.life.start_ns is not None else None


def fill_zeros(fields: Fields) -> tuple[Fields, frozenset[Group]]:
    """Add the zeros that Falco left out, and tell which groups of fields are there.

    Falco omits counters that are 0 (``include_empty_values: false``): a member that this version and engine have, and
    whose group is present, is 0. A group that is absent stays unknown.
    """
    groups = frozenset(filter(None, map(catalog.group_of, fields))) | {Group.WRAPPER}
    if "scap.n_evts" not in fields:
        groups -= {Group.KERNEL}  # n_drops_perc is printed without it too and proves nothing
    has_container_plugin = Group.PLUGINS in groups and any(key.startswith("plugins.container.") for key in fields)
    version = catalog.version_of(fields.get("falco.version"))
    engine = str(fields.get("scap.engine_name", ""))
    zeros = _omitted_at_zero(version, engine, groups, has_container_plugin=has_container_plugin)
    return fields | zeros | fields, groups  # in the order of the snapshot


@lru_cache(maxsize=64)
def _omitted_at_zero(
    version: catalog.Version | None, engine: str, groups: frozenset[Group], *, has_container_plugin: bool
) -> Fields:
    members = (field for field in catalog.FIELDS if field.omitted_at_zero and field.is_known_to(version, engine))
    members = (field for field in members if has_container_plugin or not field.key.startswith("plugins."))
    return {field.key: 0 for field in members if field.group in groups}


def new_track(snapshot: Snapshot) -> Track:
    """Begin with a first snapshot."""
    fields, groups = fill_zeros(snapshot.fields)
    life = intervals.begin(snapshot, intervals.raw_counters(fields))
    return Track(fields, groups, life)


def advance(track: Track, snapshot: Snapshot) -> None:
    """Take in a later snapshot of the same host and source; one of an earlier time if its clock was put back."""
    fields, groups = fill_zeros(snapshot.fields)
    counters = intervals.raw_counters(fields)
    is_later = snapshot.at_ns > track.life.at_ns
    if is_later and track.life.is_continued_by(snapshot):
        track.life.advance(snapshot, counters)
    else:
        life = intervals.begin(snapshot, counters)
        if life.start_ns != track.life.start_ns:
            track.restarts += 1
        elif is_later:
            track.reloads += 1
        track.life = life
    track.fields, track.groups = fields, groups
    track.snapshots += 1

"""The signals that tell of a degraded enrichment, and which cause each one of the snapshots' speaks for."""

from dataclasses import dataclass
from typing import Final

from falco_enrichment_exporter.core import intervals
from falco_enrichment_exporter.core.catalog import Group
from falco_enrichment_exporter.core.causes import Cause
from falco_enrichment_exporter.core.series import IMAGE_RATIO, RATIOS, WINDOW_COUNTS
from falco_enrichment_exporter.core.track import Track

USAGE_RATIO: Final = "threadtable_usage_ratio"
ALERT_RATIO: Final = "alert_missing_ratio"
_RATIOS: Final = {ratio.name: ratio for ratio in RATIOS}


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal; ``is_warm``: start-up disturbs it. ``text`` says it of a ``value``."""

    name: str
    cause: Cause
    runbook: str
    group: Group
    domain: str
    text: str
    is_warm: bool = False


SIGNALS: Final = (
    Signal("kernel_drop_ratio", Cause.EVENTS_LOST, "falcokerneleventdrops", Group.KERNEL, "all",
            "{value:.1%} of kernel events were dropped in the newest snapshot interval"),
    Signal("threadtable_full_drops", Cause.TABLE_FULL, "falcothreadtablefull", Group.STATE, "process_tree",
            "threads refused by the full table in the newest snapshot interval: {value:.0f}"),
    Signal("threadtable_usage_ratio", Cause.TABLE_FULL, "falcothreadtablenearlyfull", Group.STATE, "process_tree",
            "{value:.0%} of the thread table is in use"),
    Signal("store_drop_ratio", Cause.STORE_DROPS, "falcostoreeventdrops", Group.STATE, "process",
            "{value:.1%} of enter events could not be stored, for their thread was unknown", is_warm=True),
    Signal("thread_lookup_failure_ratio", Cause.THREAD_LOOKUPS, "falcothreadlookupfailures", Group.STATE, "process_tree",
            "{value:.1%} as many thread lookups failed as succeeded (0.1 to 1 % is normal)", is_warm=True),
    Signal(IMAGE_RATIO, Cause.CONTAINER_RUNTIME, "falcocontainerimagesmissing", Group.WRAPPER, "container_image",
            "Falco itself counted image-less containers: {value:.0%} of those it knows", is_warm=True),
    Signal("output_queue_drops", Cause.OUTPUT_QUEUE, "falcooutputqueuedrops", Group.WRAPPER, "all",
            "alerts or snapshots dropped in the newest snapshot interval: {value:.0f}"),
)  # fmt: skip


def signal_value(track: Track, name: str, window: int, table_limit: int) -> float | None:
    """Return a signal over so many of the newest intervals; None if unknown."""
    if name == IMAGE_RATIO:
        return track.life.missing_image_ratio(window)
    if name in WINDOW_COUNTS:
        return track.life.increase(WINDOW_COUNTS[name][0], window)
    if name == USAGE_RATIO:
        threads = intervals.gauge(track.fields, "falco.n_threads")
        return None if threads is None else threads / table_limit
    ratio = _RATIOS[name]
    return track.life.ratio(ratio.over, ratio.under, window)

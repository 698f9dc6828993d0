"""Whether there are snapshots: switched on, often enough, written where they can be read."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

import yaml

from falco_enrichment_exporter.doctor.config import local
from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

COARSE_SECONDS: Final = 15 * 60
RECOMMENDED: Final = {
    "enabled": True,
    "interval": "1m",
    "output_rule": True,
    "rules_counters_enabled": True,
    "resource_utilization_enabled": True,
    "state_counters_enabled": True,
    "kernel_event_counters_enabled": True,
    "kernel_event_counters_per_cpu_enabled": False,
    "libbpf_stats_enabled": True,
    "plugins_metrics_enabled": True,
    "jemalloc_stats_enabled": False,
    "convert_memory_to_mb": True,
    "include_empty_values": True,
}
"""The whole block: one that is written in part has the code's defaults for the rest."""
_UNITS: Final = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_ALL_NOTHING: Final = "every series that comes from snapshots: thread table, drops, lookups, containers, freshness"


def check_snapshots(facts: Facts) -> Iterator[Finding]:
    """Look at the metrics block."""
    if facts.release < (0, 35, 0):
        yield Finding("no_metrics", Severity.CRITICAL, "This Falco has no metrics snapshots", f"Falco {facts.version}",
                      _ALL_NOTHING, "Upgrade Falco to 0.38 or later")  # fmt: skip
        return
    if not facts.config.flag("metrics.enabled", default=False):
        yield Finding("metrics_disabled", Severity.CRITICAL, "Falco writes no metrics snapshots",
                      facts.config.told("metrics.enabled", "false"), _ALL_NOTHING,
                      f"Write the whole metrics block in {facts.config.where('metrics')}",
                      str(yaml.safe_dump({"metrics": RECOMMENDED}, sort_keys=False)))  # fmt: skip
        return
    yield from _check_interval(facts)
    yield from _check_output(facts)
    yield from _check_kernel_counters(facts)


def seconds_of(text: str) -> float | None:
    """Read an interval as Falco does: 1h30m, 500ms; None for what stops Falco."""
    if not re.fullmatch(r"(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?", text) or not text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def _check_interval(facts: Facts) -> Iterator[Finding]:
    where = f"Set interval in the metrics block of {facts.config.where('metrics')}"
    seconds = seconds_of(facts.config.text("metrics.interval", "5000"))
    told = facts.config.told("metrics.interval", "5000, a number without a unit")
    if seconds is None or seconds < 0.1:  # noqa: PLR2004  Falco's least
        yield Finding("interval_invalid", Severity.CRITICAL, "Falco does not start: the metrics interval is not one",
                      told, "everything: Falco ends with an error", f"{where}, at least 100ms, with its unit",
                      yaml_of("metrics.interval", "1m"))  # fmt: skip
    elif seconds > COARSE_SECONDS:
        yield Finding("interval_coarse", Severity.WARNING, "Snapshots come too seldom to show trouble in time", told,
                      "freshness of every series from snapshots, and bursts, which an average over an hour hides",
                      f"{where} to 15m at most", yaml_of("metrics.interval", "1m"))  # fmt: skip


def _check_output(facts: Facts) -> Iterator[Finding]:
    config, file = facts.config, facts.config.text("metrics.output_file")
    if not config.flag("metrics.output_rule", default=False) and not file:
        yield Finding(
            "snapshots_not_written", Severity.CRITICAL, "Metrics are on, but no snapshot is written",
            f"{config.told('metrics.output_rule', 'false')}; no metrics.output_file", _ALL_NOTHING,
            f"Set output_rule in the metrics block of {config.where('metrics')} to true. The Helm chart writes false"
            " unless the value metrics.outputRule is true; falco.metrics.* has no effect there",
            yaml_of("metrics.output_rule", True))  # fmt: skip
    folder = PurePosixPath(file).parent
    there = local(str(folder), config.path)
    if not file or str(folder) == ".":
        return
    if not there.is_dir():
        facts.not_checked.append(f"whether Falco can write to {folder} (metrics.output_file): it is not here")
    elif not there.stat().st_mode & 0o200:
        yield Finding("output_file_unwritable", Severity.CRITICAL, "Falco does not start: no file for its snapshots",
                      f"metrics.output_file: {file}; {there} is read-only", "everything: Falco ends with an error",
                      f"Make {folder} writable for Falco", "")  # fmt: skip


def _check_kernel_counters(facts: Facts) -> Iterator[Finding]:
    by_cpu = facts.is_since(0, 39) and facts.config.flag("metrics.kernel_event_counters_per_cpu_enabled", default=True)
    if not by_cpu and not facts.config.flag("metrics.kernel_event_counters_enabled", default=True):
        yield Finding(
            "kernel_counters_off", Severity.CRITICAL, "The counters of kernel events are off",
            facts.config.told("metrics.kernel_event_counters_enabled", "true"),
            "scap.n_evts, scap.n_drops*: whether events are lost, the first thing to know; scap.n_drops_perc stays, at 0",
            f"Set kernel_event_counters_enabled in the metrics block of {facts.config.where('metrics')} to true",
            yaml_of("metrics.kernel_event_counters_enabled", True))  # fmt: skip

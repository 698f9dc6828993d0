"""The settings that are on or off: what each one takes away."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from falco_enrichment_exporter.doctor.facts import Facts, Release
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

CRITICAL, WARNING, INFO = Severity


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting that should be ``wanted``, by ``default`` where it is not set, since a release.

    Source: configuration.cpp for the defaults, which are not those of the shipped falco.yaml.
    """

    path: str
    id: str
    severity: Severity
    title: str
    breaks: str
    wanted: bool = True
    default: bool = True
    since: Release = (0, 35, 0)
    until: Release = (999, 0, 0)


METRICS: Final = (
    Switch("metrics.state_counters_enabled", "state_counters_off", CRITICAL,
           "The counters of the process state are off",
           "every falco.n_* field of the snapshots: thread table, thread lookups, store drops, containers before 0.41",
           since=(0, 37, 0)),
    Switch("metrics.plugins_metrics_enabled", "plugins_metrics_off", CRITICAL,
           "The metrics of plugins are off",
           "plugins.container.n_containers and n_missing_container_images, all that 0.41 and later tells of containers",
           since=(0, 41, 0)),
    Switch("metrics.rules_counters_enabled", "rules_counters_off", INFO,
           "The counters of rules are off", "falco.rules.*, how often each rule matched", since=(0, 38, 0)),
    Switch("metrics.resource_utilization_enabled", "resource_utilization_off", INFO,
           "The figures of CPU and memory are off",
           "falco.cpu_usage_perc, falco.memory_*: whether Falco drops events for want of CPU"),
    Switch("metrics.libbpf_stats_enabled", "libbpf_stats_off", INFO,
           "The statistics of BPF programs are off", "scap.*.run_cnt and run_time_ns, the cost in the kernel"),
    Switch("metrics.kernel_iter_event_counters_enabled", "kernel_iter_counters_off", INFO,
           "The counters of kernel iterators are off",
           "scap.kernel_iter.*: whether the first process table came from the kernel", since=(0, 44, 0)),
    Switch("metrics.kernel_event_counters_per_cpu_enabled", "per_cpu_counters_on", WARNING,
           "Events are counted by CPU",
           "nothing, but every snapshot carries two keys for each possible CPU: large lines, many series",
           wanted=False, since=(0, 39, 0)),
    Switch("metrics.jemalloc_stats_enabled", "jemalloc_stats_on", INFO,
           "The statistics of the memory allocator are on",
           "nothing, but every snapshot carries dozens of keys that tell nothing of enrichment",
           wanted=False, since=(0, 40, 0)),
    Switch("metrics.convert_memory_to_mb", "memory_unit_ambiguous", WARNING,
           "Memory is in bytes under a name that says megabytes",
           "falco.memory_*_mb and container_memory_used_mb: before 0.38 the name stays when the unit changes",
           until=(0, 38, 0)),
    Switch("metrics.include_empty_values", "empty_values_left_out", INFO,
           "Counters that are 0 are left out of the snapshots",
           "the difference between 0, switched off and not known to this Falco, for people who read the snapshots;"
           " this exporter takes an absent key of a group that is there for 0", default=False),
)  # fmt: skip
"""The parts of a snapshot; looked at if there are snapshots."""

OTHERS: Final = (
    Switch("json_include_output_fields_property", "output_fields_off", CRITICAL,
           "Alerts carry no output_fields",
           "every judgement of alerts' fields: container.*, k8s.*, user.*, proc.*; snapshots keep theirs",
           since=(0, 41, 0)),
    Switch("json_include_output_property", "output_property_off", INFO, "Alerts carry no output",
           "the alert's sentence, for people"),
    Switch("json_include_tags_property", "tags_property_off", INFO, "Alerts carry no tags",
           "the tags of rules, for routing"),
    Switch("buffered_outputs", "outputs_buffered", WARNING, "Outputs are buffered",
           "freshness: lines come late and in bursts, so that snapshots look stale", wanted=False, default=False),
    Switch("plugins_hostinfo", "plugins_hostinfo_off", INFO, "Snapshots of plugin sources name no host",
           "evt.hostname, falco.start_ts and falco.host_* in snapshots of sources other than syscall: whose they are",
           since=(0, 42, 0)),
    Switch("base_syscalls.all", "all_syscalls", INFO, "Falco takes all system calls",
           "nothing by itself, but it is much load, and load makes the kernel drop events",
           wanted=False, default=False, since=(0, 41, 0)),
    Switch("syscall_event_drops.simulate_drops", "drops_simulated", WARNING, "Falco pretends to drop events",
           "trust in the drop alerts", wanted=False, default=False),
    Switch("engine.modern_ebpf.disable_iterators", "iterators_disabled", INFO, "Kernel iterators are disabled",
           "scap.kernel_iter.*; the first process table is read from /proc, more slowly", wanted=False, default=False,
           since=(0, 44, 1)),
)  # fmt: skip


def check_switches(facts: Facts) -> Iterator[Finding]:
    """Look at the settings that are on or off."""
    has_snapshots = facts.config.flag("metrics.enabled", default=False)
    for switch in (*METRICS, *OTHERS) if has_snapshots else OTHERS:
        if switch.since <= facts.release < switch.until:
            yield from _check(facts, switch)


def _check(facts: Facts, switch: Switch) -> Iterator[Finding]:
    if facts.config.flag(switch.path, default=switch.default) is switch.wanted:
        return
    block, _, name = switch.path.partition(".")
    place = f"{name} in the {block} block" if name else block
    default = str(switch.default).lower()
    yield Finding(
        switch.id,
        switch.severity,
        switch.title,
        facts.config.told(switch.path, default),
        switch.breaks,
        f"Set {place} of {facts.config.where(switch.path)} to {str(switch.wanted).lower()}",
        yaml_of(switch.path, switch.wanted),
    )

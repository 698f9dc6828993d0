"""The table of snapshot fields: what each one is, our series for it, Falco's own name for it.

Everything that knows a field's name reads it here: decoding (old names, units), interval arithmetic (which fields are
counters), exposition (families, help) and docs/metrics.md, which is generated from it.

Canonical keys are the names of Falco 0.44 in base units: memory in ``_bytes`` whatever the snapshot's
``convert_memory_to_mb`` was. Source of names, units and versions: Falco's stats_writer.cpp, libs'
metrics_collector.cpp and the tags 0.35 to 0.44 of both.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

Version = tuple[int, int]
"""Falco's major and minor version; what decides which fields exist."""

PREFIX: Final = "falco_enrichment_"
SYSCALL: Final = "syscall"


class Group(StrEnum):
    """Which switch of falco.yaml's ``metrics`` block a field belongs to."""

    WRAPPER = "wrapper"  # always there
    STATE = "state"
    KERNEL = "kernel"
    PER_CPU = "kernel_per_cpu"
    ITERATORS = "kernel_iter"
    RESOURCE = "resource"
    RULES = "rules"
    LIBBPF = "libbpf"
    PLUGINS = "plugins"
    JEMALLOC = "jemalloc"


REPORTED_GROUPS: Final = (Group.STATE, Group.KERNEL, Group.RESOURCE, Group.RULES, Group.LIBBPF, Group.PLUGINS)
"""The groups of ``snapshot_group_enabled``."""


class Kind(StrEnum):
    """What a number is; the values are Prometheus' type names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"  # exposed as a gauge of 1 whose labels carry the text
    UNKNOWN = "unknown"


MODERN_BPF: Final = frozenset({"modern_bpf"})
BPF: Final = frozenset({"modern_bpf", "bpf"})
OLD_BPF_KMOD: Final = frozenset({"bpf", "kmod"})
KMOD: Final = frozenset({"kmod"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One snapshot field.

    ``series`` is our name without the prefix, ``native`` the family name of Falco's own endpoint (None: Falco has
    none). ``scale`` turns the canonical JSON number into the native unit. A field with ``omitted_at_zero`` that is
    missing while its group is present is 0, if ``since <= version < until`` and the engine can have it at all.
    """

    key: str
    group: Group
    kind: Kind
    help: str
    series: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    native: str | None = None
    native_labels: tuple[tuple[str, str], ...] = ()
    falco_type: str | None = None  # where Falco's endpoint declares another type: a correction of ours
    scale: float = 1
    since: Version = (0, 35)
    until: Version | None = None
    engines: frozenset[str] | None = None
    omitted_at_zero: bool = True

    def is_known_to(self, version: Version | None, engine: str) -> bool:
        """Say whether a Falco of this version and engine has the field at all; an unknown version has none of it."""
        if version is None or version < self.since or (self.until is not None and version >= self.until):
            return False
        return self.engines is None or engine in self.engines


def _wrapper(key: str, kind: Kind, native: str | None, text: str, **more: Any) -> Field:
    more.setdefault("omitted_at_zero", False)
    return Field(key=key, group=Group.WRAPPER, kind=kind, native=native, help=text, **more)


def _state(name: str, kind: Kind, text: str, series: str, **more: Any) -> Field:
    native = f"falcosecurity_scap_{name}_total"
    return Field(
        key=f"falco.{name}",
        group=Group.STATE,
        kind=kind,
        help=text,
        series=series,
        native=native,
        since=(0, 37),
        **more,
    )


def _drops(category: str, direction: str, text: str, **more: Any) -> Field:
    labels = (("dir", direction), ("drop", category))
    key = f"scap.n_drops_buffer_{category}_{direction}"
    return Field(
        key=key,
        group=Group.KERNEL,
        kind=Kind.COUNTER,
        help=text,
        native="falcosecurity_scap_n_drops_buffer_total",
        native_labels=labels,
        **more,
    )


def _resource(key: str, native: str, text: str, **more: Any) -> Field:
    return Field(
        key=key, group=Group.RESOURCE, kind=Kind.GAUGE, help=text, native=f"falcosecurity_falco_{native}", **more
    )


def _iterator(name: str) -> Field:
    return Field(key=f"scap.{name}", group=Group.ITERATORS, kind=Kind.COUNTER, native=f"falcosecurity_scap_{name}_total", since=(0, 44), engines=MODERN_BPF,
                 help="Records that BPF iterators produced or lost while reading the initial process state, by kind.")  # fmt: skip


ITERATED: Final = ("task", "task_file_pipe", "task_file_memfd", "task_file_regular", "task_file_directory", "task_file_socket_inet",
                   "task_file_socket_inet6", "task_file_socket_unix", "task_file_socket_netlink", "task_file_anon_inode")  # fmt: skip

LOOKUP_RESULTS: Final = ("cached", "noncached", "failed")
LOOKUP_HELP: Final = ("by result: answered by the one-entry cache of the last hit, by the table, or not at all"
                      " (Falco corrects the failed ones slightly downwards at times).")  # fmt: skip

FIELDS: Final[tuple[Field, ...]] = (
    # -- wrapper: always there -----------------------------------------------------------------------------------
    _wrapper("falco.version", Kind.INFO, "falcosecurity_falco_version_info", "Falco's version.", native_labels=(("version", ""),)),
    _wrapper("falco.kernel_release", Kind.INFO, "falcosecurity_falco_kernel_release_info", "Release of the host's kernel.", native_labels=(("kernel_release", ""),)),
    _wrapper("evt.hostname", Kind.INFO, "falcosecurity_evt_hostname_info", "A host that Falco runs on; the label is the host's name throughout this exporter."),
    _wrapper("falco.outputs_queue_num_drops", Kind.COUNTER, "falcosecurity_falco_outputs_queue_num_drops_total",
             "Alerts and snapshots that Falco dropped because its output queue was full (0 for ever while outputs_queue.capacity is 0).",
             series="output_queue_drops_total", since=(0, 36), omitted_at_zero=True),
    _wrapper("falco.reload_ts", Kind.GAUGE, "falcosecurity_falco_reload_timestamp_nanoseconds", "When Falco last loaded its configuration, in nanoseconds since 1970.", since=(0, 41)),
    _wrapper("falco.start_ts", Kind.GAUGE, "falcosecurity_falco_start_timestamp_nanoseconds", "When Falco's process started, in nanoseconds since 1970."),
    _wrapper("falco.duration_sec", Kind.COUNTER, "falcosecurity_falco_duration_seconds_total", "Whole seconds since Falco's process started."),
    _wrapper("falco.host_boot_ts", Kind.GAUGE, "falcosecurity_falco_host_boot_timestamp_nanoseconds", "When the host booted, in nanoseconds since 1970."),
    _wrapper("falco.host_num_cpus", Kind.GAUGE, "falcosecurity_falco_host_num_cpus_total", "CPUs of the host as Falco sees them.", series="host_cpus"),
    _wrapper("falco.num_evts", Kind.COUNTER, None, "Events that Falco's rule engine processed for this source.", series="processed_events_total"),
    # -- kernel: metrics.kernel_event_counters_enabled -------------------------------------------------------------
    Field(key="scap.n_evts", group=Group.KERNEL, kind=Kind.COUNTER, series="kernel_events_total", native="falcosecurity_scap_n_evts_total", omitted_at_zero=False,
          help="Events that Falco's driver tried to send from the kernel, the dropped ones included."),
    Field(key="scap.n_drops", group=Group.KERNEL, kind=Kind.COUNTER, series="kernel_drops_total", native="falcosecurity_scap_n_drops_total", omitted_at_zero=False,
          help="Events that Falco's driver had to drop in the kernel."),
    *(_drops(c, "enter", "Events lost to a full kernel buffer, by direction and category.", until=(0, 41)) for c in ("clone_fork", "execve", "dir_file", "other_interest")),
    *(_drops(c, "enter", "Events lost to a full kernel buffer, by direction and category.") for c in ("connect", "open")),
    *(_drops(c, "exit", "Events lost to a full kernel buffer, by direction and category.") for c in ("clone_fork", "execve", "connect", "open", "dir_file", "other_interest")),
    *(_drops(c, "exit", "Events lost to a full kernel buffer, by direction and category.", since=(0, 36)) for c in ("close", "proc")),
    Field(key="scap.n_drops_scratch_map", group=Group.KERNEL, kind=Kind.COUNTER, native="falcosecurity_scap_n_drops_scratch_map_total", engines=BPF,
          help="Events lost because they did not fit into the eBPF scratch buffer."),
    Field(key="scap.n_drops_page_faults", group=Group.KERNEL, kind=Kind.COUNTER, native="falcosecurity_scap_n_drops_page_faults_total", engines=OLD_BPF_KMOD,
          help="Events lost because user memory could not be read."),
    Field(key="scap.n_drops_bug", group=Group.KERNEL, kind=Kind.COUNTER, native="falcosecurity_scap_n_drops_bug_total", engines=OLD_BPF_KMOD,
          help="Events lost to an invalid condition in the driver."),
    Field(key="scap.n_preemptions", group=Group.KERNEL, kind=Kind.COUNTER, native="falcosecurity_scap_n_preemptions_total", engines=KMOD,
          help="Probe invocations that the kernel module skipped because of preemption."),
    # -- kernel_iter: metrics.kernel_iter_event_counters_enabled ---------------------------------------------------
    *(_iterator(f"n_evts_{kind}") for kind in ITERATED),
    _iterator("n_drops_max_event_size"),
    *(_iterator(f"n_drops_{kind}") for kind in ITERATED),
    # -- resource: metrics.resource_utilization_enabled ------------------------------------------------------------
    _resource("falco.cpu_usage_perc", "cpu_usage_ratio", "Falco's CPU use as a ratio of one CPU, averaged over its whole life.", scale=0.01),
    _resource("falco.memory_rss_bytes", "memory_rss_bytes", "Resident memory of Falco."),
    _resource("falco.memory_vsz_bytes", "memory_vsz_bytes", "Virtual memory of Falco."),
    _resource("falco.memory_pss_bytes", "memory_pss_bytes", "Proportional share of memory of Falco."),
    _resource("falco.container_memory_used_bytes", "container_memory_used_bytes", "Memory of Falco's cgroup; 0 on cgroup v2 unless FALCO_CGROUP_MEM_PATH is set."),
    _resource("falco.host_cpu_usage_perc", "host_cpu_usage_ratio", "The host's CPU use as a ratio, averaged since boot.", scale=0.01, since=(0, 37)),
    _resource("falco.host_memory_used_bytes", "host_memory_used_bytes", "The host's memory in use.", since=(0, 37)),
    _resource("falco.host_procs_running", "host_procs_running_total", "Runnable processes on the host.", since=(0, 37)),
    _resource("falco.host_open_fds", "host_open_fds_total", "Open file handles on the host.", since=(0, 37)),
    # -- state: metrics.state_counters_enabled (0.37 and later) ----------------------------------------------------
    _state("n_threads", Kind.GAUGE, "Entries in Falco's thread table now.", "threads"),
    _state("n_fds", Kind.GAUGE, "File descriptors that Falco tracks now, over all threads.", "fds"),
    *(_state(f"n_{result}_fd_lookups", Kind.COUNTER, f"File descriptor lookups {LOOKUP_HELP}", "fd_lookups_total", labels=(("result", result),)) for result in LOOKUP_RESULTS),
    _state("n_added_fds", Kind.COUNTER, "File descriptors that Falco added to its tables.", "fds_added_total"),
    _state("n_removed_fds", Kind.COUNTER, "File descriptors that Falco removed one by one (those that vanish with their process are not counted).", "fds_removed_total"),
    _state("n_stored_evts", Kind.COUNTER, "Enter events that Falco stored to enrich the matching exit event (Falco 0.42 and later store far fewer).", "stored_events_total"),
    _state("n_store_evts_drops", Kind.COUNTER, "Enter events that Falco could not store because it did not know the thread.", "store_drops_total"),
    _state("n_retrieved_evts", Kind.COUNTER, "Exit events that found their stored enter event.", "retrieved_events_total"),
    _state("n_retrieve_evts_drops", Kind.COUNTER, "Exit events that did not find their stored enter event (1 to 64 % is seen on healthy hosts).", "retrieve_drops_total"),
    *(_state(f"n_{result}_thread_lookups", Kind.COUNTER, f"Thread lookups {LOOKUP_HELP}", "thread_lookups_total", labels=(("result", result),)) for result in LOOKUP_RESULTS),
    _state("n_added_threads", Kind.COUNTER, "Entries that Falco added to its thread table.", "threads_added_total"),
    _state("n_removed_threads", Kind.COUNTER, "Entries that Falco removed from its thread table.", "threads_removed_total"),
    _state("n_drops_full_threadtable", Kind.COUNTER, "Threads that Falco refused because its thread table was full; it understates, normal is 0.", "threadtable_full_drops_total"),
    # -- containers, first generation: state group until 0.40, a count at a point in time ---------------------------
    _state("n_containers", Kind.GAUGE, "Containers that Falco knows now, pod sandboxes included.", "containers", until=(0, 41)),
    _state("n_missing_container_images", Kind.GAUGE, "Containers whose image Falco does not know now (Falco 0.40 and before).", "containers_missing_image", until=(0, 41)),
    # -- containers, second generation: container plugin since 0.41, the second one a counter -----------------------
    Field(key="plugins.container.n_containers", group=Group.PLUGINS, kind=Kind.GAUGE, series="containers", native="falcosecurity_plugins_container_n_containers_total",
          falco_type="counter", since=(0, 41), help="Containers that Falco knows now, pod sandboxes included; refreshed when a container starts or stops."),
    Field(key="plugins.container.n_missing_container_images", group=Group.PLUGINS, kind=Kind.COUNTER, series="container_missing_image_events_total",
          native="falcosecurity_plugins_container_n_missing_container_images_total", since=(0, 41),
          help="Container starts and stops at which Falco did not know the image (Falco 0.41 and later; it only ever grows)."),
)  # fmt: skip

BY_KEY: Final = {field.key: field for field in FIELDS}
SERIES_FIELDS: Final = tuple(field for field in FIELDS if field.series is not None)
COUNTERS: Final = tuple(field for field in SERIES_FIELDS if field.kind is Kind.COUNTER)
COUNTER_KEYS: Final = frozenset(field.key for field in COUNTERS)

# Counters that Falco itself corrects downwards. Source: libs thread_manager.cpp, fdtable.cpp, parsers.cpp.
CORRECTED_KEYS: Final = frozenset({"falco.n_failed_fd_lookups", "falco.n_failed_thread_lookups"})

ALIASES: Final = {
    # Falco 0.35 to 0.37
    "falco.hostname": "evt.hostname",
    "falco.cpu_usage_perc_total_host": "falco.host_cpu_usage_perc",
    "falco.procs_running_host": "falco.host_procs_running",
    "falco.open_fds_host": "falco.host_open_fds",
    # gVisor, 0.38 to 0.43: the kernel counters lose their scap prefix
    "falco.n_evts": "scap.n_evts",
    "falco.n_drops": "scap.n_drops",
    "falco.n_drops_bug": "scap.n_drops_bug",
    "falco.n_drops_buffer_total": "scap.n_drops_buffer_total",
}
"""Names of older versions and other engines, by the canonical key they stand for."""

AMBIGUOUS_MEMORY: Final = {
    "falco.memory_rss": ("falco.memory_rss_bytes", 1024),
    "falco.memory_vsz": ("falco.memory_vsz_bytes", 1024),
    "falco.memory_pss": ("falco.memory_pss_bytes", 1024),
    "falco.memory_used_host": ("falco.host_memory_used_bytes", 1024),
    "falco.container_memory_used": ("falco.container_memory_used_bytes", 1),
}
"""Falco 0.35 to 0.37: canonical key and bytes per unit when ``convert_memory_to_mb`` is off; the key does not say."""

# Fields without a native series that only help to read another one, or are Falco's own arithmetic.
JSON_ONLY: Final = frozenset(
    {
        "evt.time", "evt.source", "falco.num_evts_prev", "falco.evts_rate_sec", "scap.n_evts_prev", "scap.evts_rate_sec",
        "scap.n_drops_prev", "scap.evts_drop_rate_sec", "scap.n_drops_perc", "scap.n_drops_buffer_total", "falco.rules.matches_total",
        "falco.num_evts", "scap.engine_name", "falco.host_ifinfo_json",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Fields whose key carries a name or a number of its own (a CPU, a BPF program, a rule, a file)."""

    expression: re.Pattern[str]
    group: Group
    kind: Kind
    native: str  # a template over the groups of the expression
    labels: tuple[str, ...] = ()  # groups of the expression that become labels
    help: str = ""


PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern(expression=re.compile(r"scap\.n_(?P<what>evts|drops)_cpu_(?P<cpu>\d+)"), group=Group.PER_CPU, kind=Kind.COUNTER, labels=("cpu",),
            native="falcosecurity_scap_n_{what}_cpu_total", help="Kernel events or drops by CPU."),
    Pattern(expression=re.compile(r"scap\.n_(?P<what>evts|drops)_dev_(?P<dev>\d+)"), group=Group.PER_CPU, kind=Kind.COUNTER,
            native="falcosecurity_scap_n_{what}_dev_{dev}_total", help="Kernel events or drops by ring buffer of the kernel module."),
    Pattern(expression=re.compile(r"scap\.(?P<prog>\w+)\.run_cnt"), group=Group.LIBBPF, kind=Kind.COUNTER,
            native="falcosecurity_scap_{prog}_run_cnt_total", help="Runs of one of Falco's BPF programs."),
    Pattern(expression=re.compile(r"scap\.(?P<prog>\w+)\.run_time_ns"), group=Group.LIBBPF, kind=Kind.COUNTER,
            native="falcosecurity_scap_{prog}_run_time_nanoseconds_total", help="Time spent in one of Falco's BPF programs."),
    Pattern(expression=re.compile(r"scap\.(?P<prog>\w+)\.avg_time_ns"), group=Group.LIBBPF, kind=Kind.GAUGE,
            native="falcosecurity_scap_{prog}_avg_time_nanoseconds", help="Mean time of a run of one of Falco's BPF programs."),
    Pattern(expression=re.compile(r"falco\.rules\.(?P<rule>.+)"), group=Group.RULES, kind=Kind.COUNTER,
            native="falcosecurity_falco_rules_matches_total", help="Matches of a rule."),
    Pattern(expression=re.compile(r"falco\.sha256_(?P<what>rules|config)_file\.(?P<file>.+)"), group=Group.WRAPPER, kind=Kind.INFO,
            native="falcosecurity_falco_sha256_{what}_files_info", help="Digest of a file that Falco loaded."),
    Pattern(expression=re.compile(r"falco\.jemalloc\.(?P<name>\w+)_bytes"), group=Group.JEMALLOC, kind=Kind.GAUGE,
            native="falcosecurity_falco_jemalloc_{name}_bytes", help="A statistic of Falco's memory allocator."),
    Pattern(expression=re.compile(r"plugins\.(?P<plugin>[^.]+)\.(?P<name>.+)"), group=Group.PLUGINS, kind=Kind.UNKNOWN,
            native="falcosecurity_plugins_{plugin}_{name}_total", help="A metric that a Falco plugin publishes."),
)  # fmt: skip

_GROUP_PREFIXES: Final = (("falco.rules.", Group.RULES), ("plugins.", Group.PLUGINS), ("falco.jemalloc.", Group.JEMALLOC),
                          ("scap.n_evts_cpu_", Group.PER_CPU), ("scap.n_drops_cpu_", Group.PER_CPU))  # fmt: skip


@lru_cache(maxsize=4096)
def group_of(key: str) -> Group | None:
    """Tell the group of a canonical key; None for a key that no known group owns."""
    field = BY_KEY.get(key)
    if field is not None:
        return field.group
    for prefix, group in _GROUP_PREFIXES:
        if key.startswith(prefix):
            return group
    return (
        Group.LIBBPF if key.startswith("scap.") and key.endswith((".run_cnt", ".run_time_ns", ".avg_time_ns")) else None
    )


def version_of(text: object) -> Version | None:
    """Read Falco's version text ("0.44.1", "0.35.0-16+2b90822"); None if there is none to read."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2])) if match else None


CORRECTIONS: Final = {
    "headers": "One HELP and one TYPE a family, all samples of a family together. Falco repeats both before most samples, which promtool and Go's parser refuse.",
    "duplicates": "Every series once. Falco 0.42 and later prints the BPF programs whose names are cut to `ia32_compat_ope` several times.",
    "escaping": "Label values are escaped. Falco writes a rule name with a quotation mark as it is, which makes its page unreadable.",
    "names": "The names of Falco 0.41 and later, whatever version wrote the snapshot. Falco 0.38 had others; before 0.38 there was no endpoint.",
    "hostname": "Every series has the label `hostname`. In `falcosecurity_evt_hostname_info` it is the name this exporter uses throughout, the one in the alert envelope where there is one.",
    "gauges": "Numbers that go up and down are gauges: `falcosecurity_plugins_container_n_containers_total` and everything of jemalloc, which Falco types as counters.",
    "plugin_types": "Metrics of other plugins are untyped: a snapshot does not carry the type the plugin declared.",
    "enter_drops": '`falcosecurity_scap_n_drops_buffer_total{dir="enter"}` has the true values of `connect` and `open`, and no other categories from 0.41 on, nor any while kernel counters are off. Falco 0.42 and later prints constant zeros for all six.',
    "idle_programs": "A BPF program that has not run yet is absent: with `include_empty_values: false` the snapshot does not name it.",
    "idle_cpus": "A CPU without events or drops is absent for the same reason.",
    "rules": "`falcosecurity_falco_rules_matches_total` has Falco's labels if `--native.rules-files` names the rules files, else only `rule_name` as the snapshot prints it, with `_` for every other character.",
    "file_names": "`file_name` of the sha256 families is rebuilt from a key in which Falco turned dots into `_`: `falco_rules.yaml` and `falco_rules.local.yaml` come out right, another name with dots inside keeps its `_`.",
    "corrected_counters": "Lookup failures hold their highest value while Falco corrects them downwards, or below zero into 2^64.",
    "memory_rounding": "With `convert_memory_to_mb` (the default) memory is rounded to a tenth of a MiB, because the snapshot is.",
    "sources": "A number that several event sources repeat is taken from the `syscall` snapshot alone.",
    "unknown_fields": "A field this exporter does not know yet appears untyped under the endpoint's naming rule.",
}
"""Where native series differ from Falco's own endpoint, and why. Listed in docs/metrics.md; held by tests/conformance."""

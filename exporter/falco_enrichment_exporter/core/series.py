"""The table of our own series that are not one snapshot field: names, types, labels, help. Exposed and documented from here."""

from dataclasses import dataclass
from typing import Final

from falco_enrichment_exporter.core.catalog import Kind

KEY: Final = ("hostname", "source")
WINDOWED: Final = (*KEY, "window")


@dataclass(frozen=True, slots=True)
class Series:
    """One family: name without the prefix, type, label names, help."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """A quotient of increases over a window: sum of ``over`` by sum of ``under`` (keys of counters)."""

    name: str
    over: tuple[str, ...]
    under: tuple[str, ...]
    help: str


RATIOS: Final = (
    Ratio("store_drop_ratio", ("falco.n_store_evts_drops",), ("falco.n_stored_evts", "falco.n_store_evts_drops"),
          "Share of enter events that Falco could not store; normal is 0."),
    Ratio("retrieve_drop_ratio", ("falco.n_retrieve_evts_drops",), ("falco.n_retrieved_evts", "falco.n_retrieve_evts_drops"),
          "Share of exit events that did not find their enter event; compare with the host's own past."),
    Ratio("thread_lookup_failure_ratio", ("falco.n_failed_thread_lookups",), ("falco.n_cached_thread_lookups", "falco.n_noncached_thread_lookups"),
          "Failed thread lookups per successful one; 0.001 to 0.01 is normal, more means processes that Falco does not know."),
    Ratio("fd_lookup_failure_ratio", ("falco.n_failed_fd_lookups",), ("falco.n_cached_fd_lookups", "falco.n_noncached_fd_lookups"),
          "Failed file descriptor lookups per successful one; healthy hosts show 0.001 to 2.7, compare with the host's own past."),
    Ratio("kernel_drop_ratio", ("scap.n_drops",), ("scap.n_evts",),
          "Share of kernel events that were dropped before Falco saw them; any drop is blindness."),
)  # fmt: skip
IMAGE_RATIO: Final = "container_missing_image_ratio"
WINDOW_COUNTS: Final = {
    "threadtable_full_drops": (
        "falco.n_drops_full_threadtable",
        "Threads refused by a full thread table in the window.",
    ),
    "output_queue_drops": (
        "falco.outputs_queue_num_drops",
        "Alerts and snapshots dropped by a full output queue in the window.",
    ),
}

IN_A_ROW: Final = "_in_a_row"

SNAPSHOT_SERIES: Final = {
    series.name: series
    for series in (
        Series("snapshot_timestamp_seconds", Kind.GAUGE, KEY, "Time of the newest snapshot (its evt.time), in seconds since 1970."),
        Series("snapshot_interval_seconds", Kind.GAUGE, KEY, "Median of the last five gaps between snapshots of one Falco life."),
        Series("snapshots_total", Kind.COUNTER, KEY, "Snapshots taken in; duplicates and older ones are not counted."),
        Series("life_snapshots", Kind.GAUGE, KEY, "Snapshots of the present life of Falco's counters; per-interval series need two."),
        Series("falco_start_timestamp_seconds", Kind.GAUGE, KEY, "When Falco's process started, in seconds since 1970."),
        Series("falco_reload_timestamp_seconds", Kind.GAUGE, KEY, "When Falco last loaded its configuration, in seconds since 1970 (Falco 0.41 and later)."),
        Series("falco_uptime_seconds", Kind.GAUGE, KEY, "Age of Falco's process at the newest snapshot."),
        Series("falco_restarts_total", Kind.COUNTER, KEY, "Restarts of Falco's process that were seen."),
        Series("falco_reloads_total", Kind.COUNTER, KEY, "Hot reloads of Falco that were seen: same process, counters begin anew."),
        Series("falco_info", Kind.GAUGE, (*KEY, "version", "engine", "kernel_release"), "1; the labels tell Falco's version, its capture engine and the kernel."),
        Series("threadtable_limit", Kind.GAUGE, KEY, "Size of Falco's thread table: the setting source.thread-table-size; 131072 before Falco 0.38, where it is fixed."),
        Series("threadtable_usage_ratio", Kind.GAUGE, KEY, "Entries in the thread table by its size."),
        Series("snapshot_group_enabled", Kind.GAUGE, (*KEY, "group"), "1 if the newest snapshot carries this group of fields, else 0. plugins is 0 as well until a plugin has counted something."),
        Series(IMAGE_RATIO, Kind.GAUGE, WINDOWED, "Containers without image by containers: those of now (Falco 0.40 and before), or the new image-less starts and stops of the window (0.41 and later), at most 1."),
        *(Series(ratio.name, Kind.GAUGE, WINDOWED, ratio.help) for ratio in RATIOS),
        *(Series(name, Kind.GAUGE, WINDOWED, text) for name, (_, text) in WINDOW_COUNTS.items()),
        *(Series(name + IN_A_ROW, Kind.GAUGE, KEY, f"Newest snapshot intervals in a row with {name}, 3 at most.")
          for name in WINDOW_COUNTS),
    )
}  # fmt: skip

ALERT_SERIES: Final = {
    series.name: series
    for series in (
        Series("alerts_total", Kind.COUNTER, ("hostname", "source", "priority"), "Ordinary Falco alerts that were read."),
        Series("rule_alerts_total", Kind.COUNTER, ("rule", "priority", "source"), "Ordinary Falco alerts that were read, by rule, over all hosts."),
        Series("alert_fields_total", Kind.COUNTER, ("hostname", "domain", "field", "outcome"), "Enrichment fields that alerts of the syscall source showed: present, missing (Falco could not find them out), or excused (rightly missing)."),
        Series("alert_fields_excused_total", Kind.COUNTER, ("hostname", "domain", "reason"), "Excused fields, by why they may be missing."),
        Series("alert_fields_missing_total", Kind.COUNTER, ("hostname", "domain", "kind"), "Missing fields, by what stood in their place: null, empty text, <NA>, a number that means unknown (sentinel), or the container's id for its name (echo)."),
        Series("rule_missing_alerts_total", Kind.COUNTER, ("rule", "domain"), "Alerts with at least one missing field of the domain, by rule, over all hosts."),
        Series("alerts_without_fields_total", Kind.COUNTER, ("hostname",), "Alerts without output_fields, which cannot be judged: json_include_output_fields_property is false in falco.yaml."),
    )
}  # fmt: skip

OBJECTIVE: Final = Series(
    "objective_ratio", Kind.GAUGE, ("domain",),
    "Configured objective: the share of fields of the domain that are to be present, of those present or missing.",
)  # fmt: skip

THRESHOLD: Final = Series(
    "threshold", Kind.GAUGE, ("signal", "severity"),
    "Configured limit of a signal. For threadtable_full_drops and output_queue_drops critical counts snapshots in a row.",
)  # fmt: skip

SELF_PREFIX: Final = "exporter_"
SELF_SERIES: Final = {
    series.name: series
    for series in (
        Series("build_info", Kind.GAUGE, ("version", "python"), "1; the labels tell the exporter's version and its Python."),
        Series("start_time_seconds", Kind.GAUGE, (), "When the exporter started, in seconds since 1970."),
        Series("lines_total", Kind.COUNTER, ("kind",), "Lines read: snapshots, alerts, and other (text alerts, Falco's own log lines, internal messages). Without alerts.enabled only snapshots are told from the rest."),
        Series("lines_rejected_total", Kind.COUNTER, ("reason",), "Lines that could not be used, by reason."),
        Series("snapshots_ignored_total", Kind.COUNTER, ("reason",), "Well-formed snapshots that changed nothing: duplicate (same host, source, time), older, or limit."),
        Series("read_bytes_total", Kind.COUNTER, (), "Bytes read from all sources and looked at line by line."),
        Series("skipped_bytes_total", Kind.COUNTER, (), "Bytes that were in the files before the start, and were only searched for the newest snapshots."),
        Series("source_up", Kind.GAUGE, ("path",), "1 if the source can be read now, else 0."),
        Series("source_lag_bytes", Kind.GAUGE, ("path",), "Bytes in the source that are not read yet."),
        Series("rotations_total", Kind.COUNTER, ("kind",), "Rotations seen: rename (another file under the path) or truncate (the file became shorter)."),
        Series("lost_bytes_total", Kind.COUNTER, ("reason",), "Bytes known to have been in a file and never taken in: truncated (and no copy found), gone (removed while the exporter was down), unfinished (last line of a rotated file)."),
        Series("inotify_up", Kind.GAUGE, (), "1 if the kernel tells of changes to the files, 0 if they are only looked at every poll interval."),
        Series("source_errors_total", Kind.COUNTER, ("errno",), "Errors of the operating system while opening or reading sources."),
        Series("checkpoint_timestamp_seconds", Kind.GAUGE, (), "When the checkpoint was last written, in seconds since 1970; absent without a state directory."),
        Series("checkpoint_errors_total", Kind.COUNTER, (), "Checkpoints that could not be written, or were found unusable and set aside."),
        Series("ingest_requests_total", Kind.COUNTER, ("code",), "Requests to /ingest, by HTTP status."),
        Series("hosts", Kind.GAUGE, (), "Hosts with state in memory."),
        Series("dropped_hosts_total", Kind.COUNTER, (), "Hosts turned away because limits.max-hosts was reached; exact up to as many again."),
        Series("limit_hits_total", Kind.COUNTER, ("limit",), "Times a limit kept something out, by limit."),
        Series("collect_errors_total", Kind.COUNTER, ("collector",), "Times a part of the page failed and was left out; a defect of the exporter."),
    )
}  # fmt: skip

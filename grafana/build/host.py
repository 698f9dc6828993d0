"""Why: one host, in the order of diagnosis."""

from drawing import GREEN, HOST, KEY, RED, Panel, Query, board, graph, number


def _both(name: str) -> list[Query]:
    return [
        Query(f'falco_enrichment_{name}{{{KEY}, window="last"}}', "{{hostname}}, newest interval"),
        Query(f'falco_enrichment_{name}{{{KEY}, window="last3"}}', "{{hostname}}, last three"),
    ]


def _rate(name: str, legend: str) -> Query:
    return Query(f"falco_enrichment_{name}_per_second{{{KEY}}}", "{{hostname}} " + legend)


def json() -> str:
    """Return the board."""
    missing = f'increase(falco_enrichment_alert_fields_total{{{HOST}, outcome="missing"}}[1h])'
    judged = f'increase(falco_enrichment_alert_fields_total{{{HOST}, outcome=~"present|missing"}}[1h])'
    panels: list[Panel] = [
        number(1, "Age of the newest snapshot", "Above 2.5 intervals and two minutes it is stale, and everything below is history: see FalcoSnapshotStale.",
               [Query(f"max(time() - falco_enrichment_snapshot_timestamp_seconds{{{KEY}}})", "age")], place=(0, 0, 5, 4), unit="s", no_value="Never seen"),
        number(2, "Snapshot interval", "The median of the last five gaps. An hour, Falco's default, shows trouble hours late: metrics.interval.",
               [Query(f"max(falco_enrichment_snapshot_interval_seconds{{{KEY}}})", "interval")], place=(5, 0, 5, 4), unit="s", no_value="Not known yet"),
        number(3, "Uptime of Falco", "Age of Falco's process. Under half an hour, ratios are disturbed by its start.",
               [Query(f"min(falco_enrichment_falco_uptime_seconds{{{KEY}}})", "uptime")], place=(10, 0, 5, 4), unit="s", no_value="Not known"),
        number(4, "Version", "What Falco it is: causes and fixes depend on it.",
               [Query(f"max by (version) (falco_enrichment_falco_info{{{KEY}}})", "{{version}}")], place=(15, 0, 4, 4), unit="short", no_value="Not known", is_name=True),
        number(5, "State counters", "Without them the thread table and lookups are unknown: metrics.state_counters_enabled.",
               [Query(f'min(falco_enrichment_snapshot_group_enabled{{{KEY}, group="state"}})', "on")], place=(19, 0, 5, 4), unit="bool_on_off", steps=((None, RED), (1.0, GREEN)), no_value="Not known"),
        graph(10, "Age of snapshots", "A saw: it falls at every snapshot. A ramp that does not fall is a Falco that has stopped.",
              [Query(f"time() - falco_enrichment_snapshot_timestamp_seconds{{{KEY}}}", "{{hostname}}"), Query(f"max(2.5 * falco_enrichment_snapshot_interval_seconds{{{KEY}}} + 120)", "stale from here")],
              place=(0, 4, 12, 7), unit="s", is_stepped=False),
        graph(15, "Starts and reloads", "A step is a start or a hot reload: counters begin anew there. Many steps are a restart loop.",
              [Query(f"falco_enrichment_falco_restarts_total{{{KEY}}}", "{{hostname}} restarts"), Query(f"falco_enrichment_falco_reloads_total{{{KEY}}}", "{{hostname}} reloads")],
              place=(12, 4, 12, 7), unit="short"),
        graph(20, "Kernel events dropped", "Events that Falco never saw. First to look at: everything below degrades with it. Raise buf_size_preset, look at CPU.",
              _both("kernel_drop_ratio"), place=(0, 11, 12, 8), unit="percentunit", signal="kernel_drop_ratio"),
        graph(21, "Kernel events", "What the driver sent, and what Falco worked on. Flat at the top while CPU is at its limit: Falco cannot follow.",
              [_rate("kernel_events", "sent"), _rate("processed_events", "processed"), _rate("kernel_drops", "dropped")], place=(12, 11, 12, 8), unit="cps"),
        graph(30, "Thread table", "Threads that Falco knows, and the room it has. At the limit, new processes are unknown: falco_libs.thread_table_size.",
              [Query(f"falco_enrichment_threads{{{KEY}}}", "{{hostname}} threads"), Query(f"max(falco_enrichment_threadtable_limit{{{KEY}}})", "size of the table")],
              place=(0, 19, 12, 8), unit="short"),
        graph(31, "Threads refused", "Threads that the full table refused in the newest interval, and in the last three. Normal is 0.",
              _both("threadtable_full_drops"), place=(12, 19, 12, 8), unit="short"),
        graph(40, "Events not stored or not found", "Enter events whose thread was unknown (normal is 0), and exit events without their enter event (compare with its past).",
              [*_both("store_drop_ratio"), Query(f'falco_enrichment_retrieve_drop_ratio{{{KEY}, window="last"}}', "{{hostname}}, not retrieved")],
              place=(0, 27, 12, 8), unit="percentunit", signal="store_drop_ratio"),
        graph(50, "Thread lookups", "Of all lookups of threads, which were answered by the cache, by the table, or not. Failures mean processes that Falco does not know.",
              [Query(f"sum by (result) (falco_enrichment_thread_lookups_per_second{{{KEY}}})", "{{result}}")], place=(12, 27, 12, 8), unit="percentunit", is_stacked=True, is_percent=True),
        graph(51, "Failed thread lookups", "Failures by successes; 0.1 to 1 % is normal, more after a start. See FalcoThreadLookupFailures.",
              _both("thread_lookup_failure_ratio"), place=(0, 35, 12, 8), unit="percentunit", signal="thread_lookup_failure_ratio"),
        graph(60, "Failed descriptor lookups, own week", "No absolute number is sane: compare with the host's own week.",
              [Query(f'falco_enrichment_fd_lookup_failure_ratio{{{KEY}, window="last3"}}', "{{hostname}}"), Query(f'avg_over_time(falco_enrichment_fd_lookup_failure_ratio{{{KEY}, window="last3"}}[7d])', "{{hostname}}, mean of the week")],
              place=(12, 35, 12, 8), unit="percentunit"),
        graph(61, "Descriptors tracked", "Falling never, day after day: a leak, and memory with it. See FalcoDescriptorLeak.",
              [Query(f"falco_enrichment_fds{{{KEY}}}", "{{hostname}}")], place=(0, 43, 12, 8), unit="short"),
        graph(70, "Containers", "Containers that Falco knows. 0, or a line that ends, while containers run: the runtime's socket is lost.",
              [Query(f"falco_enrichment_containers{{{KEY}}}", "{{hostname}}")], place=(12, 43, 12, 8), unit="short"),
        graph(71, "Containers without image", "Image-less containers by containers: a share up to 0.40, starts and stops of the interval since 0.41. 0 proves nothing there: look at missing fields.",
              _both("container_missing_image_ratio"), place=(0, 51, 12, 8), unit="percentunit", signal="container_missing_image_ratio"),
        graph(80, "Missing fields of alerts, 1 hour", "The primary symptom: of the fields that must be there, the share that was missing, by domain. diagnose names the cause.",
              [Query(f"sum by (domain) ({missing} or 0 * {judged}) / sum by (domain) ({judged})", "{{domain}}")], place=(12, 51, 12, 8), unit="percentunit", signal="alert_missing_ratio", is_stepped=False, no_value="No alerts in this time"),
        graph(90, "Alerts lost in the output queue", "Alerts that had matched and were dropped. Normal is 0: find the slow output.",
              _both("output_queue_drops"), place=(0, 59, 12, 8), unit="short"),
        graph(91, "CPU of Falco", "One core is all that Falco's main thread can use: at 100 % it cannot follow, and events are dropped.",
              [Query(f"falcosecurity_falco_cpu_usage_ratio{{{HOST}}}", "{{hostname}} CPU")], place=(12, 59, 12, 8), unit="percentunit", no_value="Not in the snapshots"),
    ]  # fmt: skip
    return board(
        "falco-enrich-host",
        "Falco enrichment: host",
        "Why Falco's enrichment is bad on a host.",
        time="now-6h",
        panels=panels,
        variables=("cluster", "hostname", "source"),
    )

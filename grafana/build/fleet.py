"""Is it bad, and where: all hosts on one board."""

from drawing import FLEET, GREEN, RED, SYSCALL, YELLOW, Column, Panel, Query, board, graph, number, rows

JOIN = "ignoring (hostname, source, window, signal, severity) group_left ()"
AGE = f"(time() - falco_enrichment_snapshot_timestamp_seconds{{{SYSCALL}}})"
INTERVAL = (
    f"(falco_enrichment_snapshot_interval_seconds{{{SYSCALL}}}"
    f" or falco_enrichment_snapshot_timestamp_seconds{{{SYSCALL}}} * 0 + 21600)"
)
FRESH = f"({AGE} <= bool (2.5 * {INTERVAL} + 120))"
OVER = " or ".join(
    f'falco_enrichment_{signal}{{{SYSCALL}, window="last"}} > {JOIN} falco_enrichment_threshold{{{FLEET}, signal="{signal}", severity="warning"}}'
    for signal in (
        "kernel_drop_ratio", "threadtable_full_drops", "store_drop_ratio", "thread_lookup_failure_ratio",
        "container_missing_image_ratio", "output_queue_drops",
    )
)  # fmt: skip
FULL = (
    f"falco_enrichment_threadtable_usage_ratio{{{SYSCALL}}} > {JOIN}"
    f' falco_enrichment_threshold{{{FLEET}, signal="threadtable_usage_ratio", severity="warning"}}'
)
DEGRADED = f"count by (cluster, hostname) ({OVER} or {FULL})"
MISSING = f'falco_enrichment_alert_fields_total{{{FLEET}, outcome="missing"}}'
JUDGED = f'falco_enrichment_alert_fields_total{{{FLEET}, outcome=~"present|missing"}}'
BAD = ((None, GREEN), (1.0, RED))
RATIO = ((None, GREEN), (0.001, YELLOW), (0.1, RED))
SHARE = ((None, GREEN), (0.05, YELLOW), (0.25, RED))
USAGE = ((None, GREEN), (0.8, YELLOW), (0.95, RED))
COMPLETE = ((None, RED), (0.9, YELLOW), (0.99, GREEN))
HOST_LINK = "/d/falco-enrich-host?var-hostname=${__value.text}&${datasource:queryparam}&${__url_time_range}"


def json() -> str:
    """Return the board."""
    none = f"count(falco_enrichment_snapshot_timestamp_seconds{{{SYSCALL}}}) * 0"
    panels: list[Panel] = [
        number(1, "Hosts with fresh snapshots", "The share of hosts whose newest snapshot is not older than 2.5 of its intervals and two minutes. Below 100 %: the table says which, the runbook FalcoSnapshotStale why.",
               [Query(f"avg({FRESH})", "fresh")], place=(0, 0, 4, 4), unit="percentunit", steps=((None, RED), (0.8, YELLOW), (1.0, GREEN))),
        number(2, "Degraded hosts", "Hosts on which some signal is over its warning limit in the newest snapshot interval. More than none: the table has them on top.",
               [Query(f"count({DEGRADED}) or {none}", "hosts")], place=(4, 0, 4, 4), unit="short", steps=BAD, link="/d/falco-enrich-fleet?viewPanel=10"),
        number(3, "Worst kernel drops", "The largest share of kernel events dropped on any host in its newest interval. Any drop is blindness: see FalcoKernelEventDrops.",
               [Query(f'max(falco_enrichment_kernel_drop_ratio{{{SYSCALL}, window="last"}})', "share")], place=(8, 0, 4, 4), unit="percentunit", steps=RATIO, decimals=2),
        number(4, "Fullest thread table", "The largest use of a thread table. When it is full, new processes are unknown to Falco: see FalcoThreadTableNearlyFull.",
               [Query(f"max(falco_enrichment_threadtable_usage_ratio{{{SYSCALL}}})", "use")], place=(12, 0, 4, 4), unit="percentunit", steps=USAGE),
        number(5, "Alerts firing", "Alerts of this pack that fire now. Open Alertmanager for the list.",
               [Query('count(ALERTS{alertname=~"Falco.+", alertstate="firing"}) or 0 * count(falco_enrichment:snapshot_fresh:bool)', "alerts")], place=(16, 0, 4, 4), unit="short", steps=BAD, no_value="No rules here"),
        number(6, "Hosts", "Hosts of which there is a snapshot of the syscall source.",
               [Query(f"count(count by (cluster, hostname) (falco_enrichment_snapshot_timestamp_seconds{{{SYSCALL}}}))", "hosts")], place=(20, 0, 4, 4), unit="short"),
        number(7, "Complete fields of alerts, 24 hours", "Of the fields that alerts showed and that must be there, the share that was. Lower: the board Field completeness tells rules, fields and hosts.",
               [Query(f"1 - (sum by (domain) (increase({MISSING}[24h])) or 0 * sum by (domain) (increase({JUDGED}[24h]))) / sum by (domain) (increase({JUDGED}[24h]))", "{{domain}}")],
               place=(0, 4, 24, 4), unit="percentunit", steps=COMPLETE, decimals=1, no_value="No alerts", link="/d/falco-enrich-fields"),
        rows(10, "Hosts, worst first", "One line for each host. Findings: signals over their warning limit. Click a host for its own board.", "hostname",
             [
                 Column(f"topk(100, {DEGRADED} or count by (cluster, hostname) ({AGE}) * 0)", "Findings", steps=BAD, decimals=0),
                 Column(f"topk(100, max by (cluster, hostname) ({AGE}))", "Snapshot age", "s", decimals=0),
                 Column(f"topk(100, max by (cluster, hostname) ({FRESH}))", "Fresh", "bool_yes_no", steps=((None, RED), (1.0, GREEN)), decimals=0),
                 Column(f'topk(100, max by (cluster, hostname) (falco_enrichment_kernel_drop_ratio{{{SYSCALL}, window="last"}}))', "Kernel drops", "percentunit", RATIO),
                 Column(f"topk(100, max by (cluster, hostname) (falco_enrichment_threadtable_usage_ratio{{{SYSCALL}}}))", "Table use", "percentunit", USAGE, 0),
                 Column(f'topk(100, max by (cluster, hostname) (falco_enrichment_thread_lookup_failure_ratio{{{SYSCALL}, window="last"}}))', "Failed lookups", "percentunit", ((None, GREEN), (0.05, YELLOW), (0.15, RED))),
                 Column(f"topk(100, sum by (cluster, hostname) (increase({MISSING}[1h]) or 0 * increase({JUDGED}[1h])) / sum by (cluster, hostname) (increase({JUDGED}[1h])))", "Missing fields, 1 h", "percentunit", SHARE),
             ], place=(0, 8, 24, 10), link=HOST_LINK, labels={"cluster": "Cluster"}),
        graph(20, "Hosts by state", "Fresh and stale hosts, and the degraded among the fresh. A step up in stale or degraded on many hosts at once is a rollout.",
              [Query(f"sum({FRESH})", "fresh"), Query(f"sum(1 - {FRESH})", "stale"), Query(f"count({DEGRADED}) or {none}", "degraded")],
              place=(0, 18, 12, 8), unit="short", is_stepped=False),
        graph(30, "Falco versions", "Hosts by version of Falco: what changed when the numbers did.",
              [Query(f"count by (version) (falco_enrichment_falco_info{{{SYSCALL}}})", "{{version}}")], place=(12, 18, 12, 8), unit="short", is_stepped=False, is_stacked=True),
        graph(31, "Starts of Falco, per hour", "Falco processes started on all hosts. Each start begins its counters anew; many of one host are a restart loop.",
              [Query(f"sum(changes(falco_enrichment_falco_start_timestamp_seconds{{{SYSCALL}}}[1h]))", "starts")], place=(0, 26, 12, 7), unit="short", is_stepped=False),
        rows(40, "Rules files", "Hosts by content of each rules file. More than one line of a file: hosts detect different things (FalcoRulesetDrift).", "file_name",
             [Column(f"count by (file_name, sha256) (falcosecurity_falco_sha256_rules_files_info{{{FLEET}}})", "Hosts", decimals=0)],
             place=(12, 26, 12, 7), labels={"file_name": "File", "sha256": "SHA-256"}, no_value="Falco told no digests"),
    ]  # fmt: skip
    return board(
        "falco-enrich-fleet",
        "Falco enrichment: fleet",
        "Is Falco's enrichment bad, and where.",
        time="now-24h",
        panels=panels,
        variables=("cluster",),
    )

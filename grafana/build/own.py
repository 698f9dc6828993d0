"""The exporter itself: does it read everything, in time, at what cost."""

from drawing import GREEN, RED, YELLOW, Panel, Query, board, graph, number

ONE = 'cluster=~"$cluster", instance=~"$instance"'
OWN = "falco_enrichment_exporter_"
TARGET = 'job=~".*falco-enrichment.*", instance=~"$instance"'


def json() -> str:
    """Return the board."""
    panels: list[Panel] = [
        number(1, "Exporters up", "The share of exporters that answer. Below 100 %: see FalcoEnrichmentExporterDown.",
               [Query(f"avg(up{{{TARGET}}})", "up")], place=(0, 0, 6, 4), unit="percentunit", steps=((None, RED), (1.0, GREEN)), no_value="No target"),
        number(2, "Sources that can be read", "The share of files, pipes and receivers that can be read now.",
               [Query(f"avg({OWN}source_up{{{ONE}}})", "sources")], place=(6, 0, 6, 4), unit="percentunit", steps=((None, RED), (1.0, GREEN)), no_value="No source"),
        number(3, "Bytes not read yet", "What is in the sources and not taken in. Above 16 MiB and growing: see FalcoEnrichmentInputLagging.",
               [Query(f"sum({OWN}source_lag_bytes{{{ONE}}})", "bytes")], place=(12, 0, 6, 4), unit="bytes", steps=((None, GREEN), (1048576.0, YELLOW), (16777216.0, RED))),
        number(4, "Hosts", "Hosts with state in memory.", [Query(f"sum({OWN}hosts{{{ONE}}})", "hosts")], place=(18, 0, 6, 4), unit="short"),
        graph(10, "Exporters that answer", "1 while Prometheus gets an answer.", [Query(f"up{{{TARGET}}}", "{{instance}}")], place=(0, 4, 12, 7), unit="short", is_stepped=False, no_value="No target"),
        graph(20, "Bytes not read yet, by source", "A ramp: more is written than is read, or the source cannot be read.",
              [Query(f"topk(20, {OWN}source_lag_bytes{{{ONE}}})", "{{path}}")], place=(12, 4, 12, 7), unit="bytes", is_stepped=False, no_value="No source"),
        graph(30, "Lines that could not be used", "By reason. More than 5 % of all: the format has changed, or somebody else writes into the file.",
              [Query(f"sum by (reason) (rate({OWN}lines_rejected_total{{{ONE}}}[5m]))", "{{reason}}")], place=(0, 11, 12, 7), unit="cps", is_stepped=False, no_value="None"),
        graph(40, "Limits hit", "What was left out or counted together, by limit. Not 0: raise it, or find what makes the names.",
              [Query(f"sum by (limit) (increase({OWN}limit_hits_total{{{ONE}}}[5m]))", "{{limit}}")], place=(12, 11, 12, 7), unit="short", is_stepped=False, no_value="None"),
        graph(50, "Lines read", "By what they are.", [Query(f"sum by (kind) (rate({OWN}lines_total{{{ONE}}}[5m]))", "{{kind}}")], place=(0, 18, 12, 7), unit="cps", is_stepped=False, is_stacked=True),
        graph(51, "Bytes read", "From all sources.", [Query(f"sum by (instance) (rate({OWN}read_bytes_total{{{ONE}}}[5m]))", "{{instance}}")], place=(12, 18, 12, 7), unit="Bps", is_stepped=False),
        graph(60, "Rotations and losses", "Rotations are normal. Lost bytes were removed before they could be read.",
              [Query(f"sum by (kind) (increase({OWN}rotations_total{{{ONE}}}[1h]))", "rotations by {{kind}}"), Query(f"sum by (reason) (increase({OWN}lost_bytes_total{{{ONE}}}[1h]))", "bytes lost, {{reason}}")],
              place=(0, 25, 12, 7), unit="short", is_stepped=False),
        graph(70, "Age of the checkpoint", "Written before each scrape is answered. A ramp: the disk is full, or the folder is not writable.",
              [Query(f"time() - {OWN}checkpoint_timestamp_seconds{{{ONE}}}", "{{instance}}")], place=(12, 25, 12, 7), unit="s", is_stepped=False, no_value="No state directory"),
        graph(80, "Cost of a scrape", "Time that Prometheus waits for an answer.", [Query(f"scrape_duration_seconds{{{TARGET}}}", "{{instance}}")], place=(0, 32, 8, 7), unit="s", is_stepped=False),
        graph(90, "CPU of the exporter", "Cores in use. Near the limit it falls behind.", [Query(f"rate(process_cpu_seconds_total{{{TARGET}}}[5m])", "{{instance}}")], place=(8, 32, 8, 7), unit="short", is_stepped=False),
        graph(100, "Memory of the exporter", "Resident memory. It does not grow with the log, only with hosts.", [Query(f"process_resident_memory_bytes{{{TARGET}}}", "{{instance}}")], place=(16, 32, 8, 7), unit="bytes", is_stepped=False),
        graph(110, "Errors of files and checkpoints", "Errors while opening, reading or storing. Not 0 for long: rights, mounts, disk.",
              [Query(f"sum by (errno) (rate({OWN}source_errors_total{{{ONE}}}[5m]))", "sources, {{errno}}"), Query(f"sum(rate({OWN}checkpoint_errors_total{{{ONE}}}[5m]))", "checkpoints")],
              place=(0, 39, 12, 7), unit="cps", is_stepped=False, no_value="None"),
        graph(120, "Posts to /ingest", "By status: 200 is counted, 4xx and 429 are not.", [Query(f"sum by (code) (rate({OWN}ingest_requests_total{{{ONE}}}[5m]))", "{{code}}")],
              place=(12, 39, 12, 7), unit="reqps", is_stepped=False, no_value="None"),
    ]  # fmt: skip
    return board(
        "falco-enrich-exporter",
        "Falco enrichment: exporter",
        "Does the exporter read everything, in time.",
        time="now-6h",
        panels=panels,
        variables=("cluster", "instance"),
    )

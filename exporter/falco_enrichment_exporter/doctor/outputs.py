"""Whether alerts and snapshots reach a reader, in a form whose fields can be judged."""

from collections.abc import Iterator
from typing import Final

from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

CHANNELS: Final = ("stdout_output", "file_output", "http_output", "program_output", "syslog_output", "grpc_output")
_HIGH: Final = frozenset({"emergency", "alert", "critical", "error"})
_LOGS: Final = "/var/log/falco/falco.json"


def check_outputs(facts: Facts) -> Iterator[Finding]:
    """Look at json_output, the output channels, the queue between, and the drop alerts."""
    config = facts.config
    if not config.flag("json_output", default=False):
        yield Finding("text_output", Severity.WARNING, "Alerts are text, not JSON", config.told("json_output", "false"),
                      "output_fields: the missing container.*, k8s.*, user.* and proc.* of alerts cannot be counted",
                      f"Set json_output in {config.where('json_output')} to true", yaml_of("json_output", True))  # fmt: skip
    yield from _check_channels(facts)
    priority = config.text("priority").lower()
    if priority in _HIGH:
        yield Finding("priority_high", Severity.INFO, "Few rules may alert", config.told("priority", "debug"),
                      "evidence: fields are judged in the alerts that are written; snapshots are not filtered",
                      f"Set priority in {config.where('priority')} to notice or lower", yaml_of("priority", "notice"))  # fmt: skip
    if (config.number("outputs_queue.capacity") or 0) > 0 and facts.is_since(0, 36):
        yield Finding("queue_bounded", Severity.INFO, "The output queue is bounded",
                      config.told("outputs_queue.capacity", "0"),
                      "alerts and snapshots, when outputs are slow: dropped and counted in falco.outputs_queue_num_drops;"
                      " without a bound memory grows instead",
                      "Watch that counter, or set the capacity to 0", yaml_of("outputs_queue.capacity", 0))  # fmt: skip
    if "ignore" in config.items("syscall_event_drops.actions"):
        yield Finding("drops_ignored", Severity.INFO, "Falco says nothing when it drops events",
                      config.told("syscall_event_drops.actions", "[ignore]"),
                      "Falco's own drop alerts; the counters scap.n_drops* stay",
                      f"Set actions in the syscall_event_drops block of {config.where('syscall_event_drops')}",
                      yaml_of("syscall_event_drops.actions", ["log", "alert"]))  # fmt: skip


def _check_channels(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    on = [name for name in CHANNELS if config.flag(f"{name}.enabled", default=False)]
    example = {"enabled": True, "keep_alive": False, "filename": _LOGS}
    if "file_output" in on and not config.text("file_output.filename"):
        yield Finding("file_output_unnamed", Severity.CRITICAL, "Falco does not start: file_output names no file",
                      config.told("file_output.filename", "nothing"), "everything: Falco ends with an error",
                      f"Set filename in the file_output block of {config.where('file_output')}",
                      yaml_of("file_output", example))  # fmt: skip
    if "http_output" in on and not config.text("http_output.url"):
        yield Finding("http_output_unnamed", Severity.CRITICAL, "Falco does not start: http_output names no address",
                      config.told("http_output.url", "nothing"), "everything: Falco ends with an error",
                      f"Set url in the http_output block of {config.where('http_output')}",
                      yaml_of("http_output", {"enabled": True, "url": "http://127.0.0.1:9377/ingest"}))  # fmt: skip
    if not on:
        yield Finding("no_output", Severity.CRITICAL, "No output is on: alerts go nowhere",
                      "none of " + ", ".join(f"{name}.enabled" for name in CHANNELS) + " is true",
                      "all alerts, and the snapshots of metrics.output_rule",
                      f"Write to a file that the exporter follows, in {config.where('file_output')}",
                      yaml_of("file_output", example))  # fmt: skip
    elif on == ["http_output"] and "/ingest" not in config.text("http_output.url"):
        facts.not_checked.append(
            "whether what http_output posts reaches the exporter: falcosidekick can pass it on to POST /ingest"
        )

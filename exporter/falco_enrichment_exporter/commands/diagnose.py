"""Read Falco's output once, and say of every host what is degraded, why, and what to do next."""

from collections.abc import Sequence
from typing import Final

from falco_enrichment_exporter import loading
from falco_enrichment_exporter.commands import findings
from falco_enrichment_exporter.commands.reader import Reader
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.verdicts import HostJudge, judged_source
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.settings import DiagnoseSettings

PROG: Final = "falco-enrichment-exporter diagnose"


def run(arguments: Sequence[str]) -> int:
    """Diagnose the files; return 0 if nothing is wrong, 1 if something is. Raises SetupError."""
    paths, flags = loading.operands(arguments)
    settings = loading.read(DiagnoseSettings, flags, prog=PROG, operand="FILE...")
    if not paths:
        raise SetupError(f"nothing to read; give files, or - for standard input: {PROG} /var/log/falco/falco.json")
    fleet = Fleet(
        default_hostname=settings.source.hostname,
        thread_table_size=settings.source.thread_table_size,
        limits=settings.limits.of_fleet,
    )
    reader = Reader(fleet, settings.limits.max_line_bytes)
    reader.read(paths)
    judged = [judge(reader, hostname, settings) for hostname in reader.hostnames()]
    findings.show(judged, reader.fleet, as_json=settings.output == "json", now=reader.now)
    return int(any(host.findings for host in judged))


def judge(reader: Reader, hostname: str, settings: DiagnoseSettings) -> findings.Judged:
    """Judge one host by all that was read, as of the newest time that was read."""
    fleet = reader.fleet
    ledger, tracks = fleet.alerts.ledger, fleet.hosts.get(hostname, {})
    host = HostJudge(
        hostname,
        tracks,
        ledger.hosts.get(hostname),
        limits=settings.thresholds.model_dump(),
        table_limit=fleet.thread_table_limit,
        now=reader.now,
        without_fields=ledger.without_fields[hostname],
    )
    found = host.findings()
    track = tracks.get(judged_source(tracks))
    version = track.fields.get("falco.version") if track is not None else None
    return findings.Judged(hostname, str(version) if version else None, found, host.not_judged)

"""Review what decides whether Falco's enrichment works, before it fails: settings, rules, mounts."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from falco_enrichment_exporter import loading
from falco_enrichment_exporter.doctor.containers import check_containers
from falco_enrichment_exporter.doctor.facts import Arguments, Facts, Host, gather
from falco_enrichment_exporter.doctor.finding import SEVERITIES, Finding, Severity
from falco_enrichment_exporter.doctor.merging import check_merging
from falco_enrichment_exporter.doctor.mounts import check_mounts
from falco_enrichment_exporter.doctor.outputs import check_outputs
from falco_enrichment_exporter.doctor.rules import check_rules
from falco_enrichment_exporter.doctor.snapshots import check_snapshots
from falco_enrichment_exporter.doctor.state import check_state
from falco_enrichment_exporter.doctor.switches import check_switches
from falco_enrichment_exporter.settings import DoctorSettings

PROG: Final = "falco-enrichment-exporter doctor"
CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    check_merging,
    check_snapshots,
    check_outputs,
    check_containers,
    check_mounts,
    check_state,
    check_rules,
    check_switches,
)
"""In the order in which to mend, within a severity."""
_STYLES: Final = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def run(arguments: Sequence[str]) -> int:
    """Review; return 0 if nothing is wrong, 1 if something is. Raises SetupError."""
    settings = loading.read(DoctorSettings, arguments, prog=PROG)
    named = settings.host_root or os.environ.get("HOST_ROOT")
    host = Host(Path(named or "/"), is_told=bool(named))
    facts = gather(settings.falco_config, host, Arguments.parse(settings.falco_arguments), settings.falco_version)
    findings = review(facts)
    if settings.output == "json":
        json.dump(_document(facts, findings), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(facts, findings)
    return int(bool(findings))


def review(facts: Facts) -> list[Finding]:
    """Run all checks; the worst findings come first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _document(facts: Facts, findings: list[Finding]) -> dict[str, object]:
    return {
        "falco_version": facts.version,
        "falco_version_known_by": facts.release_known_by,
        "falco_config": facts.config.main,
        "host_root": str(facts.host.root),
        "findings": [asdict(finding) for finding in findings],
        "not_checked": facts.not_checked,
    }


def _print(facts: Facts, findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    counted = ", ".join(
        f"{number} {severity}"
        for severity in SEVERITIES
        if (number := sum(finding.severity is severity for finding in findings))
    )
    about = f"{facts.config.main} for Falco {facts.version} ({facts.release_known_by}), host under {facts.host.root}"
    console.print(f"{escape(about)}: {counted or '[green]nothing wrong[/green] in what could be checked'}")
    for number, finding in enumerate(findings, 1):
        style = _STYLES[finding.severity]
        console.print(f"\n{number}. [{style}]{finding.severity}[/{style}] {escape(finding.title)} ({finding.id})")
        console.print(f"   Set:    {escape(finding.set)}")
        console.print(f"   Breaks: {escape(finding.breaks)}")
        console.print(f"   Fix:    {escape(finding.fix)}{':' if finding.yaml else ''}")
        for line in finding.yaml.splitlines():
            console.print(f"             {escape(line)}")
    if facts.not_checked:
        console.print("\nNot checked:")
    for item in facts.not_checked:
        console.print(f"  {escape(item)}")

"""Show findings to people (rich where there is a terminal, plain text elsewhere) or to programs (JSON)."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.series import WINDOW_COUNTS
from falco_enrichment_exporter.core.verdicts import Finding, NotJudged

WORTH_A_BAR: Final = 64 << 20
MOST_HEALTHY_NAMES: Final = 5
_STYLES: Final = {"critical": "bold red", "warning": "yellow"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A host and what was found of it."""

    hostname: str
    version: str | None
    findings: list[Finding]
    not_judged: list[NotJudged]


@contextlib.contextmanager
def progress(label: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal's standard error while a large file is read."""
    if size_bytes < WORTH_A_BAR or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(label), total=size_bytes)
        yield lambda count: bar.advance(task, count)


def show(judged: list[Judged], fleet: Fleet, *, as_json: bool, now: float) -> None:
    """Print everything on standard output, hosts with findings first."""
    ordered = sorted(judged, key=lambda host: (_worst(host), host.hostname))
    if as_json:
        json.dump(_document(ordered, fleet, now), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(ordered, fleet, now)


def _worst(host: Judged) -> int:
    severities = {finding.severity for finding in host.findings}
    return 0 if "critical" in severities else 1 if severities else 2


def _document(judged: list[Judged], fleet: Fleet, now: float) -> dict[str, Any]:
    return {
        "as_of": _time(now),
        "lines": dict(fleet.lines),
        "rejected": dict(fleet.rejections),
        "hosts": [
            {
                "hostname": host.hostname,
                "falco_version": host.version,
                "findings": [asdict(finding) | {"title": finding.title} for finding in host.findings],
                "not_judged": [{"cause": item.cause, "reason": item.reason} for item in host.not_judged],
            }
            for host in judged
        ],
    }


def _print(judged: list[Judged], fleet: Fleet, now: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    lines = fleet.lines
    seen = f"{lines['snapshot']} snapshots and {lines['alert']} alerts"
    read = f"{seen} of {_count(len(judged), 'host')}, as of {_time(now)}"
    rejected = fleet.rejections.total()
    console.print(read + (f"; {_count(rejected, 'line')} could not be read" if rejected else ""))
    for host in judged:
        if host.findings:
            _print_host(console, host)
    _print_healthy(console, [host.hostname for host in judged if not host.findings])
    _print_not_judged(console, judged)


def _print_host(console: Console, host: Judged) -> None:
    version = f" (Falco {escape(host.version)})" if host.version else ""
    console.print(f"\n[bold]{escape(host.hostname)}[/bold]{version}")
    for number, finding in enumerate(host.findings, 1):
        style = _STYLES[finding.severity]
        since = f", since {_time(finding.since)} or before" if finding.since is not None else ""
        console.print(f"  {number}. [{style}]{finding.severity}[/{style}] {finding.title} ({finding.cause})")
        console.print(f"     Seen:  {escape(finding.evidence)}{since}")
        is_count = finding.severity == "critical" and finding.signal in WINDOW_COUNTS
        limit = f"in {finding.threshold:g} snapshots in a row" if is_count else f"{finding.threshold:g}"
        console.print(f"     Limit: {finding.signal} {limit} for {finding.severity}")
        console.print(f"     Next:  {escape(finding.next_step)}")


def _print_healthy(console: Console, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:MOST_HEALTHY_NAMES])
        more = f" and {len(names) - MOST_HEALTHY_NAMES} more" if len(names) > MOST_HEALTHY_NAMES else ""
        console.print(f"\n[green]Nothing wrong[/green] in what could be judged: {escape(shown)}{more}")


def _print_not_judged(console: Console, judged: list[Judged]) -> None:
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for host in judged:
        for item in host.not_judged:
            reasons.setdefault((item.reason, str(item.cause)), {})[host.hostname] = None
    if reasons:
        console.print("\nNot judged:")
    for (reason, cause), names in reasons.items():
        where = escape(next(iter(names))) if len(names) == 1 else _count(len(names), "host")
        console.print(f"  {cause}: {escape(reason)} ({where})")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

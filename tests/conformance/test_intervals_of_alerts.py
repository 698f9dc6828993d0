"""The rules over what the exporter shows, at every snapshot interval: hours and days in virtual time.

A fleet of hosts, one for each thing that can happen, is folded by the exporter's own code and scraped by its own page
on a made clock; promtool evaluates the rules over these scrapes.
"""

import asyncio
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import decode
from falco_enrichment_exporter.exposition.alerts import AlertCollector
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.settings import ObjectiveSettings, ThresholdSettings
from promql import selected
from snapshots import make_fleet, make_line
from test_rules_files import OURS, RULES

SECOND: Final = 10**9
SHIFT_S: Final = 10 * 86400
"""Promtool's clock begins at 0, and Falco's cannot: it is ten days ahead."""
USED: Final = {found.name for rule in RULES for found in selected(rule["expr"])}
BIG: Final = 1e5
TARGET: Final = 'job="falco-enrichment", instance="node:9377"'
GROUPS: Final = ("-recording", "-snapshots", "-state")
"""Those that read snapshots. The others have nothing to read here, and promtool takes its time over them."""
OF_ALL: Final = {"source": "syscall", "job": "falco-enrichment", "instance": "node:9377"}
INTERVALS: Final = {"1m": (60, 90, 60), "15m": (900, 16, 60), "1h": (3600, 12, 240), "6h": (21600, 10, 240)}
"""Seconds between snapshots, how many of them, seconds between scrapes."""


@dataclass
class Host:
    """What happens on one host; ``half`` is the snapshot at which it changes."""

    name: str
    drops: int = 0
    """Share of events dropped in the first and in the second half, in per mille."""
    drops_later: int | None = None
    skew_s: int = 0
    ends: bool = False
    restarts: bool = False
    reloads: bool = False
    is_twice: bool = False
    has_plugin: bool = False
    has_state: bool = True
    is_full: bool = False
    _start: int = -86400
    _reload: int = -86400
    _totals: dict[str, int] = field(default_factory=dict)

    def lines(self, number: int, half: int, interval: int) -> list[bytes]:
        """Return what Falco writes at a snapshot."""
        at = number * interval
        if self.ends and number >= half:
            return []
        if self.restarts and number == half:
            self._start = self._reload = at - interval // 2
            self._totals.clear()
        if self.reloads and number == half:
            self._reload = at - interval // 2
            self._totals.clear()
        share = self.drops if self.drops_later is None or number < half else self.drops_later
        grown = {"scap.n_evts": 1_000_000, "scap.n_drops": 1000 * share, "falco.num_evts": 900_000}
        if self.has_state:
            grown |= {
                "falco.n_cached_thread_lookups": 500_000, "falco.n_failed_thread_lookups": 500,
                "falco.n_stored_evts": 90_000, "falco.n_drops_full_threadtable": 50 if self.is_full else 0,
            }  # fmt: skip
        for key, count in grown.items():
            self._totals[key] = self._totals.get(key, 0) + count
        state = {"falco.n_threads": 1800, "falco.n_fds": 20_000} if self.has_state else {}
        fields: dict[str, Any] = {
            "evt.hostname": self.name, "evt.source": "syscall", "evt.time": (SHIFT_S + at + self.skew_s) * SECOND,
            "falco.version": "0.44.1", "falco.start_ts": (SHIFT_S + self._start) * SECOND,
            "falco.reload_ts": (SHIFT_S + self._reload) * SECOND, "falco.duration_sec": at - self._start,
            "scap.engine_name": "modern_bpf", **state,
        }  # fmt: skip
        line = make_line(fields | {key: count for key, count in self._totals.items() if count}, self.name)
        more = []
        if self.has_plugin:
            plugin = {**fields, "evt.source": "k8s_audit", "falco.num_evts": self._totals["falco.num_evts"]}
            more = [make_line({k: v for k, v in plugin.items() if not k.startswith("scap")}, self.name)]
        return [line] * (2 if self.is_twice else 1) + more


def hosts() -> list[Host]:
    """Return the fleet."""
    return [
        Host("well"), Host("breach", drops=10), Host("breach-ends", drops=10, drops_later=0), Host("ends", ends=True),
        Host("restart", restarts=True), Host("reload", reloads=True), Host("behind", skew_s=-300),
        Host("ahead", skew_s=300), Host("twice", is_twice=True), Host("two-sources", has_plugin=True),
        Host("no-state", has_state=False), Host("full", is_full=True), Host("begins", drops=0, drops_later=10),
    ]  # fmt: skip


def page_of(fleet: Fleet) -> Page:
    """Return what is scraped."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AlertCollector(fleet.alerts, ThresholdSettings().model_dump(), ObjectiveSettings().model_dump()))
    return Page(fleet, [HostSeries(fleet)], Tally(), registry)


def scrapes(interval: int, count: int, step: int) -> dict[str, list[str]]:
    """Run the fleet; return the values of every series that a rule reads, scrape by scrape, as promtool takes them."""
    fleet, made, half = make_fleet(), hosts(), count // 2
    page, values = page_of(fleet), dict[str, list[str]]()
    for scrape, now in enumerate(range(0, count * interval, step)):
        if now % interval < step:
            number = now // interval
            for host in made:
                for line in host.lines(number, half, interval):
                    fleet.fold(decode(line))
        if now // step == half * interval // step + 2:  # the exporter is restarted
            state, fleet = fleet.dump(), make_fleet()
            fleet.restore(state)
            page = page_of(fleet)
        for name, value in samples(page):
            row = values.setdefault(name, ["_"] * scrape)
            row.append(value)
        for row in values.values():
            row.extend(["_"] * (scrape + 1 - len(row)))
    return values


def samples(page: Page) -> list[tuple[str, str]]:
    """Return series and value of a scrape, times moved to promtool's clock."""
    found = []
    for family in text_string_to_metric_families(b"".join(asyncio.run(page.make())).decode()):
        for sample in family.samples:
            if sample.name in USED:
                labels = ", ".join(f"{key}={json.dumps(value)}" for key, value in sorted(sample.labels.items()))
                is_time = sample.name.endswith("timestamp_seconds")
                value = sample.value - SHIFT_S if is_time else sample.value
                found.append(
                    (
                        f"{sample.name}{{{labels}{', ' if labels else ''}{TARGET}}}",
                        f"{value:g}" if abs(value) < 1e5 else f"{value:.3f}",
                    )
                )
    return found


def expected(interval: str, time: str) -> list[dict[str, str]]:
    """Return what fires in the middle and at the end."""
    fires = {
        "breach": ("FalcoKernelEventDrops", "warning", "kernel_drop_ratio"),
        "no-state": ("FalcoStateCountersDisabled", "warning", "state_counters"),
        "full": ("FalcoThreadTableFull", "critical", "threadtable_full_drops"),
    }
    if time == "middle":
        fires["breach-ends"] = fires["breach"]
    else:
        fires["begins"] = fires["breach"]
        fires["ends"] = ("FalcoSnapshotStale", "warning", "snapshot_age")
    if interval == "1m":
        fires["behind"] = ("FalcoSnapshotStale", "warning", "snapshot_age")  # five minutes are more than it allows
    rows = [
        {"alertname": name, "hostname": host, "severity": severity, "signal": signal}
        for host, (name, severity, signal) in fires.items()
    ]
    also = {"alertname": "FalcoThreadTableFull", "hostname": "full", "severity": "warning"}
    return [*rows, also | {"signal": "threadtable_full_drops"}]


def promtool(folder: Path, interval: str) -> subprocess.CompletedProcess[str]:
    """Run the fleet and the rules over it: what fires in the middle and at the end, and nothing in between."""
    seconds, count, step = INTERVALS[interval]
    series = scrapes(seconds, count, step)
    end = (count - 1) * seconds
    middle = (count // 2) * seconds - step
    quiet = "well|restart|reload|ahead|twice|two-sources"
    never = f'count_over_time(ALERTS{{hostname=~"{quiet}"}}[{end}s])'
    flaps = f'changes(ALERTS_FOR_STATE{{hostname="breach"}}[{middle}s])'
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{step}s",
        "tests": [
            {
                "interval": f"{step}s",
                "input_series": [{"series": name, "values": " ".join(values)} for name, values in series.items()]
                + [{"series": f"up{{{TARGET}}}", "values": f"1+0x{len(next(iter(series.values())))}"}],
                "promql_expr_test": [
                    firing(middle, expected(interval, "middle")),
                    firing(end, expected(interval, "end")),
                    {"expr": never, "eval_time": f"{end}s", "exp_samples": []},
                    {
                        "expr": flaps,
                        "eval_time": f"{end}s",
                        "exp_samples": [{"labels": alert_labels("breach"), "value": 0}],
                    },
                ],
            }
        ],
    }
    groups = [group for group in yaml.safe_load(OURS.read_text())["groups"] if group["name"].endswith(GROUPS)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / "test.yml").write_text(yaml.safe_dump(tests, width=10**9))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run all intervals, the longest first; as many at once as there are CPUs."""
    longest_first = list(INTERVALS)[::-1]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda interval: promtool(tmp_path_factory.mktemp("promtool"), interval), longest_first)
        return dict(zip(longest_first, done, strict=True))


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("interval", INTERVALS)
def test_what_fires_does_not_depend_on_the_snapshot_interval(
    runs: dict[str, subprocess.CompletedProcess[str]], interval: str
) -> None:
    """Every alert of every host, in the middle and at the end, and without a gap in between."""
    done = runs[interval]

    assert done.returncode == 0, done.stdout + done.stderr


def alert_labels(host: str) -> str:
    """Return the labels of a host's first alert as promtool writes them."""
    row = next(row for row in expected("1h", "end") if row["hostname"] == host)
    labels = row | OF_ALL
    return "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


def firing(at: int, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return the check of all that fires at a time."""
    more = {
        "__name__": "ALERTS",
        "alertstate": "firing",
        "source": "syscall",
        "job": "falco-enrichment",
        "instance": "node:9377",
    }
    samples = ["{" + ", ".join(f'{key}="{value}"' for key, value in sorted((row | more).items())) + "}" for row in rows]
    return {
        "expr": 'ALERTS{alertstate="firing", hostname!=""}',
        "eval_time": f"{at}s",
        "exp_samples": [{"labels": labels, "value": 1} for labels in samples],
    }

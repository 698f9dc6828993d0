"""A real Prometheus scrapes the exporter while Falco's log grows."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import RUNS, Exporter, Prometheus, Start, alert, append, eventually, polls, snapshot

pytestmark = pytest.mark.e2e

COMPLAINTS = re.compile(
    r"duplicate|out.of.order|different value but same timestamp|Append failed|invalid|level=(warn|error)", re.IGNORECASE
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a log that holds what Falco wrote before: all recorded runs."""
    log = tmp_path_factory.mktemp("log") / "falco.log"
    for run in ("run-a", "run-b", "run-e", "run-g"):
        for name in ("alerts.jsonl", "metrics_file.jsonl"):
            append(log, (RUNS / run / name).read_bytes().replace(b"falco-node-1", run.encode()))
    return log


@pytest.fixture(scope="module")
def exporter(start_shared: Start, log: Path) -> Exporter:
    """Start an exporter that follows the log."""
    return start_shared(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()


@pytest.fixture(scope="module")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes the exporter; return it once it has. It waits five seconds before it begins."""
    with Prometheus(exporter.port, tmp_path_factory.mktemp("prometheus")) as prometheus:
        eventually(lambda: value(prometheus, "up"), lambda up: up == 1, within=20)
        yield prometheus


def value(prometheus: Prometheus, expression: str) -> float | None:
    """Return the value of an expression that gives one series at most."""
    return next(iter(prometheus.query(expression).values()), None)


def test_prometheus_takes_everything_and_complains_about_nothing(
    exporter: Exporter, prometheus: Prometheus, log: Path
) -> None:
    """Snapshots that Falco writes arrive as series, ratios and all, scrape after scrape, without one warning."""
    first, second = time.time() - 60, time.time()
    append(log, snapshot("live", first, scap__n_evts=1000, scap__n_drops=0, falco__num_evts=900))
    append(log, snapshot("live", second, scap__n_evts=5000, scap__n_drops=1000, falco__num_evts=4000))
    append(log, alert("Terminal shell in container") * 3)
    at = 'falco_enrichment_snapshot_timestamp_seconds{hostname="live"}'
    eventually(lambda: value(prometheus, at), lambda seen: seen == pytest.approx(second, abs=0.01))
    ratio = 'falco_enrichment_kernel_drop_ratio{hostname="live",window="last"}'
    assert value(prometheus, ratio) == pytest.approx(0.25)
    assert value(prometheus, "sum(falco_enrichment_rule_alerts_total)") == 3
    assert value(prometheus, "sum(falco_enrichment_exporter_collect_errors_total) or vector(0)") == 0
    assert value(prometheus, 'falcosecurity_scap_n_drops_total{hostname="live"}') is not None
    for _ in polls(2.2, every=0.3):  # two scrapes more
        assert value(prometheus, "min_over_time(up[10s])") == 1
    lost = "scrape_samples_scraped - scrape_samples_post_metric_relabeling"
    assert value(prometheus, lost) == 0
    assert [line for line in prometheus.log.splitlines() if COMPLAINTS.search(line)] == []
    assert prometheus.ask("targets")["activeTargets"][0]["lastError"] == ""


def test_the_counters_that_prometheus_sees_have_their_types(exporter: Exporter, prometheus: Prometheus) -> None:
    """Metadata of a scrape: counters are counters, gauges are gauges, all with help."""
    metadata = eventually(lambda: prometheus.ask("metadata") or {}, bool)
    ours = {name: rows for name, rows in metadata.items() if name.startswith("falco_enrichment_")}
    assert all(len(rows) == 1 and rows[0]["help"] for rows in ours.values())
    samples = {name for name, _ in exporter.scrape() if name.startswith("falco_enrichment_")}
    known = {name if name in ours else name.removesuffix("_total") for name in samples}
    assert known == ours.keys()

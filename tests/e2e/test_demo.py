"""The demo: everything to see at once, nothing left behind."""

import time
from pathlib import Path

import pytest

from e2e.harness import Start, by_label, eventually

pytestmark = pytest.mark.e2e

HOSTS = {"demo-healthy", "demo-runtime-lost", "demo-table-full"}


def test_the_demo_shows_three_hosts_at_once_and_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    """Ready within five seconds, per-interval values of all hosts on the first page, growth, and a clean end."""
    begun = time.monotonic()
    exporter = start("demo").wait_until_ready()
    assert time.monotonic() - begun < 5
    folders = list(tmp_path.glob("falco-demo-*"))
    assert len(folders) == 1

    samples = exporter.scrape()
    for series in ("snapshot_interval_seconds", "kernel_events_per_second", "thread_lookup_failure_ratio"):
        assert by_label(samples, f"falco_enrichment_{series}", "hostname").keys() == HOSTS
    ratios = [dict(labels) for name, labels in samples if name == "falco_enrichment_kernel_drop_ratio"]
    assert {labels["hostname"] for labels in ratios if labels["window"] == "last"} == HOSTS
    page = exporter.get("/").text
    assert all(host in page for host in HOSTS)

    taken = exporter.total("snapshots_total")
    assert taken is not None
    eventually(lambda: exporter.total("snapshots_total"), lambda count: count == taken + 3)
    assert exporter.total("rule_alerts_total")

    ended = exporter.stop()
    assert ended.code == 0
    assert "Traceback" not in ended.stderr
    assert not folders[0].exists()


def test_the_demo_cleans_up_after_a_wrong_setting_too(start: Start, tmp_path: Path) -> None:
    """Refused before anything is served: nothing is left behind either."""
    exporter = start("demo", "--log.level=loud")
    assert exporter.process.wait(10) == 2
    assert "--log.level" in exporter.stderr
    assert not list(tmp_path.glob("falco-demo-*"))

"""A real Prometheus shows history that it has never scraped."""

import json
import subprocess
from pathlib import Path

import pytest

from e2e.harness import RUNS, Prometheus, eventually, free_port, run

pytestmark = pytest.mark.e2e


def test_prometheus_shows_what_falco_told_before(tmp_path: Path) -> None:
    """Every snapshot's value at its time, and in between; promtool takes the file as it is."""
    snapshots = [json.loads(line) for line in (RUNS / "run-b" / "metrics_file.jsonl").read_bytes().splitlines()]
    shown = [s["output_fields"] for s in snapshots if s["output_fields"]["evt.source"] == "syscall"]
    history = tmp_path / "history.om"
    files = [str(RUNS / "run-b" / name) for name in ("metrics_file.jsonl", "alerts.jsonl")]
    ended = run(["backfill", *files, f"--to={history}", "--step=1s"], tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    subprocess.run(
        ["/usr/bin/promtool", "tsdb", "create-blocks-from", "openmetrics", str(history), str(tmp_path / "tsdb")],
        check=True,
        timeout=60,
        capture_output=True,
    )

    with Prometheus(free_port(), tmp_path) as prometheus:
        eventually(lambda: prometheus.ask("query", query="1"), lambda answer: answer is not None)
        for fields in shown:
            at = fields["evt.time"] / 1e9
            data = prometheus.ask("query", query='falco_enrichment_threads{source="syscall"}', time=f"{at + 0.01:.3f}")
            assert [float(row["value"][1]) for row in data["result"]] == [fields["falco.n_threads"]]
        names = prometheus.ask("label/__name__/values")
        assert {"falcosecurity_falco_host_num_cpus_total", "falco_enrichment_alerts_total"} <= set(names)

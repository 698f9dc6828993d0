"""The dashboards of a hundred hosts that are well, and then none of them is: what is empty, and how much is drawn."""

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest

from e2e.harness import Exporter, Prometheus, Start, alert, append, eventually, snapshot
from e2e.test_boards import PANELS

pytestmark = pytest.mark.e2e

HOSTS: Final = [f"node-{number:03}" for number in range(100)]
RULES: Final = 40
WELL_MINUTES: Final = 4
MOST_SERIES: Final = 200
VALUES: Final = {
    "__rate_interval": "1m", "__range": "1h", "cluster": ".*", "hostname": HOSTS[0], "source": "syscall",
    "domain": ".*", "instance": ".*",
}  # fmt: skip
EMPTY_IF_WELL: Final = {
    ("falco-enrich-exporter", "Lines that could not be used"),
    ("falco-enrich-exporter", "Posts to /ingest"),  # no receiver
    ("falco-enrich-fields", "Alerts without fields"),
    ("falco-enrich-fields", "Fields that are missing most, 24 hours"),
    ("falco-enrich-fields", "Hosts that lose most, 24 hours"),
    ("falco-enrich-fields", "Kinds of missing"),
    ("falco-enrich-fields", "Rules that lose most, 24 hours"),
    ("falco-enrich-fleet", "Alerts firing"),  # this Prometheus has no rules
}
WHOLE: Final = {
    "container.id": "3ad7b26ded6d", "container.name": "web", "container.image.repository": "docker.io/library/nginx",
    "container.image.tag": "1", "k8s.ns.name": "shop", "k8s.pod.name": "web-1", "user.name": "root", "user.uid": 0,
    "user.loginuid": -1, "user.loginname": "<NA>",
    "proc.name": "sh", "proc.pname": "runc", "proc.cmdline": "sh -c true",
}  # fmt: skip
LOST: Final = WHOLE | {
    "container.name": None, "container.image.repository": None, "k8s.ns.name": None, "k8s.pod.name": None,
    "user.name": "<NA>", "proc.pname": None,
}  # fmt: skip

Answers = dict[tuple[str, str], list[int]]
"""(board, title of a panel) -> how many series each of its queries returns."""


def minute(at: float, number: int, *, is_well: bool) -> bytes:
    """Return what all hosts write in their n-th minute: a snapshot, and an alert of every rule."""
    bad = 0 if is_well else 1000 * number
    counts = {
        "scap__n_evts": 100_000 * number, "scap__n_drops": 20 * bad, "scap__n_drops_buffer_total": 20 * bad,
        "falco__num_evts": 90_000 * number, "falco__n_threads": 2000 if is_well else 262144,
        "falco__n_drops_full_threadtable": bad, "falco__n_store_evts_drops": bad, "falco__n_retrieve_evts_drops": bad,
        "falco__n_failed_thread_lookups": bad, "falco__n_noncached_thread_lookups": 900 * number,
        "falco__n_cached_thread_lookups": 90_000 * number, "falco__outputs_queue_num_drops": bad,
        "falco__n_failed_fd_lookups": bad, "falco__n_cached_fd_lookups": 90_000 * number,
        "plugins__container__n_containers": 30, "plugins__container__n_missing_container_images": bad,
        "falco__duration_sec": 60 * number, "falco__start_ts": int((at - 60 * number) * 10**9),
    }  # fmt: skip
    lines = [snapshot(host, at, **counts) for host in HOSTS]
    for rule in range(RULES):
        fields = (WHOLE if is_well else LOST) | {"evt.time": int(at * 10**9) + rule}
        lines += [alert(f"Rule {rule}", hostname=host, output_fields=fields, time=f"{at} {rule}") for host in HOSTS]
    return b"".join(lines)


def answers(prometheus: Prometheus) -> Answers:
    """Ask what every panel asks, with values in place of the variables."""

    def count(expression: str) -> int:
        return len(prometheus.query(re.sub(r"\$(\w+)", lambda match: VALUES[match[1]], expression)))

    return {(name, panel["title"]): [count(target["expr"]) for target in panel["targets"]] for name, panel in PANELS}


@pytest.fixture(scope="module")
def stages(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Answers]]:
    """Return the answers for hosts that are well, and for the same hosts later."""
    log = tmp_path_factory.mktemp("log") / "falco.log"
    log.touch()
    exporter: Exporter = start_shared(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()
    begun = time.time() - 600
    with Prometheus(exporter.port, tmp_path_factory.mktemp("prometheus")) as prometheus:
        found = {}
        for number in range(1, 9):
            append(log, minute(begun + 60 * number, number, is_well=number <= WELL_MINUTES))
            newest = f"count(falco_enrichment_snapshot_timestamp_seconds > {begun + 60 * number - 1}) == {len(HOSTS)}"
            eventually(partial(prometheus.query, newest), bool, within=60)
            found["well" if number <= WELL_MINUTES else "ill"] = answers(prometheus)
        yield found


@pytest.mark.parametrize("stage", ["well", "ill"])
def test_no_query_of_a_panel_returns_more_than_can_be_drawn(stages: dict[str, Answers], stage: str) -> None:
    """Neither a browser nor a reader can do anything with a thousand lines."""
    assert {panel: counts for panel, counts in stages[stage].items() if max(counts) > MOST_SERIES} == {}


def test_what_is_empty_when_all_is_well_is_known(stages: dict[str, Answers]) -> None:
    """Every other panel shows that it is well."""
    assert {panel for panel, counts in stages["well"].items() if not any(counts)} == EMPTY_IF_WELL

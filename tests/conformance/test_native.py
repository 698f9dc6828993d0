"""Our native series against Falco's own endpoint, recorded beside the snapshots: equal but for listed corrections."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from falco_enrichment_exporter.core.catalog import CORRECTIONS
from falco_enrichment_exporter.exposition.native import NativeSeries
from recordings import PAIRS, RUNS, Samples, fold, page_of, parse, read_lines, samples_of

RULES = {
    "Clear_Log_Activities": {
        "rule_name": "Clear Log Activities", "priority": "4", "source": "syscall",
        **{f"tag_{tag}": "true" for tag in ("NIST_800_53_AU_10", "T1070", "container", "filesystem", "host", "maturity_stable", "mitre_defense_evasion")},
    },
    "Create_Symlink_Over_Sensitive_Files": {
        "rule_name": "Create Symlink Over Sensitive Files", "priority": "4", "source": "syscall",
        **{f"tag_{tag}": "true" for tag in ("T1555", "container", "filesystem", "host", "maturity_stable", "mitre_credential_access")},
    },
    "Directory_traversal_monitored_file_read": {
        "rule_name": "Directory traversal monitored file read", "priority": "4", "source": "syscall",
        **{f"tag_{tag}": "true" for tag in ("T1555", "container", "filesystem", "host", "maturity_stable", "mitre_credential_access")},
    },
    "Dummy_divisible_by_100": {"rule_name": "Dummy divisible by 100", "priority": "5", "source": "dummy_c", "tag_dummy": "true", "tag_host": "true"},
    "Execution_from_dev_shm": {
        "rule_name": "Execution from /dev/shm", "priority": "4", "source": "syscall",
        **{f"tag_{tag}": "true" for tag in ("T1059_004", "container", "host", "maturity_stable", "mitre_execution")},
    },
    "Read_sensitive_file_untrusted": {
        "rule_name": "Read sensitive file untrusted", "priority": "4", "source": "syscall",
        **{f"tag_{tag}": "true" for tag in ("T1555", "container", "filesystem", "host", "maturity_stable", "mitre_credential_access")},
    },
}  # fmt: skip

# Differences that may be, by the correction that lists them.
ABSENT = {
    "enter_drops": re.compile(r"falcosecurity_scap_n_drops_buffer_total\{dir=enter,drop=\w+\}"),
    "idle_programs": re.compile(
        r"falcosecurity_scap_\w+_(run_cnt|run_time_nanoseconds|avg_time_nanoseconds)(_total)?\{\}"
    ),
    "idle_cpus": re.compile(r"falcosecurity_scap_n_(evts|drops)_cpu_total\{cpu=\d+\}"),
}
OTHER_TYPE = {
    "gauges": re.compile(r"falcosecurity_plugins_container_n_containers_total"),
    "plugin_types": re.compile(r"falcosecurity_plugins_(?!container_)\w+"),
}
# Numbers that stand still between a snapshot and the scrape beside it.
STATIC = re.compile(r"_info\{|_timestamp_nanoseconds|host_num_cpus|host_boot|rules_matches_total|dummy_metric")

RULE_FAMILY = "falcosecurity_falco_rules_matches_total{"

PAIR_FILES: list[tuple[Path, Path, int | None]] = [
    (PAIRS / f"0{n}.jsonl", PAIRS / f"0{n}.prom", None) for n in (1, 2, 3, 4, 5, 6, 8)
]
RUN_FILES: list[tuple[Path, Path, int | None]] = [
    (page.parent / "metrics_file.jsonl", page, int(page.stem.removeprefix("metrics_line")))
    for page in sorted(RUNS.glob("run-*/metrics_line*.prom"))
]


def _written(key: tuple[str, frozenset[tuple[str, str]]]) -> str:
    name, labels = key
    return name + "{" + ",".join(f"{k}={v}" for k, v in sorted(labels)) + "}"


def _both(snapshots: Path, page: Path, count: int | None) -> tuple[Samples, Samples]:
    fleet = fold(read_lines(snapshots, count))
    assert not fleet.rejections
    return samples_of(fleet, NativeSeries(RULES)), parse(page.read_text())


@pytest.mark.parametrize(
    ("snapshots", "page", "count"),
    PAIR_FILES + RUN_FILES,
    ids=lambda v: v.parent.name + "-" + v.stem if isinstance(v, Path) else "",
)
def test_names_and_labels_are_those_of_falcos_endpoint(snapshots: Path, page: Path, count: int | None) -> None:
    """Every series of the endpoint is there and no other, but for corrections; a missing series was 0."""
    ours, falcos = _both(snapshots, page, count)
    known = {_written(key) for key in ours}

    # Rule counters move between the snapshot and the scrape (or fall, at a reload): a rule may be on one side only.
    missing = {_written(key): value for key, (_, value) in falcos.items() if _written(key) not in known}
    unexplained = {
        key: value for key, value in missing.items()
        if not (value == 0 and any(pattern.fullmatch(key) for pattern in ABSENT.values()))
        and not (key.startswith(RULE_FAMILY) and value <= 4)
    }  # fmt: skip
    assert unexplained == {}
    extra = {key for key in known - {_written(key) for key in falcos} if not key.startswith(RULE_FAMILY)}
    assert extra == set()


@pytest.mark.parametrize(
    ("snapshots", "page", "count"),
    PAIR_FILES + RUN_FILES,
    ids=lambda v: v.parent.name + "-" + v.stem if isinstance(v, Path) else "",
)
def test_types_are_those_of_falcos_endpoint(snapshots: Path, page: Path, count: int | None) -> None:
    """Gauge is gauge and counter is counter, but for corrections."""
    ours, falcos = _both(snapshots, page, count)

    other = {
        key[0]: (ours[key][0], falcos[key][0]) for key in ours.keys() & falcos.keys()
        if ours[key][0] != falcos[key][0] and not any(pattern.fullmatch(key[0]) for pattern in OTHER_TYPE.values())
    }  # fmt: skip
    assert other == {}


@pytest.mark.parametrize(
    ("snapshots", "page", "count"),
    PAIR_FILES + RUN_FILES,
    ids=lambda v: v.parent.name + "-" + v.stem if isinstance(v, Path) else "",
)
def test_values_are_those_of_falcos_endpoint(snapshots: Path, page: Path, count: int | None) -> None:
    """Static values are equal; in recorded runs the moving ones are near, which no wrong unit would be."""
    ours, falcos = _both(snapshots, page, count)
    shared = ours.keys() & falcos.keys()
    assert len(shared) >= 10

    for key in shared:
        name, (_, value), (_, theirs) = _written(key), ours[key], falcos[key]
        if STATIC.search(name) and "reload" not in name and "rules_matches" not in name and "start" not in name:
            assert value == theirs, name
        elif snapshots.parent.parent == RUNS and theirs > 50 and "avg_time" not in name:
            assert 0.4 < value / theirs < 2.5, (name, value, theirs)


def test_timestamps_of_a_recorded_run_are_equal() -> None:
    """Start and reload stand still within a run; nanoseconds beyond 2^53 are rounded the same way on both sides."""
    ours, falcos = _both(RUNS / "run-g" / "metrics_file.jsonl", RUNS / "run-g" / "metrics_line3.prom", 3)

    for name in ("start", "reload", "host_boot"):
        key = (f"falcosecurity_falco_{name}_timestamp_nanoseconds", frozenset[tuple[str, str]]())
        assert (ours[key][0], float(ours[key][1])) == (falcos[key][0], float(falcos[key][1]))


def test_every_allowed_difference_is_a_listed_correction() -> None:
    """No difference is tolerated here that docs/metrics.md does not list."""
    assert (ABSENT.keys() | OTHER_TYPE.keys()) <= CORRECTIONS.keys()


def test_an_unknown_field_of_a_newer_falco_is_carried_untyped() -> None:
    """What Falco 0.99 may add appears under the endpoint's naming rule."""
    line = rb'{"output_fields":{"evt.source":"syscall","evt.time":1700000000000000000,"falco.version":"0.99.0","falco.n_marvels":7,"scap.ring.depth":3},"sample":1}'
    ours = samples_of(fold([line]), NativeSeries({}))

    assert ours["falcosecurity_scap_n_marvels", frozenset()] == ("unknown", 7)
    assert ours["falcosecurity_scap_ring_depth", frozenset()] == ("unknown", 3)


def test_two_sources_do_not_repeat_a_number() -> None:
    """Of two sources only the engine's name appears for both."""
    fleet = fold(read_lines(RUNS / "run-b" / "metrics_file.jsonl"))
    seen: set[str] = set()
    for family in text_string_to_metric_families(page_of(fleet, NativeSeries({}))):
        for sample in family.samples:
            key = sample.name + str(sorted(sample.labels.items()))
            assert key not in seen
            seen.add(key)
            if len({s.labels.get("cpu") for s in family.samples}) == 1 and "evt_source" in sample.labels:
                assert {s.labels["evt_source"] for s in family.samples} == {"syscall", "dummy_c"}
    versions = [key for key in seen if key.startswith("falcosecurity_falco_version_info")]
    assert len(versions) == 1


def test_a_family_is_taken_from_one_source_whole() -> None:
    """A plugin source that has been silent since an upgrade does not add the old version beside the new one."""
    lines = [
        b'{"output_fields":{"evt.source":"%s","evt.time":%d,"falco.version":"%s"},"sample":1}' % row
        for row in ((b"k8s_audit", 1, b"0.43.1"), (b"syscall", 2, b"0.44.1"))
    ]
    versions = [labels for name, labels in samples_of(fold(lines), NativeSeries({})) if "version_info" in name]

    assert versions == [frozenset({("version", "0.44.1")})]


def test_numbers_that_cannot_be_are_left_out() -> None:
    """A counter below zero would make the whole page unreadable in OpenMetrics; text is no zero."""
    line = {
        "sample": 1,
        "output_fields": {
            "evt.time": 1_700_000_000_000_000_000,
            "evt.source": "syscall",
            "evt.hostname": "h",
            "falco.duration_sec": -1,
            "falco.start_ts": "NaN",
            "falco.rules.Some_rule": -3,
            "scap.n_drops_cpu_0": -1,
            "falco.n_threads": 5,
        },
    }
    ours = samples_of(fold([json.dumps(line).encode()]), NativeSeries({}))

    assert {name for name, _ in ours} == {
        "falcosecurity_evt_hostname_info",
        "falcosecurity_scap_engine_name_info",
        "falcosecurity_scap_n_threads_total",
    }

"""Numbers of snapshots that fit into 64 bits are kept, others are unknown; units are told from the numbers."""

import pytest

from falco_enrichment_exporter.core.catalog import Group
from falco_enrichment_exporter.core.records import Snapshot, decode
from falco_enrichment_exporter.core.track import fill_zeros
from falco_enrichment_exporter.core.units import UNREADABLE, canonical, number
from snapshots import SECOND, START_NS, make_fields, make_fleet, make_line


@pytest.mark.parametrize("value", [0, -1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)])
def test_a_number_of_64_bits_is_kept(value: int) -> None:
    """With a sign or without one, as a number or as text; what becomes of it depends on what it is a number of."""
    assert number(str(value)) == number(value) == value
    for given in (value, str(value)):
        read = canonical({"evt.time": 1, "scap.n_drops": given, "falco.n_threads": given, "falco.new": value})
        assert read["scap.n_drops"] == (value if value >= 0 else UNREADABLE)
        assert read["falco.n_threads"] == (value if 0 <= value < 1 << 63 else UNREADABLE)
        assert read["falco.new"] == value


@pytest.mark.parametrize("value", ["NaN", "Infinity", "N/A", "", "5 apples", None, True, [1], -0.5, 1e300])
@pytest.mark.parametrize("at", [START_NS, str(START_NS)])
def test_a_counter_that_cannot_be_read_is_unknown_and_does_not_begin_anew(value: object, at: object) -> None:
    """Nor is it filled in as one of those that Falco leaves out because they are 0."""
    fleet = make_fleet()
    shown = []
    for minute, drops in enumerate([5000, 5000, value, 5001, 5003]):
        now = str(START_NS + minute * 60 * SECOND) if isinstance(at, str) else START_NS + minute * 60 * SECOND
        fields = make_fields(60, scap__n_evts=10_000 * minute, scap__n_drops=drops) | {"scap.n_drops": drops}
        record = decode(make_line(fields | {"evt.time": now}))
        assert isinstance(record, Snapshot)
        fleet.fold(record)
        life = fleet.hosts["node"]["syscall"].life
        shown.append((life.marks.get("scap.n_drops"), life.increase("scap.n_drops", 1)))

    assert shown == [(5000, None), (5000, 0), (None, None), (5001, None), (5003, 2)]


def test_a_time_that_is_quoted_is_a_number() -> None:
    """Forwarders quote integers that JavaScript cannot hold."""
    assert canonical({"evt.time": 1, "falco.start_ts": str(START_NS)})["falco.start_ts"] == START_NS


@pytest.mark.parametrize("value", [1 << 64, 1 << 200, -(1 << 63) - 1])
def test_a_number_of_more_bits_is_unknown(value: int) -> None:
    """No counter of Falco's has them."""
    assert canonical({"evt.time": 1, "falco.new": value}) == {"evt.time": 1}
    assert canonical({"evt.time": 1, "scap.n_drops": value}) == {"evt.time": 1, "scap.n_drops": UNREADABLE}
    assert number(str(value)) is None
    assert number(value) is None


def test_a_virtual_size_of_zero_tells_the_unit_too() -> None:
    """It is the size that decides where there is one."""
    fields = canonical({"evt.time": 1, "falco.memory_vsz": 0, "falco.memory_rss": 1 << 13})

    assert (1 << 13) * (1 << 20) in fields.values()


@pytest.mark.parametrize("key", ["scap.n_drops_perc", "scap.n_drops"])
def test_drops_alone_prove_no_kernel_counters(key: str) -> None:
    """Without the number of events the others are unknown, not zero."""
    fields, groups = fill_zeros({"falco.version": "0.44.1", "scap.engine_name": "modern_bpf", key: 1})

    assert Group.KERNEL not in groups
    assert "scap.n_drops_buffer_execve_enter" not in fields


def test_the_wrappers_fields_are_zero_if_they_are_left_out() -> None:
    """They are there whatever is switched off."""
    _, groups = fill_zeros({})

    assert groups == {Group.WRAPPER}


@pytest.mark.parametrize("plugin", ["container", "k8smeta"])
def test_containers_without_images_are_zero_only_if_their_plugin_counts(plugin: str) -> None:
    """Another plugin's numbers tell nothing of them."""
    fields, _ = fill_zeros({"falco.version": "0.44.1", f"plugins.{plugin}.n_containers": 3})

    assert fields.get("plugins.container.n_missing_container_images") == (0 if plugin == "container" else None)

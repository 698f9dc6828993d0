"""Numbers of snapshots that fit into 64 bits are kept, others are unknown; units are told from the numbers."""

import pytest

from falco_enrichment_exporter.core.catalog import Group
from falco_enrichment_exporter.core.track import fill_zeros
from falco_enrichment_exporter.core.units import canonical, number


@pytest.mark.parametrize("value", [0, -1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)])
def test_a_number_of_64_bits_is_kept(value: int) -> None:
    """With a sign or without one, as a number or as text."""
    assert canonical({"evt.time": 1, "falco.num_evts": value}) == {"evt.time": 1, "falco.num_evts": value}
    assert number(str(value)) == number(value) == value


@pytest.mark.parametrize("value", [1 << 64, 1 << 200, -(1 << 63) - 1])
def test_a_number_of_more_bits_is_unknown(value: int) -> None:
    """No counter of Falco's has them."""
    assert canonical({"evt.time": 1, "falco.num_evts": value}) == {"evt.time": 1}
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

"""Numbers for people: unknown is a dash, zero is a zero, and no number looks like another."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falco_enrichment_exporter.web.formats import FILTERS, UNKNOWN, count, duration, percent, size


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_unknown_is_a_dash_and_zero_is_not(name: str) -> None:
    """Stale, unknown and zero are different things."""
    write = FILTERS[name]

    assert write(None) == UNKNOWN
    assert write(0).startswith("0")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (45, "45s"),
        (59.99, "59s"),
        (61, "1m 1s"),
        (200, "3m 20s"),
        (3599, "59m 59s"),
        (3600, "1h"),
        (3659, "1h"),
        (3660, "1h 1m"),
        (18120, "5h 2m"),
        (86399, "23h 59m"),
        (86400, "1d"),
        (86400 + 3599, "1d"),
        (12 * 86400 + 4 * 3600, "12d 4h"),
        (10 * 86400 + 10 * 3600, "10d 10h"),
        (1000 * 86400, "1000d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    """45s, 3m 20s, 5h 2m, 12d 4h; a second unit of nothing is left out."""
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(60, "1m"), (120, "2m")])
def test_whole_minutes_have_no_seconds_as_whole_hours_have_no_minutes(seconds: float, text: str) -> None:
    """One rule for every unit."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50 %"),
        (0.1, "10 %"),
        (0.125, "12 %"),
        (0.0996, "10 %"),
        (0.05, "5 %"),
        (0.0123, "1.2 %"),
        (0.001, "0.1 %"),
        (0.000123, "0.012 %"),
        (2.68, "268 %"),
    ],
)
def test_a_ratio_is_written_in_percent(ratio: float, text: str) -> None:
    """With as many decimals as it takes."""
    assert percent(ratio) == text


@pytest.mark.parametrize("ratio", [1e-6, 5e-7, 1e-8, 1.234e-9])
def test_a_small_ratio_is_more_than_nothing_and_no_formula(ratio: float) -> None:
    """Ten drops in a billion events are not 0 %, nor 1e-06 %."""
    text = percent(ratio)

    assert re.fullmatch(r"0\.0+[1-9]\d? %", text)
    assert float(text.removesuffix(" %")) == pytest.approx(ratio * 100, rel=0.05)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1\u202f000"),
        (44381403800, "44\u202f381\u202f403\u202f800"),
        (1e6, "1\u202f000\u202f000"),
        (-1234, "-1\u202f234"),
    ],
)
def test_a_count_has_groups_of_three(number: float, text: str) -> None:
    """With a thin blank that does not break."""
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1 MiB"),
        (27.6 * (1 << 20), "27.6 MiB"),
        (1 << 30, "1 GiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_a_size_has_a_binary_unit(number: float, text: str) -> None:
    """Nothing above GiB: a Falco that takes more is told in GiB."""
    assert size(number) == text


@given(st.just(0.0) | st.floats(1e-9, 1e15))
def test_any_number_is_written_in_a_few_characters(number: float) -> None:
    """Whatever the number, a table cell holds it."""
    for write in FILTERS.values():
        text = write(number)
        assert 1 <= len(text) <= 30
        assert "e" not in text.replace("iB", "")

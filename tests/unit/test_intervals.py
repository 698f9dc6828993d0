"""Lives, resets, intervals, ratios: every number below was worked out by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intervals import Life
from falco_enrichment_exporter.core.track import Track
from snapshots import SECOND, START_NS, make_fleet, make_snapshot

FAILED = "falco.n_failed_thread_lookups"
EVENTS = "scap.n_evts"
DROPS = "scap.n_drops"
KERNEL = ((DROPS,), (EVENTS,))


def fold(*snapshots: dict[str, Any], fleet: Fleet | None = None) -> Track:
    """Fold snapshots given as keyword dicts; return the syscall track of the only host."""
    fleet = fleet or make_fleet()
    for snapshot in snapshots:
        fleet.fold(make_snapshot(**snapshot))
    return fleet.hosts["node"]["syscall"]


def at(seconds: float, events: int = 0, drops: int = 0, **more: Any) -> dict[str, Any]:
    """Describe a snapshot with kernel counters."""
    return {"at": seconds, "scap__n_evts": events, "scap__n_drops": drops} | more


def kernel_ratio(life: Life, intervals: int) -> float | None:
    """Return the share of dropped kernel events."""
    return life.ratio(*KERNEL, intervals)


def test_one_snapshot_gives_raw_values_and_no_interval() -> None:
    """A first snapshot is a baseline, never a rate."""
    life = fold(at(60, 500, 5)).life

    assert (life.marks[EVENTS], life.marks[DROPS]) == (500, 5)
    assert life.per_second(EVENTS) is None
    assert kernel_ratio(life, 1) is None
    assert life.interval_seconds is None


def test_two_snapshots_give_the_rate_over_their_own_distance() -> None:
    """3000 more events in 60 s of evt.time are 50 a second."""
    life = fold(at(60, 1000, 10), at(120, 4000, 40)).life

    assert life.per_second(EVENTS) == 50
    assert kernel_ratio(life, 1) == 30 / 3000
    assert life.interval_seconds == 60


def test_last3_sums_over_three_intervals_and_no_more() -> None:
    """Of four intervals the oldest is left out of last3."""
    life = fold(at(60, 0, 0), at(120, 1000, 1000), at(180, 2000, 1000), at(240, 3000, 1030), at(300, 4000, 1060)).life

    assert kernel_ratio(life, 1) == 30 / 1000
    assert kernel_ratio(life, 3) == 60 / 3000
    assert life.increase(DROPS, 3) == 60


def test_a_zero_denominator_gives_no_ratio() -> None:
    """No event, no share of events."""
    life = fold(at(60, 1000, 10), at(120, 1000, 10)).life

    assert kernel_ratio(life, 1) is None
    assert life.per_second(EVENTS) == 0


def test_a_restart_ends_the_intervals_until_there_are_two_snapshots_again() -> None:
    """start_ts changed: a restart, not a reload; the first snapshot after it is a baseline."""
    later = {"falco__start_ts": START_NS + 130 * SECOND, "falco__reload_ts": START_NS + 129 * SECOND}
    track = fold(at(60, 1000), at(120, 2000), at(180, 50, **later))

    assert (track.restarts, track.reloads) == (1, 0)
    assert track.life.per_second(EVENTS) is None
    assert track.life.snapshots == 1
    assert track.life.marks[EVENTS] == 50


def test_a_hot_reload_is_known_by_reload_ts() -> None:
    """From 0.41 on only reload_ts tells a hot reload; counters may even be higher than before."""
    track = fold(at(60, 1000), at(120, 2000), at(180, 9000, falco__reload_ts=START_NS + 150 * SECOND))

    assert (track.restarts, track.reloads) == (0, 1)
    assert track.life.per_second(EVENTS) is None


@pytest.mark.parametrize("lacking", ["falco__start_ts", "falco__reload_ts"])
def test_a_start_that_a_snapshot_does_not_tell_is_no_other_start(lacking: str) -> None:
    """Unknown is not a change; what is known of the life stays."""
    unknown: dict[str, Any] = {lacking: None}
    track = fold(at(60, 1000), at(120, 2000, **unknown), at(180, 3000))

    assert (track.restarts, track.reloads) == (0, 0)
    assert track.life.snapshots == 3
    assert track.life.increase(EVENTS, 3) == 2000
    assert (track.life.start_ns, track.life.reload_ns) == (START_NS, START_NS - 1)


@pytest.mark.parametrize("lacking", ["falco__start_ts", "falco__reload_ts"])
def test_another_start_is_one_though_a_snapshot_before_it_did_not_tell(lacking: str) -> None:
    """What was known of the life is remembered."""
    unknown: dict[str, Any] = {lacking: None}
    track = fold(at(60, 1000), at(120, 2000, **unknown), at(180, 3000, **{lacking: START_NS + 150 * SECOND}))

    assert track.restarts + track.reloads == 1
    assert track.life.snapshots == 1


def test_a_count_of_events_that_cannot_be_read_is_no_reload() -> None:
    """Before 0.41 its fall would be one."""
    old: dict[str, Any] = {"falco__version": "0.40.0", "falco__reload_ts": None}
    track = fold(at(60, 1000, **old), at(120, 2000, **old | {"falco__num_evts": "NaN"}), at(180, 3000, **old))

    assert (track.restarts, track.reloads) == (0, 0)
    assert track.life.increase(EVENTS, 3) == 2000


def test_before_041_a_hot_reload_is_known_by_the_fall_of_num_evts() -> None:
    """Falco before 0.41 has no reload_ts; start_ts stays over a hot reload."""
    old: dict[str, Any] = {"falco__version": "0.40.0", "falco__reload_ts": None}
    track = fold(at(60, 1000, **old), at(120, 2000, **old), at(180, 90, **old | {"falco__num_evts": 77}))

    assert (track.restarts, track.reloads) == (0, 1)
    assert track.life.per_second(EVENTS) is None
    assert track.life.marks[EVENTS] == 90


@pytest.mark.parametrize("after", [990, 0])
def test_a_small_fall_of_a_corrected_counter_holds_the_high_water_mark(after: int) -> None:
    """Falco corrects failed lookups downwards: neither a reset nor a number."""
    life = fold({"at": 60, "falco__n_failed_thread_lookups": 1000, "falco__n_threads": 5},
                {"at": 120, "falco__n_failed_thread_lookups": after, "falco__n_threads": 5}).life  # fmt: skip

    assert life.marks[FAILED] == 1000
    assert life.per_second(FAILED) == 0


def test_growth_after_a_correction_counts_only_above_the_mark() -> None:
    """1000, 990, 1030: the third interval has 30, not 40."""
    life = fold(*({"at": 60 * n, "falco__n_failed_thread_lookups": v} for n, v in enumerate((1000, 990, 1030), 1))).life

    assert life.marks[FAILED] == 1030
    assert life.increase(FAILED, 1) == 30
    assert life.increase(FAILED, 3) == 30


@pytest.mark.parametrize("wrapped", [2**64 - 5, 2**63])
def test_a_wrapped_counter_holds_its_mark(wrapped: int) -> None:
    """A counter corrected below zero prints as almost 2^64: its mark stays and the interval counts 0."""
    life = fold(
        {"at": 60, "falco__n_failed_thread_lookups": 700}, {"at": 120, "falco__n_failed_thread_lookups": wrapped}
    ).life

    assert life.marks[FAILED] == 700
    assert life.per_second(FAILED) == 0


def test_a_counter_wrapped_from_the_start_is_zero() -> None:
    """Before any other value was seen the mark of a wrapped counter is 0."""
    life = fold(
        {"at": 60, "falco__n_failed_thread_lookups": 2**64 - 5}, {"at": 120, "falco__n_failed_thread_lookups": 7}
    ).life

    assert life.marks[FAILED] == 7
    assert life.increase(FAILED, 1) == 7


def test_a_counter_that_begins_anew_restarts_alone() -> None:
    """One counter falling to a fraction has no interval; the others keep theirs."""
    life = fold(at(60, 1000, 900), at(120, 2000, 950), at(180, 3000, 20)).life

    assert life.marks[DROPS] == 20
    assert life.per_second(DROPS) is None
    assert kernel_ratio(life, 3) is None
    assert life.per_second(EVENTS) == 1000 / 60


def test_a_counter_that_began_anew_has_an_interval_again_after_one_more_snapshot() -> None:
    """Its windows do not reach back over the reset."""
    life = fold(at(60, 1000, 900), at(120, 2000, 950), at(180, 3000, 20), at(240, 4000, 50)).life

    assert life.increase(DROPS, 3) == 30
    assert kernel_ratio(life, 3) == 30 / 1000


def test_a_twin_seconds_after_a_tick_does_not_become_the_interval() -> None:
    """Hourly snapshots, each with a twin 5 s later: the interval stays an hour."""
    hours = [at(3600 * hour + extra, 3600 * hour * 10 + extra * 10) for hour in range(4) for extra in (0, 5)]
    life = fold(*hours).life

    assert life.interval_seconds == 3600
    assert life.per_second(EVENTS) == 10
    assert life.intervals[-1].seconds == 3600
    assert life.snapshots == 8


def test_a_twin_right_after_the_start_does_not_become_the_interval() -> None:
    """The first gap of a life is 5 s; the first tick an hour later shows that it was a twin's."""
    life = fold(at(0, 0), at(5, 50), at(3600, 36000)).life

    assert life.interval_seconds == 3600
    assert life.per_second(EVENTS) == 10


def test_a_pause_does_not_make_twins_of_what_follows() -> None:
    """An idle hour, then a snapshot every minute: the minute becomes the interval."""
    life = fold(at(0, 0), at(3600, 100), *(at(3600 + 60 * n, 100 + 60 * n) for n in range(1, 8))).life

    assert life.interval_seconds is not None
    assert life.interval_seconds <= 120
    assert life.per_second(EVENTS) == 1


def test_the_interval_is_the_median_of_the_last_five_gaps() -> None:
    """Gaps 50, 60, 61, 70, 62, 63: of the last five the median is 62."""
    moments = [0, 50, 110, 171, 241, 303, 366]

    assert fold(*(at(moment, moment) for moment in moments)).life.interval_seconds == 62


def test_a_duplicate_and_an_older_snapshot_change_nothing() -> None:
    """The same evt.time counts once; an older snapshot never replaces a newer one."""
    fleet = make_fleet()
    track = fold(at(60, 1000), at(120, 2000), at(120, 2000), at(90, 1500), fleet=fleet)

    assert track.snapshots == 2
    assert track.life.marks[EVENTS] == 2000
    assert (fleet.ignored["duplicate"], fleet.ignored["older"]) == (1, 1)


def test_a_counter_left_out_of_a_present_group_is_zero() -> None:
    """include_empty_values: false leaves zeros out; a known member of a present group is 0."""
    track = fold({"at": 60, "falco__n_threads": 50, "scap__n_evts": 10, "scap__n_drops": 0})

    assert track.life.marks["falco.n_drops_full_threadtable"] == 0
    assert track.life.marks["falco.n_store_evts_drops"] == 0
    assert track.life.marks["falco.outputs_queue_num_drops"] == 0


def test_a_counter_of_an_absent_group_is_unknown() -> None:
    """No state group, no state series; n_drops_perc alone does not make a kernel group."""
    track = fold({"at": 60, "scap__n_drops_perc": 0.0}, {"at": 120, "scap__n_drops_perc": 0.0})

    assert "falco.n_drops_full_threadtable" not in track.life.marks
    assert EVENTS not in track.life.marks
    assert "kernel" not in track.groups
    assert "state" not in track.groups


def test_a_group_that_is_switched_off_ends_its_windows() -> None:
    """A counter that the newest snapshot does not carry has no value, not even over the last three intervals."""
    state = {"falco__n_threads": 5, "falco__n_drops_full_threadtable": 1}
    life = fold({"at": 60, **state}, {"at": 120, **state}, {"at": 180}).life

    assert life.increase("falco.n_drops_full_threadtable", 3) is None
    assert life.per_second("falco.n_drops_full_threadtable") is None


def test_two_sources_of_a_host_are_kept_apart() -> None:
    """Counters of a plugin source never mix with those of syscall."""
    fleet = make_fleet()
    plugin = {"evt__source": "k8s_audit"}
    fold(
        {"at": 60},
        {"at": 61, "falco__num_evts": 5, **plugin},
        {"at": 120},
        {"at": 121, "falco__num_evts": 65, **plugin},
        fleet=fleet,
    )

    tracks = fleet.hosts["node"]
    assert tracks["syscall"].life.per_second("falco.num_evts") == 1000
    assert tracks["k8s_audit"].life.per_second("falco.num_evts") == 1


def test_until_040_image_less_containers_are_a_count_at_a_time() -> None:
    """Window last is the newest snapshot's quotient; last3 weighs three snapshots together."""
    old: dict[str, Any] = {"falco__version": "0.40.0", "falco__reload_ts": None, "falco__n_threads": 9}
    numbers = ((10, 9), (10, 1), (20, 2), (30, 9))  # containers, without image
    life = fold(*({"at": 60 * n, "falco__n_containers": c, "falco__n_missing_container_images": m, **old}
                  for n, (c, m) in enumerate(numbers, 1))).life  # fmt: skip

    assert life.missing_image_ratio(1) == 9 / 30
    assert life.missing_image_ratio(3) == 12 / 60


def test_from_041_image_less_containers_are_new_events_by_containers_capped_at_one() -> None:
    """The counter only grows: its increase counts; more new events than containers is 1."""
    numbers = ((40, 100), (40, 100), (40, 104), (50, 114), (5, 134))  # containers, events so far
    folded = [{"at": 60 * n, "plugins__container__n_containers": c, "plugins__container__n_missing_container_images": m}
              for n, (c, m) in enumerate(numbers, 1)]  # fmt: skip
    life = fold(*folded[:4]).life

    assert life.missing_image_ratio(1) == 10 / 50
    assert life.missing_image_ratio(3) == 14 / 50
    assert fold(*folded).life.missing_image_ratio(1) == 1


def test_no_container_known_yet_means_no_image_ratio() -> None:
    """From 0.41 on n_containers may be absent until the first container starts or stops: unknown, not 0."""
    track = fold({"at": 60, "falco__n_threads": 5}, {"at": 120, "falco__n_threads": 5})

    assert "plugins.container.n_containers" not in track.fields
    assert track.life.missing_image_ratio(1) is None


def test_a_replay_has_no_start_and_no_uptime() -> None:
    """A capture file's start_ts of 0 is unknown."""
    track = fold({"at": 60, "falco__start_ts": 0})

    assert track.life.start_ns is None
    assert track.uptime_seconds is None


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2**64 - 1)), min_size=2, max_size=30),
)
def test_exposed_counters_never_fall_within_a_life_but_by_a_reset(steps: list[tuple[int, int]]) -> None:
    """Whatever a counter does, increases are never negative, and the mark falls only where the window was cut."""
    fleet = make_fleet()
    moment = 0
    mark = None
    for gap, value in steps:
        moment += gap
        track = fold({"at": moment, "falco__n_failed_thread_lookups": value}, fleet=fleet)
        life = track.life
        assert all(n >= 0 for interval in life.intervals for n in interval.increases.values())
        if mark is not None and life.marks[FAILED] < mark:
            assert life.increase(FAILED, 3) is None
        mark = life.marks[FAILED]
        assert mark < 2**63

"""The plan of a run: progress that never jumps, ends at 1, and survives a file."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.train.schedule import Change, Schedule

PLACE = dataclasses.fields(Change)[0].name
"""The field with the images after which the plan changed."""


def change(after, images, before, reason="slower"):
    return Change(**{PLACE: after}, images=images, before=before, seconds=1.0, reason=reason)


def test_without_a_change_progress_is_the_share_of_the_images():
    assert [Schedule(200).progress(n) for n in (0, 50, 200, 300)] == [0.0, 0.25, 1.0, 1.0]


@given(st.integers(1, 900), st.integers(0, 2000))
def test_after_a_change_progress_goes_on_from_where_it_was_straight_to_the_new_end(after, more):
    plan = Schedule(1000).changed(change(after, after + more, 1000))
    assert plan.images == after + more
    assert plan.progress(after) == pytest.approx(after / 1000 if more else 1.0)
    assert plan.progress(after - 1) == pytest.approx((after - 1) / 1000), "the past stays as it was"
    assert plan.progress(after + more) == pytest.approx(1.0)
    assert plan.progress(after + more + 1) == 1.0
    if more >= 2:
        half = plan.progress(after + more // 2)
        assert half == pytest.approx(after / 1000 + (1 - after / 1000) * (more // 2) / more)


def test_two_changes_follow_each_other():
    plan = Schedule(100).changed(change(50, 150, 100)).changed(change(100, 300, 150, "faster"))
    assert [plan.progress(n) for n in (25, 50, 75, 100, 200, 300)] == pytest.approx([0.25, 0.5, 0.625, 0.75, 0.875, 1.0])


def test_a_prolonged_run_is_where_a_run_of_the_new_length_would_be():
    plan = Schedule(100).changed(change(100, 400, 100, "prolonged"))
    assert [plan.progress(n) for n in (99, 100, 200, 400)] == pytest.approx([0.99, 0.25, 0.5, 1.0])


def test_the_step_size_rises_again_where_a_run_was_prolonged_and_nowhere_else():
    plan = Schedule(100).changed(change(50, 120, 100)).changed(change(120, 240, 120, "prolonged")).changed(change(200, 220, 240))
    assert [plan.restart(n) for n in (0, 60, 119, 120, 200, 230)] == [0, 0, 0, 120, 120, 120]


def test_a_new_change_replaces_those_that_were_to_come_after_it():
    plan = Schedule(100).changed(change(30, 200, 100)).changed(change(60, 90, 200)).changed(change(40, 300, 200, "faster"))
    assert [getattr(c, PLACE) for c in plan.changes] == [30, 40]
    assert plan.images == 300
    same_place = plan.changed(change(40, 500, 300, "faster"))
    assert [c.images for c in same_place.changes] == [200, 300, 500]


def test_a_plan_comes_back_from_a_file():
    plan = Schedule(100).changed(change(30, 200, 100)).changed(change(200, 400, 200, "prolonged"))
    assert Schedule.parse(plan.dump()) == plan
    assert Schedule.parse(Schedule(7).dump()) == Schedule(7)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: None,
        lambda tree: {},
        lambda tree: {**tree, "images": 0},
        lambda tree: {**tree, "images": -1},
        lambda tree: {**tree, "images": 10.5},
        lambda tree: {**tree, "changes": [{"images": 1}]},
        lambda tree: {**tree, "changes": tree["changes"][::-1]},
        lambda tree: {**tree, "changes": [{**tree["changes"][0], "reason": "bored"}]},
        lambda tree: {**tree, "changes": [{**tree["changes"][0], "images": 20}]},
        lambda tree: {**tree, "changes": [{**tree["changes"][0], "images": True}]},
        lambda tree: {**tree, "changes": [{**tree["changes"][0], "seconds": "long"}]},
    ],
)
def test_what_no_run_can_have_planned_is_refused(spoil):
    plan = Schedule(100).changed(change(30, 200, 100)).changed(change(60, 90, 200))
    with pytest.raises(ValueError, match="no record of a plan"):
        Schedule.parse(spoil(plan.dump()))


def test_a_change_says_why_and_from_what_to_what():
    assert str(change(50, 80, 100)) == "the machine is slower than planned: 80 images instead of 100"
    assert "goes on to 4,000" in str(change(1000, 4000, 1000, "prolonged"))

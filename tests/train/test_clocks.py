"""The decisions of a deadline, on a clock that the test moves: no run is trained."""

import dataclasses
import math

import pytest

from sfumato.train.deadline import Costs, Deadline
from sfumato.train.distributed import World
from sfumato.train.schedule import Change, Schedule
from sfumato.train.step_times import StepTimes

PLACE = dataclasses.fields(Change)[0].name
"""The field with the images after which the plan changed."""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def settings(tiny):
    return dataclasses.replace(tiny("classifier"), batch=10, images=5000, budget="1000s", sample_every=10**6, save_every=10**6)


def deadline(settings, clock, *, cycle=1, **costs):
    return Deadline(settings, Costs(**costs), clock, cycle=cycle)


def train(deadline, clock, steps, seconds):
    for _ in range(steps):
        clock.now += seconds
        deadline.step()


def looks(deadline, clock, settings, *, steps, seconds, schedule=None):
    """Trains so many steps and looks after each: images and change at the first change of plan, or the last images and None."""
    schedule, images = schedule or Schedule(settings.images), 0
    for _ in range(steps):
        train(deadline, clock, 1, seconds)
        images += settings.batch
        if (change := deadline.look(images, schedule, World())) is not None:
            return images, change
    return images, None


def test_without_a_budget_no_plan_changes_and_nothing_is_rehearsed(settings, clock):
    free = deadline(dataclasses.replace(settings, budget=""), clock)
    assert looks(free, clock, settings, steps=50, seconds=30.0)[1] is None
    assert not free.rehearses
    assert free.affords_save
    assert not free.omits_samples
    assert free.save_interval == 300


@pytest.mark.parametrize(("seconds", "reason"), [(4.0, "slower"), (1.0, "faster")])
def test_a_wrong_plan_is_replaced_by_one_that_uses_98_percent_of_the_time_left(seconds, reason, settings, clock):
    """A hundredth of the budget is kept; of what is left at the look, two hundredths more."""
    images, change = looks(deadline(settings, clock), clock, settings, steps=200, seconds=seconds)
    assert change is not None
    assert (change.reason, change.before) == (reason, 5000)
    assert change.seconds == clock.now
    left = 990 - clock.now
    expected = images + int(0.98 * left / seconds) * 10
    assert change.images == pytest.approx(expected, abs=10)


def test_the_plan_is_changed_after_the_speed_of_three_looks(settings, clock):
    """The first steps are not counted: they pay for memory that later ones find ready. Then come looks every hundredth of the budget."""
    _, change = looks(deadline(settings, clock), clock, settings, steps=200, seconds=4.0)
    assert change is not None
    assert clock.now == 4 + 3 * 12


def test_a_plan_that_fits_is_kept(settings, clock):
    fitting = dataclasses.replace(settings, images=4800)
    assert looks(deadline(fitting, clock), clock, fitting, steps=400, seconds=2.0) == (4000, None)


def test_the_parts_of_the_end_count(settings, clock):
    costly = deadline(settings, clock, sample=100.0, save=50.0, finish=30.0)
    assert costly.end == 180
    images, change = looks(costly, clock, settings, steps=200, seconds=4.0)
    assert change is not None
    saves = 3  # one every 200 seconds
    assert change.images == pytest.approx(images + int(0.98 * (990 - 180 - clock.now - saves * 50) / 4) * 10, abs=10)


def test_the_time_of_a_part_is_what_it_took_the_last_three_times(settings, clock):
    run = deadline(settings, clock)
    train(run, clock, 5, 1.0)
    for seconds in (9.0, 2.0, 5.0, 4.0):
        with run.timed("save"):
            clock.now += seconds
    assert run.costs.save == 4
    assert run.end == 5
    train(run, clock, 1, 1.0)
    assert run.end == 5, "the step after it was as long as before"


def test_the_end_of_a_machine_that_became_slower_is_slower_too(settings, clock):
    run = deadline(settings, clock)
    train(run, clock, 8, 1.0)
    with run.timed("finish"):
        clock.now += 10
    train(run, clock, 4, 1.0)
    assert run.end == 10
    train(run, clock, 20, 3.0)
    assert run.end == 30


def test_the_time_of_what_is_excluded_is_no_step(settings, clock):
    run = deadline(settings, clock)
    train(run, clock, 3, 1.0)
    with run.excluded():
        clock.now += 50
    train(run, clock, 1, 1.0)
    assert not run.omits_samples
    clock.now = 999 - 1.0
    assert run.affords_save, "one step of a second, and no save yet that took time"


def test_a_used_up_budget_ends_the_run_where_it_is(settings, clock):
    run = deadline(settings, clock, save=20.0)
    train(run, clock, 10, 1.0)
    clock.now = 975.0
    change = run.look(400, Schedule(5000), World())
    assert change is not None
    assert (change.reason, change.images) == ("over", 400)
    early = deadline(settings, Clock(), save=20.0)
    assert early.look(400, Schedule(5000), World()) is None


def test_a_run_that_was_prolonged_makes_a_step_before_it_ends(settings, clock):
    run = deadline(settings, clock)
    train(run, clock, 10, 1.0)
    clock.now = 995.0
    plan = Schedule(400).changed(Change(**{PLACE: 400}, images=5000, before=400, seconds=1.0, reason="prolonged"))
    assert run.look(400, plan, World()) is None
    later = run.look(410, plan, World())
    assert later is not None
    assert later.images == 410


def test_nothing_is_planned_at_the_start_and_after_the_end(settings, clock):
    run = deadline(settings, clock)
    clock.now = 5000.0
    assert run.look(0, Schedule(5000), World()) is None
    assert run.look(5000, Schedule(5000), World()) is None


@pytest.mark.parametrize("cycle", [2, 4])
def test_a_plan_that_is_far_too_short_is_longer_two_cycles_before_its_end(cycle, settings, clock):
    two_cycles, changes = 2 * cycle * settings.batch, []
    for images in (10 + two_cycles + 10, 10 + two_cycles):
        clock.now = 0.0
        run = deadline(settings, clock, cycle=cycle)
        train(run, clock, 1, 1.0)
        changes.append(run.look(10, Schedule(images), World()))
    early, due = changes
    assert early is None
    assert due is not None
    assert (due.reason, due.before) == ("faster", 10 + two_cycles)
    assert due.images > 1000


def test_the_end_is_rehearsed_once_in_the_first_half(settings, clock):
    run = deadline(settings, clock)
    assert not run.rehearses, "the first steps are not ready"
    looks(run, clock, settings, steps=2, seconds=1.0)
    assert run.rehearses
    clock.now = 499.0
    assert run.rehearses
    clock.now = 500.0
    assert not run.rehearses
    clock.now = 100.0
    with run.timed("finish"):
        clock.now += 1
    assert not run.rehearses
    assert not deadline(settings, clock, finish=1.0).rehearses, "an earlier run has measured it"


def test_a_save_on_the_way_is_made_while_it_leaves_time_for_the_end(settings, clock):
    run = deadline(settings, clock, sample=10.0, save=30.0)
    train(run, clock, 5, 2.0)
    clock.now = 1000 - 30 - 40 - 2
    assert run.affords_save
    clock.now += 0.5
    assert not run.affords_save


def test_the_last_samples_are_left_out_if_the_run_would_end_more_than_three_percent_late(settings, clock):
    run = deadline(settings, clock, sample=100.0)
    clock.now = 930.0
    assert not run.omits_samples
    clock.now = 930.5
    assert run.omits_samples


def test_a_run_is_saved_every_fifth_of_a_short_budget(settings, clock):
    assert deadline(settings, clock).save_interval == 200
    assert deadline(dataclasses.replace(settings, budget="10h"), clock).save_interval == 300


def test_the_speed_of_the_run_is_kept_for_the_next_one(settings, clock):
    run = deadline(settings, clock, image=7.0)
    assert run.measured().image == 7.0
    looks(run, clock, dataclasses.replace(settings, images=10**6), steps=20, seconds=4.0)
    assert run.measured().image == pytest.approx(0.4)


def test_an_image_costs_its_share_of_samples_and_saves(settings):
    often = dataclasses.replace(settings, sample_every=100, save_every=1000)
    assert Costs(image=1.0, sample=50.0, save=200.0, finish=9.0).each(often) == pytest.approx(1.7)
    assert Costs(image=1.0, sample=50.0, save=200.0, finish=9.0).end == 259


def steps(*seconds, cycle=1, lag=60.0):
    times = StepTimes(cycle=cycle, lag=lag)
    for each in seconds:
        times.add(each)
    return times


def test_a_window_of_steps_knows_its_longest_its_jump_and_its_typical_one():
    assert (steps().longest, steps().jump, steps().typical) == (0.0, 1.0, 0.0)
    assert steps(2.0).jump == 1.0, "nothing to compare with"
    assert steps(2.0, 2.0, 2.0).jump == 1.0
    assert steps(2.0, 4.0, 1.0).jump == 1.0
    assert steps(2.0, 4.0, 10.0).jump == 2.5
    assert steps(1.0, 5.0, 2.0).longest == 5.0
    assert steps(9.0, 1.0, 1.0, 1.0, 1.0, 1.0).longest == 1.0, "the window holds five"
    assert steps(9.0, 1.0, 1.0, 1.0, 1.0, 1.0, cycle=3).longest == 9.0, "and a whole number of cycles"


def test_steps_longer_ago_than_the_lag_do_not_count_but_two_always_do():
    assert steps(1.0, 1.0, 1.0, 30.0, 30.0, lag=50.0).typical == 30.0
    assert steps(1.0, 1.0, 1.0, 30.0, 30.0, lag=70.0).typical == 1.0
    assert steps(5.0, 1.0, 2.0, lag=8.0).typical == 2.0
    assert steps(1.0, 1.0, 1.0, 100.0, 90.0, lag=1.0).typical == 90.0
    assert math.isfinite(steps(1e-9).typical)

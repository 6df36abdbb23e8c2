"""How far work has come: one share for work inside work, an estimate from what is done, and few lines in a log."""

import warnings

import pytest

from sfumato.core.progress import LogLines, Moment, counted, heard, job, once, reached, remark


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def moments(work):
    told = []
    with heard(told.append):
        work()
    return told


def test_nobody_need_listen_and_who_does_is_told_inside_alone():
    told = moments(lambda: list(counted([7, 8], "x")))
    assert list(counted([9], "y")) == [9]
    assert [(each.text, each.share) for each in told] == [("x 1 of 2", 0.5), ("x 2 of 2", 1.0)]


def test_a_part_counts_for_what_it_weighs_and_the_work_inside_for_its_share_of_that():
    def work():
        with job("pictures", [1.0, 3.0]) as pictures:
            for weight in (1.0, 3.0):
                with pictures.under_way(weight):
                    for _ in counted(range(2), "tiles"):
                        pass
                pictures.finish(weight)

    told = moments(work)
    assert [each.share for each in told] == pytest.approx([1 / 8, 1 / 4, 1 / 4, 5 / 8, 1.0, 1.0])
    assert told[3].text == "pictures 1 of 2, tiles 1 of 2"


def test_what_takes_no_work_says_nothing_of_the_rest():
    def work():
        with job("pictures", [5.0, 1.0, 1.0]) as pictures:
            pictures.without(5.0)
            pictures.finish(1.0)
            pictures.finish(1.0)

    assert [each.share for each in moments(work)] == [0.0, 0.5, 1.0]


def test_work_that_is_left_early_or_fails_is_no_longer_told_of():
    def work():
        for _ in counted(range(3), "left"):
            break
        with pytest.raises(ValueError, match="no"), job("failed", [1.0]):
            raise ValueError("no")
        list(counted([1], "after"))

    assert [each.text for each in moments(work)] == ["after 1 of 1"]


def test_the_time_left_is_estimated_from_the_share_done_since_the_work_began():
    clock, told = Clock(), []
    with heard(told.append, now=clock):
        clock.seconds = 100.0  # of other things
        with job("pictures", [1.0, 3.0]) as pictures:
            clock.seconds = 110.0
            pictures.finish(1.0)
            clock.seconds = 140.0
            pictures.finish(3.0)
    assert [each.seconds_left for each in told] == [30.0, 0.0]
    assert str(told[0]) == "pictures 1 of 2, 0:30 left"


def test_what_is_done_once_does_not_count_for_the_rest():
    """A network that takes a minute to load, then two seconds a picture: of ten, eight are left after two."""
    clock, told = Clock(), []
    with heard(told.append, now=clock), job("pictures", [1.0] * 10) as pictures:
        for i in range(10):
            if i == 0:
                with once(), once():
                    clock.seconds += 60.0
            clock.seconds += 2.0
            pictures.finish()
    assert [each.seconds_left for each in told] == pytest.approx([18 - 2 * i for i in range(10)])
    assert str(told[0]) == "pictures 1 of 10, 0:18 left"
    with heard(told.append, now=clock), job("others", [1.0] * 2) as others:
        clock.seconds += 1.0
        others.finish()
    assert told[-1].seconds_left == 1.0, "what other work did once"
    assert str(told[-1]) == "others 1 of 2", "too early to tell"


def test_work_that_is_done_for_several_at_once_counts_for_all_of_them_at_once():
    """Four of eight are computed together in eight seconds and finished one by one: eight seconds are left each time."""
    clock, told = Clock(), []
    with heard(told.append, now=clock), job("pictures", [2.0] * 8) as pictures:
        clock.seconds += 8.0
        pictures.advance(8.0)
        for _ in range(4):
            pictures.finish(0.0)
    assert [(each.text, each.seconds_left) for each in told] == [(f"pictures {i} of 8", 8.0) for i in range(1, 5)]


@pytest.mark.parametrize(("done", "count", "share"), [(0, 10, 0.0), (5, 10, 0.5), (7, 0, 0.0)])
def test_who_counts_by_themselves_are_heard_too_even_if_they_know_no_end(done, count, share):
    told = moments(lambda: reached("frames", done, count))
    assert told[0].share == share
    assert told[0].text == (f"frames {done} of {count}" if count else f"frames {done}")


def lines(seconds, steps):
    said = []
    log = LogLines(said.append)
    for i in range(1, steps + 1):
        log(Moment(share=i / steps, seconds=seconds * i / steps, text="pictures"))
    return said


def test_a_log_is_silent_about_short_work_and_never_filled_by_long():
    assert lines(29, 100) == []
    assert lines(40, 40) == ["75%: pictures, 0:10 left"]
    for seconds, doublings in ((600, 5), (86_400, 12), (10_000_000, 19)):
        assert 4 <= len(lines(seconds, 400)) <= 20 + doublings, seconds


def test_a_log_hears_of_slow_work_before_a_twentieth_is_done():
    said = []
    log = LogLines(said.append)
    for second in range(1, 500):
        log(Moment(share=second / 100_000, seconds=second, text="pictures"))
    assert len(said) == 5, "at 30, 60, 120, 240 and 480 seconds"


def test_a_remark_is_told_to_who_listens_or_is_a_warning():
    said = []
    with heard(lambda _: None, remark=said.append):
        remark("slow")
    assert said == ["slow"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        remark("slow")
    assert [str(each.message) for each in caught] == ["slow"]

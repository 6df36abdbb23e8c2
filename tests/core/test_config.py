"""Settings: what is refused and how it is said, changes by dotted path, and files."""

from typing import Annotated, Literal

import pytest

from sfumato.core.config import Range, dump, override, parse, problem, settings
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.train.settings import TrainSettings


@settings
class Inner:
    share: Annotated[float, Range(0, 1, "of the whole")] = 0.5
    sides: Annotated[tuple[int, int] | None, Range(1, 9, "pixels")] = None
    many: Annotated[tuple[int, ...], Range(1, 9)] = (1,)
    kind: Literal["soft", "hard"] = "soft"
    on: bool = False


@settings
class Outer:
    inner: Inner = Inner()
    name: str = "x"
    count: Annotated[int, Range(1, 5)] = 1

    def check(self) -> None:
        if self.count == 4:
            raise SettingError("count = 4 is bad luck")


@settings
class Span:
    low: Annotated[int, Range(0, 9)] = 1
    high: Annotated[int, Range(0, 9)] = 3

    def check(self) -> None:
        if self.low >= self.high:
            raise SettingError("low must be below high")


@pytest.fixture
def run():
    return TrainSettings(model=MODELS["dcgan"](), objective=OBJECTIVES["adversarial"]())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, r"share = 1.5 is outside \[0, 1\] of the whole"),
        ({"sides": (3, 10)}, r"sides = \(3, 10\) is outside \[1, 9\] pixels"),
        ({"many": (1, 2, 0)}, r"many = \(1, 2, 0\) is outside \[1, 9\]"),
        ({"kind": "sof"}, r"kind = 'sof' is none of soft, hard \(did you mean 'soft'\?\)"),
    ],
)
def test_a_message_names_the_setting_its_value_and_what_is_allowed(values, message):
    with pytest.raises(SettingError, match=message):
        Inner(**values)


@pytest.mark.parametrize("values", [{"share": True}, {"on": 1}, {"sides": (3,)}, {"sides": [3, 4]}, {"many": 3}, {"share": None}])
def test_values_of_another_type_are_refused(values):
    with pytest.raises(SettingError, match=next(iter(values))):
        Inner(**values)


def test_settings_may_have_a_check_of_their_own():
    with pytest.raises(SettingError, match="bad luck"):
        Outer(count=4)


def test_dotted_paths_reach_inside_and_leave_the_original_alone():
    before = Outer()
    after = override(before, "inner.share=0.25", "--inner.sides=[2, 3]", "inner.on=true", "name=new", "count=2")
    assert after == Outer(inner=Inner(share=0.25, sides=(2, 3), on=True), name="new", count=2)
    assert before == Outer()


def test_a_whole_number_is_a_fraction_too():
    assert override(Outer(), "inner.share=1").inner.share == 1.0


@pytest.mark.parametrize("name", ["2024", "1e3", "true", "null", "[1]"])
def test_text_that_looks_like_a_number_stays_text_where_text_is_asked_for(name):
    assert override(Outer(), f"name={name}").name == name


def test_text_may_hold_an_equals_sign_and_quotes():
    assert override(Outer(), "name=a=b").name == "a=b"
    assert override(Outer(), 'name="a b"').name == "a b"


@pytest.mark.parametrize("path", ["inner.shar=1", "innr.share=1", "inner.share.more=1", "name.x=1", "=1"])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(SettingError, match="has no setting"):
        override(Outer(), path)


def test_settings_that_need_each_other_are_overridden_together():
    for changes in (("low=5", "high=7"), ("high=7", "low=5")):
        assert override(Span(), *changes) == Span(low=5, high=7)
    with pytest.raises(SettingError, match="low must be below high"):
        override(Span(), "low=5")


def test_an_override_is_checked_like_any_value():
    with pytest.raises(SettingError, match="outside"):
        override(Outer(), "inner.share=7")
    with pytest.raises(SettingError, match="must be of type int"):
        override(Outer(), "count=many")


def test_a_tree_names_the_family_of_each_branch(run):
    tree = dump(run)
    assert tree["is"] == "training"
    assert tree["model"]["is"] == "dcgan"
    assert tree["augment"]["is"] == "augment"


@pytest.mark.parametrize(
    "kind", ["os/path", "demo/demo", "models/../core", "os", "base", "", None, 7, [], "io/files", "train/loop", "sfumato.models.dcgan"]
)
def test_a_file_can_name_nothing_but_settings_of_the_package(kind, run):
    with pytest.raises(UnknownNameError):
        parse({**dump(run), "model": {"is": kind}})


def test_values_in_a_file_are_checked(run):
    with pytest.raises(SettingError, match="outside"):
        parse({**dump(run), "lr": 7.0})


@pytest.mark.parametrize(
    ("limit", "number", "says"),
    [
        (Range(1, 10**12, "images"), 0, "must be at least 1"),
        (Range(1, 10**12, "images"), 10**13, "is more than 1000000000000"),
        (Range(0, 1_000_000), -1, "is outside [0, 1000000]"),
        (Range(0, 0.5, "pixels"), 2.0, "is outside [0, 0.5] pixels"),
        (Range(-1e300, 1e300), float("nan"), "must be a finite number"),
    ],
)
def test_a_range_is_told_in_numbers_that_people_read(limit, number, says):
    assert problem(number, Annotated[type(number), limit]) == says
    assert "e+" not in str(Range(1, 10**12, "images")) + str(Range(0, 1_000_000))


def test_an_assignment_without_a_value_sets_nothing(run):
    with pytest.raises(SettingError, match="'data' sets nothing"):
        override(run, "data")

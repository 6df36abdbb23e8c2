"""The dimensions of a search come from the types of settings."""

import dataclasses

import pytest

from sfumato.core.errors import SettingError
from sfumato.recipes import RECIPES, recipe
from sfumato.tuning.space import FIXED, Choice, Span, parts, search_space, with_values


class Corner:
    """Draws the end of each dimension."""

    def __init__(self, high):
        self.high = high

    def suggest_float(self, name, low, high, *, log=False):
        assert not log or low > 0
        return float(high if self.high else low)

    def suggest_int(self, name, low, high, *, log=False):
        return high if self.high else low

    def suggest_categorical(self, name, choices):
        return choices[-1 if self.high else 0]


@pytest.mark.parametrize("name", RECIPES)
def test_both_ends_of_the_usual_dimensions_are_settings(name):
    settings = recipe(name)
    for dimension in search_space(settings):
        for high in (False, True):
            value = dimension.draw(Corner(high))
            assert type(value) is type(dimension.default)
            with_values(settings, {dimension.path: value})


def test_every_setting_with_a_range_or_choices_has_a_dimension_that_holds_its_default():
    settings = recipe("vae")
    found = 0
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in FIXED or not isinstance(value, bool | int | float) or value == 0:
            continue
        (dimension,) = search_space(settings, [field.name])
        values = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        assert min(values) <= value <= max(values)
        found += 1
    assert found > 8


def test_scales():
    settings = recipe("vae")
    lr, width, optimiser, end, decay = search_space(settings, ["lr", "model.width", "optimiser", "lr_end", "weight_decay"])
    assert isinstance(lr, Span)
    assert isinstance(width, Span)
    assert isinstance(end, Span)
    assert isinstance(decay, Span)
    assert isinstance(optimiser, Choice)
    assert (lr.low, lr.high, lr.log) == (1e-5, 0.1, True)
    assert (width.low, width.high, width.log, width.step) == (8, 128, True, 8)
    assert optimiser.values == ("adam", "muon")
    assert (end.low, end.high, end.log) == (0, 1, False)
    assert decay.zero
    assert decay.encoded() == {"weight_decay above 0": False}


def test_values_of_ones_own_include_the_default():
    settings = recipe("vae")
    lr, batch = search_space(settings, parts("lr=1e-5:1e-4,batch=16,32"))
    assert isinstance(lr, Span)
    assert isinstance(batch, Choice)
    assert (lr.low, lr.high) == (1e-5, 1e-3)
    assert batch.values == (16, 32, 128)


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "data",
        "model.likelihood",
        "nonsense",
        "model.nonsense",
        "lr=1:0",
        "lr=a:b",
        "lr=nan:1",
        "lr=",
        "batch=0,1",
        "lr=0.1:7",
        "degrade",
        "model.size",
        "lr_warmup_",
        "optimiser=sgd",
        "optimiser=a:b",
        "by_class=2",
        "lr.x",
    ],
)
def test_what_cannot_be_searched_is_refused(name):
    with pytest.raises(SettingError):
        search_space(recipe("vae"), [name])


def test_a_name_twice_is_refused():
    with pytest.raises(SettingError):
        search_space(recipe("vae"), ["lr", "lr=1e-5:1e-4"])

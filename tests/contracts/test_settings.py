"""Laws for every tree of settings: what a field says about itself is what is checked."""

import ast
import dataclasses
import inspect
import itertools
import json
import math
from typing import Literal, get_args, get_origin, get_type_hints

import jaxtyping
import pytest

from sfumato.core.config import dump, family, override, parse
from sfumato.core.errors import SettingError
from sfumato.core.registry import FAMILIES
from sfumato.data import adaptive, augment
from sfumato.degradations import DEGRADATIONS
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.train.settings import TrainSettings

NEEDED = {
    TrainSettings: {"model": MODELS["classifier"](), "objective": OBJECTIVES["cross_entropy"]()},
    DEGRADATIONS["chain"]: {"links": (DEGRADATIONS["noise"](),)},
    OBJECTIVES["restoration"]: {"l1": 1.0, "psnr": 1.0, "perceptual": 1.0, "gram": 1.0, "features": "digits-classifier"},
    adaptive.Config: {"target": 0.6},
    MODELS["gated"]: {"encoder": (1,), "decoder": (1,), "planes": ("observed",), "scale": 2},
}
"""What a kind of settings cannot do without."""

KINDS = {
    **{f"models/{name}": MODELS[name] for name in MODELS},
    **{f"objectives/{name}": OBJECTIVES[name] for name in OBJECTIVES},
    **{f"degrade/{name}": DEGRADATIONS[name] for name in DEGRADATIONS},
    "data/augment": augment.Config,
    "data/adaptive": adaptive.Config,
    "train/settings": TrainSettings,
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def make(kind, **values):
    return kind(**{**NEEDED.get(kind, {}), **values})


def shaped(plain, number):
    """`number` as a value of the type: itself, or a tuple of as many as there must be."""
    inner = next((t for t in get_args(plain) if t is not type(None)), plain)
    plain = inner if get_origin(inner) is tuple else plain
    if get_origin(plain) is not tuple:
        return number
    return (number,) * (1 if Ellipsis in get_args(plain) else len(get_args(plain)))


def whole(plain):
    """Whether the type holds whole numbers."""
    return "float" not in str(plain)


def numeric(hint):
    """Whether the type has a number anywhere but among its literals."""
    return hint in (int, float) or (get_origin(hint) is not Literal and any(map(numeric, get_args(hint))))


def test_every_number_has_its_range(kind, ranges):
    numbers = {name for name, hint in get_type_hints(kind).items() if numeric(hint)}
    assert numbers - ranges(kind).keys() == set(), "say the range and the unit in the type: Annotated[float, Range(0, 1)]"


def test_every_setting_is_explained(kind):
    body = ast.parse(inspect.getsource(kind)).body[0].body
    pairs = itertools.pairwise(body)
    explained = {a.target.id for a, b in pairs if isinstance(a, ast.AnnAssign) and isinstance(getattr(b, "value", None), ast.Constant)}
    assert {field.name for field in dataclasses.fields(kind)} - explained == set(), "one docstring a field"


def test_the_ends_of_a_range_are_allowed(kind, ranges):
    for name, (plain, limits) in ranges(kind).items():
        for end in (limits.low, limits.high):
            value = shaped(plain, int(end) if whole(plain) else end)
            assert getattr(make(kind, **{name: value}), name) == value


def test_just_outside_is_refused_with_the_range_in_the_message(kind, ranges):
    for name, (plain, limits) in ranges(kind).items():
        for end, beyond in ((limits.low, -math.inf), (limits.high, math.inf)):
            number = int(end + math.copysign(1, beyond)) if whole(plain) else math.nextafter(end, beyond)
            with pytest.raises(SettingError) as caught:
                make(kind, **{name: shaped(plain, number)})
            assert f"{name} = " in str(caught.value)
            assert limits.broken(number) in str(caught.value)


def test_not_a_number_is_refused(kind, ranges):
    for name, (plain, _) in ranges(kind).items():
        if not whole(plain):
            with pytest.raises(SettingError, match=name):
                make(kind, **{name: shaped(plain, math.nan)})


@pytest.fixture
def unguarded():
    """Without the type checks that only tests have, as users run it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unguarded")
def test_another_type_is_refused(kind, ranges):
    for name in ranges(kind):
        with pytest.raises(SettingError, match=name):
            make(kind, **{name: "many"})


def test_a_misspelt_setting_is_answered_with_the_nearest(kind):
    for field in dataclasses.fields(kind):
        wrong = field.name + field.name[-1]
        with pytest.raises(SettingError, match=f"did you mean '{field.name}'"):
            override(make(kind), f"{wrong}=1")
        with pytest.raises(SettingError, match=f"did you mean '{field.name}'"):
            parse({**dump(make(kind)), wrong: 1})


def test_settings_survive_a_file(kind):
    assert parse(json.loads(json.dumps(dump(make(kind))))) == make(kind)


def test_settings_cannot_be_changed(kind):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(make(kind), next((field.name for field in dataclasses.fields(kind)), "anything"), None)


def test_a_tree_belongs_to_its_family(kind):
    assert FAMILIES.find(family(make(kind))) is kind

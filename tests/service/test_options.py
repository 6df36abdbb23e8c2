"""Options out of the query of an address: every text gives a value of the right kind and range, or one sentence."""

import dataclasses
import typing

import hypothesis
import pytest
from hypothesis import strategies as st

from sfumato.cli.repair_flags import RepairFlags
from sfumato.core.config import problem
from sfumato.core.errors import SettingError
from sfumato.service.options import KINDS, CompressOptions, GenerateOptions, RestoreOptions, described, from_query
from sfumato.service.settings import VERBS, ServiceSettings


def test_values_have_the_types_of_their_fields():
    options = from_query(
        RestoreOptions,
        [("task", "upscale"), ("scale", "3"), ("ensemble", "8"), ("find", "dust,scratches"), ("noise", "25"), ("blur", "defocus:3")],
    )
    assert options == RestoreOptions(task="upscale", scale=3.0, ensemble=8, find=("dust", "scratches"), noise=25.0, blur="defocus:3")
    assert from_query(GenerateOptions, [("label", "7"), ("seed", "12")]) == GenerateOptions(label="7", seed=12)
    assert from_query(CompressOptions, [("keep_metadata", "true"), ("quality", "30")]) == CompressOptions(keep_metadata=True, quality=30)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=40)
def test_any_text_gives_a_value_in_its_range_or_one_sentence(kind, data):
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(kind)]))
    text = data.draw(
        st.one_of(st.text(max_size=8), st.integers().map(str), st.floats().map(str), st.sampled_from(["true", "alpha", "nan"]))
    )
    try:
        options = from_query(kind, [(name, text)])
    except SettingError as refusal:
        sentence = str(refusal)
    else:
        sentence = problem(getattr(options, name), typing.get_type_hints(kind, include_extras=True)[name])
        assert not sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "query",
    [[("n", "0")], [("n", "1"), ("n", "2")], [("label", "x" * 201)], [("__class__", "1")], [("format", "pdf")], [("seed", "1e3")]],
)
def test_others_are_refused(query):
    with pytest.raises(SettingError):
        from_query(GenerateOptions, query)


def test_the_sentence_of_an_unknown_option_names_the_nearest():
    with pytest.raises(SettingError, match=r"no option 'lable' \(did you mean 'label'\?\); there are n, seed, label"):
        from_query(GenerateOptions, [("lable", "7")])


def test_every_verb_describes_its_options():
    assert tuple(KINDS) == VERBS
    for kind in KINDS.values():
        assert all(text["about"] and text["allowed"] for text in described(kind).values())


def test_options_of_a_repair_are_those_of_the_command_line():
    flags = typing.get_type_hints(RepairFlags, include_extras=True)
    options = typing.get_type_hints(RestoreOptions, include_extras=True)
    assert {name: options[name] for name in options.keys() & flags.keys() - {"mask"}} == {
        name: flags[name] for name in options.keys() & flags.keys() - {"mask"}
    }


@pytest.mark.parametrize("change", [{"port": 65536}, {"jobs": 0}, {"timeout": 0.0}, {"max_pixels": 0}, {"queue": -1}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(SettingError, match=next(iter(change))):
        ServiceSettings(**change).check()

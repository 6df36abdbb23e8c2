"""Settings of a run: budgets, paths, and what a network takes from its data."""

import dataclasses

import pytest

from sfumato.core.errors import DataError, SettingError
from sfumato.train.held_out import recorded, split_rule
from sfumato.train.settings import named, resolve, seconds, shareable


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("2 min", 120), ("3m", 180), ("1.5h", 5400), (" 4sec ", 4)])
def test_a_budget_in_words_is_seconds(text, expected):
    assert seconds(text) == expected


def test_of_paths_in_settings_the_last_names_stay_at_any_depth(tiny):
    assert named("/home/me/photos") == "photos"
    assert named(("/a/b", 3, ("c/d",))) == ("b", 3, ("d",))
    settings = tiny("gan", data="/home/me/photos", start="/work/run")
    assert (named(settings).data, named(settings).start) == ("photos", "run")
    assert shareable(settings) == named(settings)
    kept = dataclasses.replace(settings, keep_paths=True)
    assert shareable(kept) is kept
    plain = tiny("gan")
    assert named(plain) is plain


def test_what_a_network_leaves_open_comes_from_the_data(tiny, bars):
    model = resolve(tiny("gan"), bars).model
    assert (model.size, model.channels, model.classes) == ((8, 8), 1, 3)
    without = tiny("gan", model=dataclasses.replace(tiny("gan").model, size=(8, 8), channels=1, classes=0))
    assert resolve(without, bars).model.classes == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": (8, 10)}, "model.size is for images of 10 x 8 pixels, but those of bars have 8 x 8"),
        ({"channels": 3}, "model.channels = 3, but bars has 1"),
        ({"classes": 2}, "model.classes = 2, but bars has 3"),
    ],
)
def test_a_network_for_other_images_is_refused(change, sentence, tiny, bars):
    settings = tiny("gan")
    with pytest.raises(SettingError, match=sentence):
        resolve(dataclasses.replace(settings, model=dataclasses.replace(settings.model, **change)), bars)


def test_settings_without_effect_are_refused(tiny, bars):
    frozen = dataclasses.replace(tiny("gan").objective, freeze=1)
    with pytest.raises(SettingError, match=r"objective\.freeze = 1 would keep random weights"):
        resolve(tiny("gan", objective=frozen), bars)
    assert resolve(tiny("gan", objective=frozen, start="somewhere"), bars).start == "somewhere"
    with pytest.raises(SettingError, match=r"validation = 0\.5 has no effect"):
        resolve(tiny("gan", validation=0.5), bars)
    with pytest.raises(SettingError, match="grow = 7 has no effect"):
        resolve(tiny("gan", grow=7), bars)
    with pytest.raises(SettingError, match="patch has no effect"):
        resolve(tiny("gan", patch=8), bars)
    with pytest.raises(SettingError, match=r"crop .*has no effect"):
        resolve(tiny("restorer", crop="stretch"), bars)
    one = dataclasses.replace(bars, pixels=bars.pixels[:1], labels=bars.labels[:1], positions=None)
    with pytest.raises(DataError, match="training needs at least 2"):
        resolve(tiny("gan"), one)


def test_a_new_run_goes_by_the_originals_and_an_old_record_by_what_it_names(tiny, tmp_path):
    assert split_rule(tiny("gan"), None) == "original"
    assert split_rule(tiny("gan"), tmp_path / "no state") == "original"
    assert split_rule(tiny("gan", start="no such model"), None) == "original"
    assert recorded("") == "resized", "before there were two rules, none was named"
    assert recorded("original") == "original"


def test_weights_of_the_same_data_bring_their_rule(tiny, monkeypatch):
    card = {"data": {"name": "mnist"}}
    monkeypatch.setattr("sfumato.train.held_out.checkpoint.read_header", lambda path: {"card": card})
    assert split_rule(tiny("gan", start="digits", data="mnist"), None) == "resized"
    assert split_rule(tiny("gan", start="digits", data="/here/mnist"), None) == "resized"
    assert split_rule(tiny("gan", start="digits", data="cats64"), None) == "original"
    card["data"]["split_by"] = "original"
    assert split_rule(tiny("gan", start="digits", data="mnist"), None) == "original"

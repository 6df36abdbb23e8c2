"""A recipe may be a file of settings, such as a search writes."""

import dataclasses
import json

import pytest

from sfumato import cli
from sfumato.core.errors import SettingError
from sfumato.recipes import recipe, summary
from sfumato.store import weights
from sfumato.train.folder import write_settings


def test_a_recipe_file_gives_its_settings(tmp_path):
    settings = dataclasses.replace(recipe("vae"), lr=0.0123)
    write_settings(tmp_path / "mine.json", settings)
    assert recipe(str(tmp_path / "mine.json")) == settings
    assert "mine.json" in summary(str(tmp_path / "mine.json"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"format": 1, "model": 3}', '{"model": {"family": "os.system"}}', "{" * 5000])
def test_another_file_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"mine\.json is no recipe file") as refusal:
        recipe(str(path))
    assert "\n" not in str(refusal.value)


def test_values_out_of_range_and_unknown_settings_are_refused(tmp_path):
    path = tmp_path / "mine.json"
    write_settings(path, recipe("vae"))
    there = json.loads(path.read_text())
    for changes in ({"lr": 1e9}, {"lr": "fast"}, {"steps": 3}, {"model": {**there["model"], "family": "none"}}):
        path.write_text(json.dumps({**there, **changes}))
        with pytest.raises(SettingError, match=r"mine\.json is no recipe file"):
            recipe(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"gone\.json: there is no such recipe file"):
        recipe(str(tmp_path / "gone.json"))


def test_train_takes_a_recipe_file(tiny, bars_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "mine.json", tiny("classifier", images=16))
    cli.main(["train", "mine.json", "--data", bars_file, "--lr", "0.004", "--out", "run", "--device", "cpu"])
    card = weights.load(tmp_path / "run").card
    assert (card.images_seen, card.training["lr"]) == (16, 0.004)

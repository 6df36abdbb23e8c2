"""With which settings `train` begins and goes on."""

import dataclasses
import json

import pytest

from sfumato.cli import defaults, main
from sfumato.recipes import recipe
from sfumato.train.loop import fit

SMALL = ("--images", "32", "--batch", "8", "--model.width", "4", "--model.discriminator-width", "4", "--threads", "1")


@pytest.fixture
def begun(tiny, bars, tmp_path):
    """A run of an earlier release, whose recipe had another way to double sizes and no runs of one class."""
    settings = tiny("gan", images=16, by_class=False)
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, upsample="transposed"))
    fit(settings, data=bars, run=tmp_path / "run", device="cpu")
    return tmp_path / "run"


def test_a_run_goes_on_with_the_settings_it_was_begun_with(begun):
    usual = recipe("dcgan")
    settings = defaults.continued(usual, begun)
    assert (settings.by_class, settings.model.upsample, settings.images) == (False, "transposed", 16)
    assert settings.data == usual.data, "where the images lie the folder does not say"
    assert {"by_class", "model.upsample"} <= set(defaults.differing(settings, usual))
    assert defaults.differing(usual, usual) == []


@pytest.mark.parametrize("name", ["vae", "stylegan", "classifier"])
def test_a_run_of_another_network_is_none_to_go_on_with(name, begun):
    assert defaults.continued(recipe(name), begun) is not None
    assert defaults.continued(recipe(name), begun) == recipe(name)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"is": "training", "model": 3}', '{"is": "vae"}'])
def test_what_is_no_run_changes_nothing(content, tmp_path):
    (tmp_path / "settings.json").write_text(content)
    assert defaults.continued(recipe("dcgan"), tmp_path) == recipe("dcgan")


def test_the_folder_is_the_one_that_training_takes():
    usual = recipe("dcgan")
    assert str(defaults.run_folder("dcgan", usual, ["--data", "some/photos.zip"])) == "runs/photos"
    assert str(defaults.run_folder("dcgan", usual, ["--data=mnist"])) == "runs/mnist-dcgan"
    assert str(defaults.run_folder("dcgan", usual, [])) == "runs/dcgan"
    assert str(defaults.run_folder("dcgan", usual, ["--data", "x", "--out", "here"])) == "here"


def test_the_command_line_says_that_it_goes_on_with_other_settings(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask = ["train", "dcgan", "--data", "glyphs", "--model.size", "8", "8", *SMALL, "--out", "run"]
    main([*ask, "--no-by-class"])
    assert "goes on" not in capsys.readouterr().out
    main(ask)
    said = capsys.readouterr().out
    assert "run goes on with the settings it was begun with, which are not the recipe's" in said
    assert "by_class" in said
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["by_class"] is False

"""With which settings `train` begins and goes on."""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import tyro

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
    assert "continues with" not in capsys.readouterr().out
    main(ask)
    said = capsys.readouterr().out
    assert "run continues with its own settings, which differ from the recipe in" in said
    assert "by_class" in said
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["by_class"] is False


def changed(name):
    """Settings of a recipe as a run of an earlier release may have had them: of every kind of value."""
    usual = recipe(name)
    settings = dataclasses.replace(usual, by_class=False, lr=1e-5, seed=3, images=77, augment=dataclasses.replace(usual.augment, flip=0.25))
    if name == "dcgan":
        model = dataclasses.replace(usual.model, upsample="transposed", size=(16, 24), classes=0, minibatch_deviation=False)
        return dataclasses.replace(settings, model=model, objective=dataclasses.replace(usual.objective, r1=0.5, r2=None))
    first, *others = usual.degrade.links
    links = (dataclasses.replace(first, sigma=(0.25, 0.5)), *others)
    return dataclasses.replace(settings, patch=32, degrade=dataclasses.replace(usual.degrade, links=links))


def as_flags(default, words):
    def run(settings: Annotated[Any, tyro.conf.arg(name="")] = default):
        return settings

    return tyro.cli(run, args=words)


@pytest.mark.parametrize("name", ["dcgan", "restore"])
def test_what_came_from_a_run_folder_can_be_said_with_flags(name):
    usual, settings = recipe(name), changed(name)
    assert as_flags(usual, defaults.inherited(settings, usual, [])) == settings
    words = defaults.inherited(settings, usual, ["--lr=1e-5"])
    command = shlex.split(defaults.again(name, ["--lr=1e-5"], ["--seed 4"], Path("runs/x"), inherited=words))
    assert command[-2:] == ["--out", "runs/x-2"]
    assert as_flags(usual, command[3:-2]) == dataclasses.replace(settings, seed=4)


def test_nothing_is_inherited_that_the_call_says_or_that_decides_itself():
    usual = recipe("dcgan")
    settings = dataclasses.replace(usual, budget="2min", images=5, data="elsewhere", log_every=7)
    assert defaults.inherited(settings, usual, []) == ["--budget", "2min", "--log-every", "7"]
    assert defaults.inherited(settings, usual, ["--log_every", "7", "--budget=2min"]) == []
    assert defaults.inherited(usual, usual, []) == []


def test_the_command_that_mends_a_run_keeps_what_came_from_its_folder(begun, bars_file, capsys, monkeypatch):
    said = []
    monkeypatch.setattr("sfumato.cli.training.fit", lambda settings, *, watch, **others: said.append((settings, watch)) or sys.exit(0))
    with pytest.raises(SystemExit):
        main(["train", "dcgan", "--data", bars_file, "--out", str(begun), "--threads", "1"])
    ((settings, watch),) = said
    command = shlex.split(watch.again(["--lr 0.5"]))
    monkeypatch.chdir(begun.parent)
    with pytest.raises(SystemExit):
        main(command[1:])
    assert said[1][0] == dataclasses.replace(settings, lr=0.5)


@pytest.mark.parametrize("kept", [True, False])
def test_a_number_of_images_beside_a_budget_is_refused(kept, tiny, bars, tmp_path, capsys, bars_file):
    budget = ["--budget", "1h"]
    if kept:
        fit(tiny("gan", budget="1s"), data=bars, run=tmp_path / "run", device="cpu")
        budget = []
    with pytest.raises(SystemExit) as stop:
        main(["train", "dcgan", "--data", bars_file, *budget, "--images", "40", "--out", str(tmp_path / "run")])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"images = 40 has no effect: the run has a budget of {'1s' if kept else '1h'}" in line

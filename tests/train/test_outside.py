"""A network, objective or degradation outside of the package trains in memory; where it would be written, it is refused before the work."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sfumato
from sfumato.core.catalog import from_file
from sfumato.core.config import dump, parse, unregistered
from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.recipes import RECIPES, recipe
from sfumato.train import loop
from sfumato.train.loop import fit


@pytest.fixture
def elsewhere(tmp_path):
    """`Config` of a copy, outside of the package, of one of its files."""

    def copied(room, name, as_name=None):
        source = Path(sfumato.__file__).parent / room / f"{name}.py"
        path = tmp_path / f"{as_name or name}.py"
        path.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        return from_file(path)

    return copied


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_a_file(name):
    assert unregistered(recipe(name)) == ""
    assert parse(json.loads(json.dumps(dump(recipe(name))))) == recipe(name)


@pytest.fixture
def foreign(elsewhere, tiny):
    """Settings of a run with one part from outside of the package, by the name of the part."""

    def settings(part):
        kept = tiny("restorer" if part.startswith("degrade") else "classifier", images=16)
        rooms = {
            "model": ("models", "classifier", "mine"),
            "objective": ("objectives", "cross_entropy", "mine"),
            "augment": ("data", "augment", "mine"),
            "degrade": ("degradations", "noise", "mine"),
            "degrade.links[1]": ("degradations", "noise", "mine"),
        }
        config = elsewhere(*rooms[part])
        same = {"model": kept.model, "objective": kept.objective}.get(part)
        made = config() if same is None else config(**{f.name: getattr(same, f.name) for f in dataclasses.fields(config)})
        if part == "degrade.links[1]":
            links = (kept.degrade.links[0], made, *kept.degrade.links[2:])
            return dataclasses.replace(kept, degrade=dataclasses.replace(kept.degrade, links=links))
        return dataclasses.replace(kept, **{part: made})

    return settings


@pytest.mark.parametrize("part", ["model", "objective", "degrade", "degrade.links[1]"])
def test_it_is_refused_before_anything_is_read_or_written(part, foreign, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_train", lambda *_, **__: pytest.fail("training began"))
    settings = foreign(part)
    with pytest.raises(SettingError) as told:
        fit(settings, run=tmp_path / "run")
    assert str(told.value).startswith(f"settings.{part} is a mine.Config, which is no part of sfumato or of a plug-in: ")
    assert "docs/plugins.md" in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_namesake_of_a_family_of_ours_is_refused_too(elsewhere, tiny, tmp_path, monkeypatch):
    config = elsewhere("models", "classifier")
    monkeypatch.setattr(config, "__module__", "theirs.models.classifier")  # would be read as our own
    settings = dataclasses.replace(tiny("classifier"), model=config(widths=(4, 8), hidden=(8,)))
    assert unregistered(settings).startswith("settings.model is a theirs.models.classifier.Config, which is no part of sfumato")
    with pytest.raises(SettingError, match=r"settings\.model is a theirs"):
        fit(settings, run=tmp_path / "run")


@pytest.mark.parametrize("part", ["model", "objective"])
def test_in_memory_it_is_trained(part, foreign, bars):
    network = fit(foreign(part), data=bars)
    assert network.card.images_seen == 16


@dataclass
class Holder:
    what: Any


@pytest.mark.parametrize("what", [[1, 2], {"a": 1}, {1, 2}, float("nan"), object(), (1, [2]), b"x"])
def test_values_that_a_file_does_not_give_back_are_named(what):
    assert unregistered(dataclasses.replace(MODELS["classifier"](), hidden=(3,))) == ""
    assert unregistered(Holder(what)).startswith("settings.what")

"""Laws for the names of families in files: each has one id, no two have the same, and none ever changes or goes away."""

import subprocess
import sys

import pytest

from sfumato.core.config import settings
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.registry import FAMILIES, FORMAT_1, Registry
from sfumato.degradations import DEGRADATIONS
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES

FROZEN = (
    "adaptive", "adversarial", "adversarial_restoration", "augment", "camera", "carn", "chain", "classifier", "compact",
    "cross_entropy", "damage", "dcgan", "deconvolving", "defocus", "dncnn", "downsample", "drunet", "dust", "elbo", "features",
    "fsrcnn", "gated", "gaussian_blur", "grain", "hyperprior", "imdn", "impulse", "jpeg", "lama", "lpips", "missing", "motion",
    "noise", "paired", "pan", "poisson", "quantise", "rate_distortion", "restoration", "restormer", "rfdn", "rlfn", "rrdb",
    "safmn", "scunet", "srgan", "stylegan", "swinir", "training", "vae",
)  # fmt: skip
"""Ids that stand in people's files. New ones are added; one that is changed or taken away makes files unreadable."""


def test_every_id_is_in_the_list_and_none_is_gone():
    assert sorted(set(FAMILIES) - FAMILIES.registered().keys()) == sorted(FROZEN), (
        "add the id of a new family to FROZEN; never change one or take one away"
    )


@pytest.mark.parametrize("catalog", [MODELS, OBJECTIVES, DEGRADATIONS], ids=lambda catalog: catalog.room)
def test_every_file_of_a_room_has_an_id_of_its_own(catalog):
    for name in catalog:
        kind = catalog[name]
        assert "id" in vars(kind), f'{catalog.room}.{name}: Config needs an id of its own, such as id = "{name}"'
        assert FAMILIES.find(kind.id) is kind, f"{catalog.room}.{name}: the id {kind.id} is another family's already"


@pytest.mark.parametrize("name", FROZEN)
def test_an_id_finds_its_family(name):
    assert FAMILIES.find(name).id == name


def test_every_name_of_format_1_still_means_what_it_meant():
    assert len(FORMAT_1) == 34
    for old, name in FORMAT_1.items():
        assert name in FROZEN
        assert FAMILIES.find(old) is FAMILIES.find(name)
        assert old.rpartition("/")[2] == name or (old, name) == ("train/settings", "training")


def test_one_family_is_found_without_importing_the_others():
    code = (
        "import sys; from sfumato.core.registry import FAMILIES; FAMILIES.find('dncnn'); "
        "assert 'sfumato.models.dncnn' in sys.modules and 'sfumato.models.stylegan' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings
class Mine:
    id = "mine"


@settings
class Other:
    id = "mine"


@pytest.fixture
def registry():
    return Registry(rooms=("sfumato.models",))


def test_a_family_from_elsewhere_is_found_once_it_is_registered(registry):
    with pytest.raises(UnknownNameError, match="'mine' is no family of this version"):
        registry.find("mine")
    assert registry.register(Mine, aliases=("yours",)) is Mine
    registry.register(Mine)
    assert registry.find("mine") is registry.find("yours") is Mine
    assert "mine" in set(registry)


@pytest.mark.parametrize(
    ("family", "aliases"),
    [(Other, ()), (settings(type("New", (), {"id": "new"})), ("mine",)), (settings(type("V", (), {"id": "vae"})), ())],
)
def test_an_id_that_is_taken_is_refused(registry, family, aliases):
    registry.register(Mine)
    with pytest.raises(SettingError, match="is taken by"):
        registry.register(family, aliases=aliases)
    assert registry.find("mine") is Mine


@pytest.mark.parametrize("name", [None, "", 7])
def test_a_family_without_an_id_is_refused(registry, name):
    with pytest.raises(SettingError, match="has no id"):
        registry.register(settings(type("Nameless", (), {"id": name})))


def test_what_is_no_class_of_settings_is_refused(registry):
    with pytest.raises(SettingError, match="no class of settings"):
        registry.register(type("Plain", (), {"id": "plain"}))


@pytest.mark.parametrize("name", ["dncn", "vea"])
def test_an_unknown_id_is_answered_with_the_nearest(registry, name):
    with pytest.raises(UnknownNameError, match="did you mean"):
        registry.find(name)


def test_a_family_is_found_by_its_id_where_its_file_is_called_otherwise(tmp_path, monkeypatch):
    (tmp_path / "room_of_families").mkdir()
    (tmp_path / "room_of_families/__init__.py").write_text("")
    (tmp_path / "room_of_families/moved.py").write_text('class Config:\n    id = "first"\n')
    (tmp_path / "room_of_families/first.py").write_text('class Config:\n    id = "second"\n')
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry(rooms=("room_of_families",))
    assert registry.find("first").__module__ == "room_of_families.moved"
    assert registry.find("second").__module__ == "room_of_families.first"


def test_two_families_of_one_id_in_the_rooms_are_told(tmp_path, monkeypatch):
    (tmp_path / "room_of_twins").mkdir()
    for name in ("__init__", "one", "two"):
        (tmp_path / f"room_of_twins/{name}.py").write_text("" if name == "__init__" else 'class Config:\n    id = "same"\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match="is taken by"):
        list(Registry(rooms=("room_of_twins",)))

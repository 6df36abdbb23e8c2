"""A loaded model: the network with the facts of its file, and the ways in which verbs take it."""

import copy

import pytest
import torch
from torch import nn

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.models.roles.restorer import Restorer
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts, ModelCard
from sfumato.store.loaded import LoadedModel

CONFIG = MODELS["dncnn"](channels=1, width=4, depth=3)
CARD = ModelCard(data=DataFacts(name="dots"))


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.safetensors", CONFIG.build(), CONFIG, CARD)
    return tmp_path / "model.safetensors"


def test_loading_gives_the_network_and_the_facts_of_its_file(path):
    model = sf.load(path)
    assert (model.config, model.card, model.path, str(model)) == (CONFIG, CARD, path, str(path))
    assert isinstance(model.network, Restorer)
    assert not {"config", "card", "path", "interrupted"} & vars(model.network).keys(), "nothing is pinned on the network"


def test_calling_the_model_calls_its_network(path):
    model, images = sf.load(path), torch.rand(1, 1, 8, 8)
    assert torch.equal(model(images), model.network(images))


def test_a_verb_takes_a_model_a_network_a_name_and_a_path_alike(path):
    model, images = sf.load(path), torch.rand(1, 1, 8, 8)
    results = [apply_restorer(each, images) for each in (model, model.network, str(path), path)]
    assert all(torch.equal(result, results[0]) for result in results)
    assert torch.equal(sf.generate(sf.load("digits"), 1), sf.generate("digits", 1))


def test_a_label_is_known_by_name_to_a_model_and_by_number_to_a_network_alone(path):
    model = sf.load("fashion")
    assert torch.equal(sf.generate(model, 1, label="bag"), sf.generate(model.network, 1, label=8))
    with pytest.raises(SettingError, match="no label 'bag'"):
        sf.generate(model.network, 1, label="bag")


def test_a_model_goes_through_a_file_as_it_is(path, tmp_path):
    model = sf.load(path)
    checkpoint.save_model(tmp_path / "again.safetensors", model)
    again = sf.load(tmp_path / "again.safetensors")
    assert (again.config, again.card) == (model.config, model.card)
    with pytest.raises(SettingError, match="has no settings"):
        checkpoint.save_model(tmp_path / "none.safetensors", LoadedModel(network=nn.Linear(1, 1)))


def test_attributes_of_the_network_are_still_read_from_the_model_with_a_warning(path):
    model = sf.load(path)
    with pytest.warns(DeprecationWarning, match="write model.network.receptive_radius"):
        assert model.receptive_radius == model.network.receptive_radius
    with pytest.raises(AttributeError):
        _ = model.no_such_thing
    with pytest.raises(AttributeError):
        model.card = ModelCard()
    assert copy.copy(model).network is model.network


def test_a_model_of_another_role_is_refused_by_its_name(path):
    with pytest.raises(SettingError, match=r"model\.safetensors makes no images"):
        weights.opened(path, StyleGenerator, otherwise="makes no images")
    with pytest.raises(SettingError, match="DnCnn makes no images"):
        weights.opened(CONFIG.build(), StyleGenerator, otherwise="makes no images")


def test_training_returns_a_model_that_says_whether_it_is_complete(tiny, bars, tmp_path):
    model = sf.fit(tiny("gan", images=16), data=bars, run=tmp_path / "run", device="cpu")
    assert (model.interrupted, model.card.images_seen, model.path) == (False, 16, tmp_path / "run" / "model.safetensors")
    assert isinstance(model.network, StyleGenerator)
    assert sf.load(tmp_path / "run").card == model.card

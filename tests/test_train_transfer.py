"""Training that begins with weights of another run, and leaves some of them as they are."""

import dataclasses

import pytest
import torch

from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.settings import override
from sfumato.models import dcgan
from sfumato.objectives import adversarial
from sfumato.store import checkpoint
from sfumato.train.log import Watch
from sfumato.train.loop import fit


class Notes(Watch):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def source(tiny, bars, tmp_path_factory):
    run = tmp_path_factory.mktemp("source")
    fit(tiny("gan", images=32), data=bars, run=run, device="cpu")
    return run


def test_it_begins_with_the_weights_of_the_other_and_says_so_in_the_card(source, tiny, bars, tmp_path):
    settings = tiny("gan", images=8, lr=0.0, start=str(source), seed=5)
    model = fit(settings, data=bars, run=tmp_path, device="cpu")
    before = checkpoint.load(source / "model.safetensors")
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())
    told = checkpoint.load(tmp_path / "model.safetensors").card["started_from"]
    assert told["model"] == source.name
    assert told["data"]["sha256"] == before.card["data"]["sha256"]
    assert (told["images_seen"], told["minutes"]) == (32, before.card["minutes"])
    assert "started_from" not in before.card
    third = fit(tiny("gan", images=8, start=str(tmp_path)), data=bars, device="cpu").card["started_from"]
    second = checkpoint.load(tmp_path / "model.safetensors").card
    assert third["images_seen"] == 32 + 8, "of all trainings before"
    assert third["minutes"] == pytest.approx(before.card["minutes"] + second["minutes"], abs=0.01)


def test_once_begun_it_needs_the_other_no_longer(source, tiny, bars, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((source / "model.safetensors").read_bytes())
    settings = tiny("gan", images=32, start=str(copy))
    whole = fit(settings, data=bars, run=tmp_path / "run", device="cpu")
    copy.unlink()
    again = fit(settings, data=bars, run=tmp_path / "run", device="cpu")
    assert again.card["started_from"] == whole.card["started_from"]
    with pytest.raises(UnknownNameError, match="copy"):
        fit(settings, data=bars, run=tmp_path / "other", device="cpu")


def test_a_network_without_a_discriminator_lends_its_generator(source, tiny, bars, tmp_path):
    tensors, header = checkpoint.read_tensors(source / "model.safetensors")
    lone = {name: value for name, value in tensors.items() if name.startswith("generator.")}
    checkpoint.write_tensors(tmp_path / "lone.safetensors", lone, header)
    notes = Notes()
    model = fit(tiny("gan", images=8, lr=0.0, start=str(tmp_path / "lone.safetensors")), data=bars, device="cpu", watch=notes)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in lone.items())
    assert any("has no discriminator: it begins afresh" in said for said in notes.said)


def test_what_begins_afresh_is_not_frozen(source, tiny, bars, tmp_path):
    tensors, header = checkpoint.read_tensors(source / "model.safetensors")
    lone = {name: value for name, value in tensors.items() if name.startswith("generator.")}
    checkpoint.write_tensors(tmp_path / "lone.safetensors", lone, header)
    settings = override(tiny("gan", images=8, start=str(tmp_path / "lone.safetensors")), "objective.freeze=1")
    with pytest.raises(SettingError, match=r"freeze = 1 would keep random weights as they are: .*lone.safetensors has no discriminator"):
        fit(settings, data=bars, device="cpu")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.width=6", r"does not fit this network: generator.start.0.weight is 128x8 there, 192x8 here"),
        ("model.minibatch_deviation=false", r"discriminator.* is (missing there|of no use here)|there, .* here"),
        ("model.blocks=1", "generator.stages.*is missing there|there, .* here"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(change, told, source, tiny, bars):
    with pytest.raises(SettingError, match=told) as error:
        fit(override(tiny("gan", start=str(source)), change), data=bars, device="cpu")
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_answered_with_those_that_exist(tiny, bars):
    with pytest.raises(UnknownNameError, match="did you mean 'fashion'"):
        fit(tiny("gan", start="fashio"), data=bars, device="cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return dcgan.Config(size=(16, 16), channels=1, classes=2, latent_dim=4, width=4, discriminator_width=4).build()


@pytest.mark.parametrize(("freeze", "still"), [(0, []), (1, ["stages.0"]), (2, ["stages.0", "stages.2"])])
def test_the_finest_layers_of_the_discriminator_are_not_trained(freeze, still, model):
    phases = {phase.name: phase for phase in adversarial.Config(freeze=freeze).phases(model)}
    moved = {id(w) for w in phases["discriminator"].weights}
    assert moved == {id(w) for w in phases["penalty"].weights}
    frozen = [name for name, w in model.discriminator.named_parameters() if id(w) not in moved]
    assert {name.rsplit(".conv", 1)[0] for name in frozen} == set(still)
    assert model.training
    assert not model.discriminator.stages[0]._forward_pre_hooks


def test_freezing_everything_is_refused(model):
    with pytest.raises(SettingError, match="freeze = 9 leaves nothing to train: the discriminator has 4 sizes; give at most 3"):
        adversarial.Config(freeze=9).phases(model)


def test_freezing_random_weights_is_refused(tiny, bars):
    with pytest.raises(SettingError, match=r"objective\.freeze = 1 would keep random weights as they are"):
        fit(override(tiny("gan"), "objective.freeze=1"), data=bars, device="cpu")


def test_frozen_layers_stay_while_the_rest_moves(source, tiny, bars):
    settings = override(tiny("gan", images=32, start=str(source)), "objective.freeze=1")
    model = fit(dataclasses.replace(settings, ema=0), data=bars, device="cpu")
    before = checkpoint.load(source / "model.safetensors").state_dict()
    same = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    assert [name for name in same if "discriminator" in name and "projection" not in name and name != "discriminator.score.bias"] == [
        "discriminator.stages.0.conv.weight",
        "discriminator.stages.0.conv.bias",
    ]

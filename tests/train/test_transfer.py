"""Training that begins with weights of another run, and leaves some of them as they are."""

import dataclasses

import pytest
import torch

from sfumato.core.config import override
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.degradations import chain, downsample
from sfumato.models import dcgan, srgan, stylegan
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.objectives import adversarial, adversarial_restoration
from sfumato.store import checkpoint
from sfumato.train.class_tables import Transfer
from sfumato.train.log import Callback
from sfumato.train.loop import fit

pytestmark = pytest.mark.usefixtures("unchecked")


class Notes(Callback):
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
    assert all(torch.equal(value, before.network.state_dict()[name]) for name, value in model.network.state_dict().items())
    told = checkpoint.load(tmp_path / "model.safetensors").card.started_from
    assert told.model == source.name
    assert told.data.sha256 == before.card.data.sha256
    assert (told.images_seen, told.minutes) == (32, before.card.minutes)
    assert not before.card.started_from.dump()
    third = fit(tiny("gan", images=8, start=str(tmp_path)), data=bars, device="cpu").card.started_from
    second = checkpoint.load(tmp_path / "model.safetensors").card
    assert third.images_seen == 32 + 8, "of all trainings before"
    assert third.minutes == pytest.approx(before.card.minutes + second.minutes, abs=0.01)


def test_once_begun_it_needs_the_other_no_longer(source, tiny, bars, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((source / "model.safetensors").read_bytes())
    settings = tiny("gan", images=32, start=str(copy))
    whole = fit(settings, data=bars, run=tmp_path / "run", device="cpu")
    copy.unlink()
    again = fit(settings, data=bars, run=tmp_path / "run", device="cpu")
    assert again.card.started_from == whole.card.started_from
    with pytest.raises(UnknownNameError, match="copy"):
        fit(settings, data=bars, run=tmp_path / "other", device="cpu")


def test_a_network_without_a_discriminator_lends_its_generator(source, tiny, bars, tmp_path):
    tensors, header = checkpoint.read_tensors(source / "model.safetensors")
    lone = {name: value for name, value in tensors.items() if name.startswith("generator.")}
    checkpoint.write_tensors(tmp_path / "lone.safetensors", lone, header)
    notes = Notes()
    model = fit(tiny("gan", images=8, lr=0.0, start=str(tmp_path / "lone.safetensors")), data=bars, device="cpu", watch=notes)
    assert all(torch.equal(model.network.state_dict()[name], value) for name, value in lone.items())
    assert any("has no discriminator for this network: it begins afresh" in said for said in notes.said)


def test_a_restorer_lends_its_weights_to_one_with_a_discriminator(tiny, bars, tmp_path):
    """The usual way of an SRGAN: first near the truth, then against a discriminator."""
    lender = fit(tiny("restorer", images=16), data=bars, run=tmp_path, device="cpu").network
    plain = tiny("restorer", images=8, lr=0.0, start=str(tmp_path))
    sharper = dataclasses.replace(
        plain, model=srgan.Config(restorer=plain.model, discriminator_width=4), objective=adversarial_restoration.Config()
    )
    notes = Notes()
    network = fit(sharper, data=bars, device="cpu", watch=notes).network
    assert all(torch.equal(network.restorer.state_dict()[name], value) for name, value in lender.state_dict().items())
    assert any("has no discriminator for this network: it begins afresh" in said for said in notes.said)
    with pytest.raises(SettingError, match=r"does not fit this network: restorer\..* there, .* here"):
        fit(override(sharper, "model.restorer.width=6"), data=bars, device="cpu")


def test_a_network_lends_its_weights_but_for_the_output_to_one_that_enlarges_by_another_factor(tiny, bars, tmp_path):
    lender = fit(tiny("restorer", images=16), data=bars, run=tmp_path, device="cpu").network.state_dict()
    notes = Notes()
    plain = tiny("restorer", images=8, lr=0.0, start=str(tmp_path))
    wider = dataclasses.replace(
        plain, model=dataclasses.replace(plain.model, scale=2), degrade=chain.Config(links=(downsample.Config(factor=2),))
    )
    weights = fit(wider, data=bars, device="cpu", watch=notes).network.state_dict()
    assert {name for name in weights if not torch.equal(weights[name], lender[name])} == {"tail.weight", "tail.bias"}
    assert any("has no tail for this network: it begins afresh" in said for said in notes.said)


@pytest.mark.parametrize("convolution", ["full", "depthwise"])
@pytest.mark.parametrize(("deeper", "missing"), [({"middle": 2}, ["middle.1"]), ({"encoder": (3,)}, ["encoder.0.1", "encoder.0.2"])])
def test_a_deeper_network_begins_by_doing_what_the_shallower_one_does(tiny, bars, tmp_path, convolution, deeper, missing):
    first = override(tiny("restorer", images=16, lr=1e-2), f"model.convolution={convolution}")
    lender = fit(first, data=bars, run=tmp_path, device="cpu").network
    notes, model = Notes(), dataclasses.replace(first.model, **deeper)
    settings = dataclasses.replace(first, images=8, lr=0.0, start=str(tmp_path), model=model)
    deep = fit(settings, data=bars, device="cpu", watch=notes)
    images = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(deep.network.restore(images), lender.restore(images))
        assert not torch.equal(lender.restore(images), images)
    assert list(deep.card.started_from.missing) == missing
    assert any(f"has no {', '.join(missing)} for this network" in said for said in notes.said)


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
    before = checkpoint.load(source / "model.safetensors").network.state_dict()
    same = [name for name, value in model.network.state_dict().items() if torch.equal(value, before[name])]
    assert [name for name in same if "discriminator" in name and "projection" not in name and name != "discriminator.score.bias"] == [
        "discriminator.stages.0.conv.weight",
        "discriminator.stages.0.conv.bias",
    ]


def relabelled(bars, names):
    """The bars in classes of these names, or unlabelled."""
    if not names:
        return dataclasses.replace(bars, labels=None, classes=())
    return dataclasses.replace(bars, labels=torch.arange(len(bars)) % len(names), classes=names)


KNOWN = ("lying", "standing", "none")
FAMILIES = {
    "gan": {},
    "vae": {},
    "mapped": stylegan.Config(latent_dim=4, style_dim=4, mapping=2, width=4, discriminator_width=4, max_width=8, group=2),
    "added": stylegan.Config(latent_dim=4, style_dim=4, mapping=2, width=4, discriminator_width=4, max_width=8, group=2, judging="added"),
}


def family(tiny, name, **changes):
    settings = tiny("vae" if name == "vae" else "gan", **changes)
    return dataclasses.replace(settings, model=FAMILIES[name]) if FAMILIES[name] else settings


@pytest.fixture(scope="module")
def conditional(tiny, bars, tmp_path_factory):
    """A run of each family on the three classes of the bars, and one on none."""
    runs = {}
    for name in FAMILIES:
        for classes in (KNOWN, ()):
            runs[name, classes] = tmp_path_factory.mktemp(name)
            fit(family(tiny, name, images=16), data=relabelled(bars, classes), run=runs[name, classes], device="cpu")
    return runs


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (KNOWN, (), 0),
        ((), KNOWN, 0),
        (KNOWN, ("round", "square"), 0),
        (KNOWN, ("round", "square", "flat"), 0),
        (KNOWN, ("round", "none", "flat", "lying"), 2),
        (KNOWN, KNOWN[::-1], 3),
    ],
)
def test_weights_serve_other_classes_and_all_that_belongs_to_none_stays(name, before, after, kept, conditional, tiny, bars):
    settings = family(tiny, name, images=16, lr=0.0, start=str(conditional[name, before]), seed=7)
    listener, data = Notes(), relabelled(bars, after)
    model = fit(settings, data=data, device="cpu", watch=listener)
    assert model.card.started_from.classes == {"before": len(before), "after": len(after), "kept": kept}
    source = dict(checkpoint.load(conditional[name, before] / "model.safetensors").network.named_parameters())
    made = dict(model.network.named_parameters())
    rest = [key for key, value in made.items() if key in source and source[key].shape == value.shape and not belongs_to_classes(key)]
    assert len(rest) > len(made) / 2
    assert [key for key in rest if not torch.equal(made[key], source[key])] == []
    said = [note for note in listener.said if "classes" in note]
    assert len(said) == (kept < len(after) or not after)
    trained = dict(fit(dataclasses.replace(settings, lr=3e-3), data=data, device="cpu").network.named_parameters())
    assert [key for key, value in trained.items() if not value.isfinite().all()] == []
    assert not all(torch.equal(trained[key], value) for key, value in made.items())


def drawn(network, z, labels):
    """The images of latents, without the warp that a VAE fits anew to the latents of its data."""
    return network.decode(z, labels) if isinstance(network, LatentVariableModel) else network.sample(z, labels)


def belongs_to_classes(name):
    return any(word in name for word in ("embed", "projection", "classifier", "kinds", "means"))


def test_classes_are_found_by_their_names(conditional, tiny, bars):
    """In another order, and one new among them: the images of a class that stays are the images that it had."""
    for name in FAMILIES:
        source = checkpoint.load(conditional[name, KNOWN] / "model.safetensors")
        settings = family(tiny, name, images=8, lr=0.0, start=str(conditional[name, KNOWN]))
        model = fit(settings, data=relabelled(bars, ("none", "round", "lying", "standing")), device="cpu")
        z = torch.randn(5, model.network.latent_dim, generator=torch.Generator().manual_seed(0))
        for here, there in ((0, 2), (2, 0), (3, 1)):
            new, old = (drawn(each.network, z, torch.full((5,), label)) for each, label in ((model, here), (source, there)))
            torch.testing.assert_close(new, old, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_at_first_every_class_looks_as_images_did_without_any(name, conditional, tiny, bars):
    source = checkpoint.load(conditional[name, ()] / "model.safetensors")
    model = fit(family(tiny, name, images=8, lr=0.0, start=str(conditional[name, ()])), data=bars, device="cpu")
    z = torch.randn(6, model.network.latent_dim, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn(model.network, z, torch.arange(6) % 3), drawn(source.network, z, None), atol=1e-5, rtol=0)


def test_a_classifier_keeps_what_it_sees_for_other_classes(tiny, bars, tmp_path):
    fit(tiny("classifier", images=64), data=bars, run=tmp_path, device="cpu")
    source = checkpoint.load(tmp_path / "model.safetensors")
    listener = Notes()
    settings = tiny("classifier", images=8, lr=0.0, start=str(tmp_path), seed=3)
    model = fit(settings, data=relabelled(bars, ("a", "standing", "b", "c", "d")), device="cpu", watch=listener)
    assert model.network.classes == 5
    old, new = source.network.state_dict(), model.network.state_dict()
    assert torch.equal(new["scores.1.weight"][1], old["scores.1.weight"][1])
    assert torch.equal(new["hidden.3.weight"], old["hidden.3.weight"])
    assert listener.said == [f"{tmp_path.name}: 1 of the 5 classes keep their tables; the other 4 begin afresh"]


@pytest.mark.parametrize(
    ("before", "after", "kept", "said"),
    [
        (10, 3, 0, "the tables of 10 classes begin afresh: the data has 3 others"),
        (10, 0, 0, "the tables of 10 classes are left out: the data has none, or they are ignored"),
        (0, 3, 0, "the tables of 3 classes begin afresh: the weights have none (--model.classes 0 ignores those of the data)"),
        (3, 3, 3, ""),
    ],
)
def test_what_became_of_classes_is_told_in_one_line(before, after, kept, said):
    assert str(Transfer(before=before, after=after, kept=kept)) == said


def test_a_network_that_fits_for_no_other_reason_is_still_refused(conditional, tiny, bars):
    settings = override(family(tiny, "gan", start=str(conditional["gan", KNOWN])), "model.width=6")
    with pytest.raises(SettingError, match="does not fit this network"):
        fit(settings, data=relabelled(bars, ("a", "b")), device="cpu")


def test_going_on_is_exact_after_a_change_of_classes(conditional, tiny, bars, tmp_path):
    settings, data = family(tiny, "gan", images=48, start=str(conditional["gan", KNOWN]), save_every=16), relabelled(bars, ("a", "b"))

    class Die(Notes):
        def step(self, seen, settings):
            if seen == 32:
                raise MemoryError

    straight = fit(settings, data=data, device="cpu").network.state_dict()
    with pytest.raises(MemoryError):
        fit(settings, data=data, run=tmp_path, device="cpu", watch=Die())
    again = fit(settings, data=data, run=tmp_path, device="cpu")
    assert again.card.started_from.classes == {"before": 3, "after": 2, "kept": 0}
    assert all(torch.equal(value, straight[key]) for key, value in again.network.state_dict().items())

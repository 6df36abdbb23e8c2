"""Numbers that are none: weights that hold some are refused on load, and what a network makes of finite ones is an image or an error."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import sfumato as sf
from sfumato.core.errors import CheckpointError, ImageError, SettingError
from sfumato.core.finite import nonfinite
from sfumato.core.finite_output import name_of
from sfumato.editing import directions, latent_image
from sfumato.generation import interpolate
from sfumato.models import MODELS
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.request import RestorationRequest
from sfumato.store import checkpoint, weights
from sfumato.store.importing import import_weights
from sfumato.train.loop import fit

WRONG = (float("nan"), float("inf"), float("-inf"))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_finite_is_counted(kind, wrong):
    rng = torch.Generator().manual_seed(0)
    for count in (0, 1, 7):
        values = torch.randn(3, 5, 7, generator=rng).to(kind)
        values.view(-1)[torch.randperm(105, generator=rng)[:count]] = wrong
        assert nonfinite(values) == nonfinite(values.transpose(0, 2)) == count
    assert nonfinite(torch.full((), wrong, dtype=kind)) == 1
    assert nonfinite(torch.full((2,), torch.finfo(kind).max, dtype=kind)) == 0


def test_what_cannot_but_be_finite_is():
    assert nonfinite(torch.zeros(0, 3)) == nonfinite(torch.arange(4)) == nonfinite(torch.tensor([True])) == 0


def poisoned(path, *, wrong=float("nan"), count=3):
    """The file at `path` with some values of its largest tensor replaced; the name of that."""
    tensors, header = checkpoint.read_tensors(path)
    name = max((n for n, t in tensors.items() if t.is_floating_point()), key=lambda n: tensors[n].numel())
    tensors[name].view(-1)[:count] = wrong
    checkpoint.write_tensors(path, tensors, header)
    return name


@pytest.fixture
def generator(untrained, tmp_path):
    network = untrained("stylegan", classes=2)
    checkpoint.save(tmp_path / "model.safetensors", network, network.config, {})
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_model_file_with_weights_that_are_none_is_refused(generator, wrong):
    name = poisoned(generator, wrong=wrong)
    for load in (checkpoint.load, weights.load, sf.load, sf.generate):
        with pytest.raises(CheckpointError, match=f"{generator}: {name} holds 3 values that are not finite") as told:
            load(generator)
        assert "\n" not in str(told.value)


def test_several_such_tensors_are_one_error(generator):
    tensors, header = checkpoint.read_tensors(generator)
    for tensor in tensors.values():
        tensor.view(-1)[:1] = float("nan")
    checkpoint.write_tensors(generator, tensors, header)
    with pytest.raises(CheckpointError, match=f"and {len(tensors) - 1} more tensors hold {len(tensors)} values that are not finite"):
        sf.load(generator)


def test_weights_that_half_precision_cannot_hold_are_told_at_the_first_load(tmp_path, untrained):
    network = untrained("dcgan")
    next(p for p in network.parameters() if p.dim() == 4).view(-1)[0] = 1e6
    checkpoint.save(tmp_path / "small.safetensors", network, network.config, {}, half=True)
    with pytest.raises(CheckpointError, match="holds 1 values that are not finite"):
        sf.load(tmp_path / "small.safetensors")


def test_styles_and_directions_that_are_none_are_refused(generator, tmp_path):
    network = sf.load(generator)
    latent_image.save(tmp_path / "styles.safetensors", latent_image.drawn(network, 0), network)
    found = directions.directions(network, "closed-form", count=1)
    directions.save(found, tmp_path / "axes.safetensors", network)
    for name, load in (("styles", latent_image.load), ("axes", directions.load)):
        load(tmp_path / f"{name}.safetensors", network)
        poisoned(tmp_path / f"{name}.safetensors")
        with pytest.raises(CheckpointError, match=f"{name}.safetensors: .* 3 values that are not finite"):
            load(tmp_path / f"{name}.safetensors", network)


def test_training_neither_begins_nor_goes_on_with_such_weights(tiny, bars, tmp_path):
    settings = tiny("classifier", images=32)
    fit(settings, data=bars, run=tmp_path / "run")
    poisoned(tmp_path / "run" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .* not finite"):
        fit(dataclasses.replace(settings, start=str(tmp_path / "run")), data=bars)
    poisoned(tmp_path / "run" / "state" / "state.safetensors")
    with pytest.raises(CheckpointError, match=r"state\.safetensors: .* not finite"):
        fit(settings, data=bars, run=tmp_path / "run")


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_other_peoples_weights_that_are_none_are_not_imported(ending, tmp_path):
    net = MODELS["dncnn"](channels=1, width=4, depth=3).build()
    state = {f"model.{name.removeprefix('layers.')}": value.detach().clone() for name, value in net.state_dict().items()}
    path = tmp_path / f"net{ending}"
    (torch.save if ending == ".pth" else save_file)(state, path)
    import_weights(path, tmp_path / "good.safetensors")
    state["model.2.weight"].view(-1)[5] = float("inf")
    (torch.save if ending == ".pth" else save_file)(state, path)
    with pytest.raises(CheckpointError, match="holds 1 values that are not finite"):
        import_weights(path, tmp_path / "bad.safetensors")
    assert not (tmp_path / "bad.safetensors").exists()


def huge(path, network, config):
    """A file of `network` with finite weights that are far too large, and no biases: of black it makes black, of all else nothing."""
    for name, weight in network.named_parameters():
        weight.data = torch.zeros_like(weight) if name.endswith("bias") else weight.sign() * 1e30
    checkpoint.save(path, network, config, {})
    return path


@pytest.fixture
def restorer(tmp_path):
    config = MODELS["dncnn"](channels=3, width=4, depth=3)
    return huge(tmp_path / "huge.safetensors", config.build(), config)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tile", [0, 16])
def test_a_restored_picture_that_is_none_is_an_error_and_the_folder_goes_on(restorer, tmp_path, precision, tile):
    (tmp_path / "in").mkdir()
    for name, grey in (("a", 120), ("b", 0), ("c", 9)):
        Image.new("RGB", (40, 24), (grey, grey, grey)).save(tmp_path / "in" / f"{name}.png")
    request = RestorationRequest(task="denoise", model=restorer, precision=precision, tile=tile or None)
    entries = restore_pictures([tmp_path / "in"], tmp_path / "out", request)
    assert [entry.status for entry in entries] == ["failed", "done", "failed"]
    assert all(f"{restorer} made" in entry.message and "NaN or infinite" in entry.message for entry in entries[::2])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.png", "manifest.jsonl"]


def test_python_calls_say_so_as_well(restorer):
    image = torch.full((3, 24, 24), 0.5)
    for call in (lambda: sf.restore(image, restorer, task="denoise"), lambda: sf.apply_restorer(restorer, image[None])):
        with pytest.raises(ImageError, match=f"{restorer} made no image: .* numbers are NaN or infinite"):
            call()
    assert not sf.apply_restorer(restorer, torch.zeros(1, 3, 24, 24)).any()


@pytest.mark.parametrize("kind", ["stylegan", "dcgan", "vae"])
def test_no_verb_shows_images_that_are_none(kind, untrained, tmp_path):
    network = untrained(kind)
    path = huge(tmp_path / "huge.safetensors", network, network.config)
    seen = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    begun = latent_image.LatentImage(styles=torch.ones(1, network.styles, network.style_dim))
    calls = {
        "generate": lambda: sf.generate(path, 2),
        "interpolate": lambda: interpolate.interpolate(path, [0, 1], steps=3),
        "project": lambda: sf.project(path, seen, steps=2),
        "drag": lambda: sf.drag(path, begun, [(3, 3)], [(5, 5)], steps=2),
        "edit": lambda: sf.edit(path, begun, []),
        "directions": lambda: sf.directions(path, "jacobian", count=1),
        "dream": lambda: sf.dream_through(path, classifier(tmp_path / "eyes.safetensors"), n=1),
    }
    if kind == "stylegan":  # the others have one style
        calls["mix"] = lambda: sf.mix(path, [0], [1])
    for call in calls.values():
        with pytest.raises(ImageError, match=f"{path} made no image: .* numbers are NaN or infinite"):
            call()


def classifier(path):
    config = MODELS["classifier"](size=(32, 32), channels=3, classes=3, widths=(4, 8), hidden=(8,))
    checkpoint.save(path, config.build(), config, {})
    return path


def test_a_dream_that_is_none_is_an_error(tmp_path):
    config = MODELS["classifier"](size=(32, 32), channels=3, classes=3, widths=(4, 8), hidden=(8,))
    path = huge(tmp_path / "huge.safetensors", config.build(), config)
    with pytest.raises((ImageError, SettingError), match=r"huge\.safetensors"):
        sf.dream(torch.rand(1, 3, 32, 32), path)


def test_a_model_is_called_what_it_was_loaded_from(restorer):
    model = sf.load(restorer)
    assert name_of(model) == str(model) == str(restorer)
    assert name_of(model.config.build()) == name_of(model.network.self_ensemble(4)) == "DnCnn"
    assert name_of("deep-prior") == "deep-prior"


def test_every_bundled_model_is_finite():
    for path in weights.bundled().values():
        checkpoint.check_finite(checkpoint.read_tensors(path)[0], path)


def test_a_card_still_says_what_it_said(generator):
    assert json.loads(json.dumps(sf.load(generator).card.dump())) == {"metrics": []}

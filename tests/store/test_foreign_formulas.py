"""Weights of others under their authors' names: recognised by names and shapes alone, and computing what the papers say."""

import subprocess
import sys

import pytest
import torch
from PIL import Image

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.models import MODELS
from sfumato.nn.channels import luma
from sfumato.nn.resample import resize
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import checkpoint, foreign
from tests.papers import lama, transformers, upscalers

UPSCALERS = {
    "rfdn": (upscalers.rfdn(), upscalers.rfdn_formula, {"width": 12, "blocks": 2, "scale": 3}),
    "rlfn": (upscalers.rlfn(), upscalers.rlfn_formula, {"width": 10, "middle": 12, "attention": 6, "blocks": 2, "scale": 2, "white": 255}),
    "pan": (upscalers.pan(), upscalers.pan_formula, {"width": 8, "upper": 6, "blocks": 2, "scale": 4}),
    "pan x2": (upscalers.pan(scale=2), upscalers.pan_formula, {"width": 8, "upper": 6, "blocks": 2, "scale": 2}),
    "safmn": (upscalers.safmn(), upscalers.safmn_formula, {"width": 8, "middle": 20, "blocks": 2, "scale": 2}),
    "carn": (upscalers.carn(), upscalers.carn_formula, {"width": 8, "groups": 2, "scale": 4}),
    "carn x3 alone": (upscalers.carn(scales=(3,)), upscalers.carn_formula, {"width": 8, "groups": 2, "scale": 3}),
    "fsrcnn": (upscalers.fsrcnn(), upscalers.fsrcnn_formula, {"width": 6, "narrow": 3, "depth": 2, "scale": 3}),
}
SWIN = {"head_width": 4, "heads": 2, "blocks": (2, 1), "hidden": 12, "window": 4}
TRANSFORMERS = {
    "swinir": (transformers.swinir(), transformers.swinir_formula, SWIN | {"scale": 1}),
    "swinir for JPEG": (
        transformers.swinir(window=7, channels=1),
        transformers.swinir_formula,
        SWIN | {"window": 7, "channels": 1, "white": 255, "scale": 1},
    ),
    "swinir x3": (
        transformers.swinir(upsampler="shuffle", scale=3),
        transformers.swinir_formula,
        SWIN | {"upsampler": "shuffle", "scale": 3},
    ),
    "swinir small": (
        transformers.swinir(upsampler="direct", scale=2),
        transformers.swinir_formula,
        SWIN | {"upsampler": "direct", "scale": 2},
    ),
    "swinir large": (
        transformers.swinir(upsampler="nearest", scale=4, convolutions=3),
        transformers.swinir_formula,
        SWIN | {"upsampler": "nearest", "scale": 4, "convolutions": 3},
    ),
    "scunet": (
        transformers.scunet(),
        transformers.scunet_formula,
        {"head_width": 4, "heads": 1, "blocks": (1, 2, 1, 1, 1, 1, 2), "window": 2, "scale": 1},
    ),
    "restormer": (
        transformers.restormer(),
        transformers.restormer_formula,
        {"width": 4, "blocks": (1, 1, 1, 2), "refinement": 1, "heads": (1, 2, 2, 4), "scale": 1},
    ),
    "restormer without centring": (
        transformers.restormer(bias=True, centre=False, expansion=3.0),
        transformers.restormer_formula,
        {
            "width": 4,
            "blocks": (1, 1, 1, 2),
            "refinement": 1,
            "heads": (1, 2, 2, 4),
            "expansion": 3.0,
            "bias": True,
            "centre": False,
            "scale": 1,
        },
    ),
    "lama": (lama.lama(), lama.lama_formula, {"width": 4, "down": 2, "blocks": 2, "scale": 1}),
}
FAMILIES = {**UPSCALERS, **TRANSFORMERS}


def image_for(network, height=1, width=2):
    """A random image whose sides are multiples of the network's grid, and the planes that the network takes: a mask."""
    rng, m = torch.Generator().manual_seed(1), network.pad_multiple
    m *= -(-16 // m)
    image = torch.rand(1, network.channels, height * m, width * m, generator=rng).double()
    if not network.conditioning:
        return image, ()
    return image, ((torch.rand(1, 1, height * m, width * m, generator=rng) < 0.6).double(),)


def in_double(state):
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


@pytest.mark.parametrize("which", FAMILIES)
def test_a_network_of_others_is_recognised_and_computes_what_its_paper_says(which, tmp_path):
    state, formula, settings = FAMILIES[which]
    torch.save({"params": dict(state)}, tmp_path / "theirs.pth")
    model = foreign.load(tmp_path / "theirs.pth")
    family = which.partition(" ")[0]
    kind = MODELS[family]
    assert model.config == kind(**{name: value for name, value in settings.items() if hasattr(kind, name)})
    image, planes = image_for(model.network)
    if family == "fsrcnn":
        image = image[:, :1]
    expected = formula(in_double(state), image, settings["scale"], *planes)
    assert expected.shape[2] == settings["scale"] * image.shape[2]
    checkpoint.save_model(tmp_path / "ours.safetensors", model)
    for each in (model, checkpoint.load(tmp_path / "ours.safetensors")):
        output = each.network.double().restore(image, *planes).double()
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        assert each.card.imported.origin.startswith("https://github.com/")


@pytest.mark.parametrize("which", FAMILIES)
def test_tiles_are_the_whole_or_refused(which, tmp_path):
    torch.save(dict(FAMILIES[which][0]), tmp_path / "theirs.pth")
    network = foreign.load(tmp_path / "theirs.pth").network
    observed = {"observed": (torch.rand(1, 1, 20, 60) < 0.6).float()} if network.conditioning else {}
    if network.receptive_radius is None:
        image = torch.rand(1, network.channels, 20, 60)
        assert apply_restorer(network, image, **observed).shape[2] == 20 * network.scale
        with pytest.raises(SettingError, match="takes the whole image"):
            apply_restorer(network, image, tile=16, **observed)
        return
    image = torch.rand(1, network.channels, 20, 2 * network.receptive_radius + 3 * network.tile_multiple + 20)
    torch.testing.assert_close(apply_restorer(network, image, tile=24), apply_restorer(network, image), rtol=0, atol=1e-4)


@pytest.mark.parametrize("which", FAMILIES)
def test_names_of_a_family_in_other_shapes_are_refused_in_a_line(which, tmp_path):
    state, _, _ = FAMILIES[which]
    names = [name for name in state if name.endswith("weight") and "mean" not in name]
    for name in (names[len(names) // 2], names[-1]):
        for wrong in (None, torch.zeros(5, 1, 3, 3)):
            bad = {key: value for key, value in state.items() if key != name} | ({} if wrong is None else {name: wrong})
            torch.save(bad, tmp_path / "bad.pth")
            with pytest.raises(CheckpointError) as error:
                foreign.load(tmp_path / "bad.pth")
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(("which", "scale"), [("carn", 2), ("carn", 3), ("pan x2", 3), ("fsrcnn", 2)])
def test_one_of_several_enlargements_is_chosen(which, scale, tmp_path):
    state, formula, _ = FAMILIES[which]
    torch.save(dict(state), tmp_path / "theirs.pth")
    network, image = foreign.load(tmp_path / "theirs.pth", scale).network, torch.rand(1, 1 if which == "fsrcnn" else 3, 16, 16).double()
    assert network.scale == scale
    torch.testing.assert_close(network.double().restore(image).double(), formula(in_double(state), image, scale), rtol=1e-5, atol=1e-5)
    with pytest.raises(CheckpointError, match=f"it enlarges .*x{scale}.*, and not x7"):
        foreign.load(tmp_path / "theirs.pth", 7)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_enlargement_of_an_fsrcnn_shows_in_a_grey_surface(scale, tmp_path):
    torch.save(dict(upscalers.fsrcnn(scale=scale)), tmp_path / "theirs.pth")
    assert foreign.load(tmp_path / "theirs.pth").network.scale == scale


def test_an_fsrcnn_replaces_the_luma_of_an_enlarged_picture(tmp_path):
    torch.save(dict(upscalers.fsrcnn()), tmp_path / "theirs.pth")
    network, image = foreign.load(tmp_path / "theirs.pth").network, torch.rand(1, 3, 12, 14)
    output, enlarged = network.restore(image), resize(image, (36, 42))
    torch.testing.assert_close(luma(output), network.restore(luma(image)), rtol=0, atol=1e-5)
    torch.testing.assert_close(output - luma(output), enlarged - luma(enlarged), rtol=0, atol=1e-5)


def test_published_networks_have_their_published_numbers_of_parameters():
    """In thousands, by papers and reports; where these round further, by the shapes of the published files."""
    small = {"head_width": 10, "blocks": (6, 6, 6, 6), "hidden": 120, "upsampler": "direct", "scale": 4}
    published = [
        ("rfdn", 433, {}),
        ("rlfn", 317, {"width": 46, "middle": 48, "blocks": 4}),
        ("pan", 272, {}),
        ("safmn", 240, {}),
        ("swinir", 930, small),
        ("swinir", 11_900, {"upsampler": "shuffle", "scale": 4}),
        ("scunet", 17_946, {}),
        ("restormer", 26_127, {}),
        ("lama", 50_976, {}),
    ]
    for name, thousands, settings in published:
        with torch.device("meta"):
            network = MODELS[name](**settings).build()
        assert sum(p.numel() for p in network.parameters()) / 1000 == pytest.approx(thousands, abs=0.8), name


def test_a_file_is_imported_saved_and_restores_a_picture_in_a_new_process(tmp_path):
    """Every family by the commands that a person types; networks for colour, grey and holes."""
    Image.new("RGB", (24, 16), (90, 120, 60)).save(tmp_path / "in.png")
    mask = Image.new("L", (24, 16), 0)
    mask.paste(255, (8, 4, 14, 9))
    mask.save(tmp_path / "mask.png")
    imports, repairs = [], []
    families = {which: FAMILIES[which] for which in FAMILIES if " " not in which} | {"swinir x3": FAMILIES["swinir x3"]}
    for which, (state, _, settings) in families.items():
        torch.save(dict(state), tmp_path / f"{which}.pth")
        imports.append(["import", f"{which}.pth"])
        more = ["--mask", "mask.png"] if which == "lama" else ["--task", "upscale"] if settings["scale"] > 1 else []
        repairs.append(["restore", "in.png", "--model", f"{which}.safetensors", "--out", f"{which}.png", "--device", "cpu", *more])
    for commands in (imports, repairs):
        code = f"from sfumato.cli import main\nfor each in {commands!r}: main(each)"
        done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for which, (_, _, settings) in families.items():
        with Image.open(tmp_path / f"{which}.png") as picture:
            assert picture.size == (24 * settings["scale"], 16 * settings["scale"])

"""Holes of any size: thin ones to the network, wide ones to patches, by any kind of mask."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.classical.completion import patches_memory
from sfumato.cli import main
from sfumato.core import progress
from sfumato.core.errors import ImageError, SettingError
from sfumato.io import files
from sfumato.models import MODELS
from sfumato.restoration import repair as repairs
from sfumato.restoration.batch import repaired
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.plan import make_plan
from sfumato.restoration.repair import repair
from sfumato.restoration.request import RestorationRequest, request_facts

INPAINT = RestorationRequest(task="inpaint")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The bundled network for holes is a small one that adds a tenth to all that it sees."""
    net = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.zeros_(net.tail.weight)
    torch.nn.init.constant_(net.tail.bias, 0.1)
    monkeypatch.setattr(Networks, "opened", lambda self, which, views=1, **_: net)


def picture(h=64, w=80):
    return torch.from_numpy(RNG.integers(0, 200, (1, 3, h, w))).float() / 255


def line_and_box(h=64, w=80):
    observed = torch.ones(1, 1, h, w)
    observed[..., 4:7, :] = 0
    observed[..., 24:50, 20:50] = 0
    return observed


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(RNG.integers(0, 200, (60, 70, 3), dtype=np.uint8)).save(path)
    return path


def drawn(tmp_path, hole, name="mask.png"):
    Image.fromarray(hole.astype(np.uint8)).save(tmp_path / name)
    return tmp_path / name


def test_thin_holes_are_the_networks_and_wide_ones_are_patches():
    images, observed = picture(), line_and_box()
    plan = make_plan(INPAINT, images, observed=observed)
    assert plan.patches is not None
    assert plan.patches[..., 24:50, 20:50].mean() > 0.9
    assert plan.patches.sum() <= 26 * 30
    made = repaired(images, plan, INPAINT)
    line = made[..., 4:7, :]
    torch.testing.assert_close(line, images[..., 4:7, :] + 0.1)
    inner = made[..., 28:46, 24:46]
    assert (inner - images[..., 28:46, 24:46] - 0.1).abs().mean() > 0.05, "nothing of the network's"
    assert inner.std() > 0.1
    assert torch.equal(made[0][:, observed[0, 0] > 0], images[0][:, observed[0, 0] > 0])


def test_the_line_says_which_method_fills_how_much():
    observed = line_and_box()
    thin, wide = observed.clone(), observed.clone()
    thin[..., 10:, :], wide[..., :10, :] = 1, 1
    plans = {name: make_plan(INPAINT, picture(), observed=each) for name, each in (("both", observed), ("thin", thin), ("wide", wide))}
    assert plans["thin"].summary == "4.7% to fill in: inpaint"
    assert plans["thin"].patches is None
    assert plans["wide"].summary.startswith("15.2% to fill in: patches")
    assert plans["both"].summary == "19.9% to fill in: patches for 14.6%, inpaint for 5.3%"
    assert not any(plan.warning for plan in plans.values())


def test_a_hole_that_is_too_large_for_any_method_is_told():
    images, observed = picture(), torch.ones(1, 1, 64, 80)
    observed[..., 10:50, 20:70] = 0
    plan = make_plan(INPAINT, images, observed=observed)
    assert "38% of the picture" in plan.warning
    assert plan.warning in plan.summary
    with pytest.warns(UserWarning, match="38% of the picture"):
        made = sf.restore(images, task="inpaint", mask=1 - observed)
    assert made[..., 10:50, 20:70].std() > 0.1


def test_where_there_is_too_little_to_copy_the_network_fills_all():
    images, observed = picture(), torch.zeros(1, 1, 64, 80)
    observed[..., ::20, ::20] = 1
    plan = make_plan(INPAINT, images, observed=observed)
    assert plan.patches is None
    assert "too little of the picture is left to copy from" in plan.summary
    assert "patches for" not in plan.repair
    made = repaired(images, plan, INPAINT)
    hole = (observed == 0).expand_as(images)
    torch.testing.assert_close(made[hole], images[hole] + 0.1)


def test_a_model_of_ones_own_and_a_method_fill_all():
    images, observed = picture(), line_and_box()
    for how in ({"model": MODELS["gated"](width=4, middle=1).build()}, {"method": "laplace"}, {"method": "patches"}):
        plan = make_plan(dataclasses.replace(INPAINT, **how), images, observed=observed)
        assert plan.patches is None
    made = repaired(images, plan, dataclasses.replace(INPAINT, method="patches"))
    assert torch.equal(made[0][:, observed[0, 0] > 0], images[0][:, observed[0, 0] > 0])


def test_soft_edges_growing_and_turning_round(tmp_path, photo):
    hole = np.zeros((60, 70))
    hole[20:26, 30:40] = 255
    soft = hole.copy()
    soft[19, 30:40] = 40
    asked = {
        "plain": (hole, {}, hole > 0),
        "soft": (soft, {}, soft > 0),
        "grown": (hole, {"grow_mask": 2}, np.pad(np.ones((10, 14), bool), ((18, 32), (28, 28)))),
        "inverted": (255 - hole, {"invert_mask": True}, hole > 0),
        "ones": (hole / 255, {}, hole > 0),
    }
    before = files.read(photo).pixels
    with progress.heard(lambda _: None):
        for name, (mask, how, where) in asked.items():
            request = dataclasses.replace(INPAINT, **how)
            repair(photo, tmp_path / f"{name}-out.png", request, mask=drawn(tmp_path, mask))
            changed = (files.read(tmp_path / f"{name}-out.png").pixels != before).any(dim=-1)
            assert np.array_equal(changed.numpy(), where), name
            with Image.open(photo) as image:
                made = np.asarray(sf.restore(image, task="inpaint", mask=drawn(tmp_path, mask), **how))
            assert np.array_equal((made != before.numpy()).any(-1), where), name
            tensor = torch.from_numpy(mask.astype(np.uint8))
            made = sf.restore(before.permute(2, 0, 1)[None] / 255, task="inpaint", mask=tensor, **how)
            assert np.array_equal((made[0] != before.permute(2, 0, 1) / 255).any(dim=0).numpy(), where), name


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_pictures_own_opacity_is_a_mask(tmp_path, monkeypatch, mode, strips):
    if strips:
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
        monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    pixels = RNG.integers(0, 200, (60, 70, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[20:30, 30:40, 3] = 0
    pixels[30, 30:40, 3] = 200
    image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "clear.png")
    (entry,) = restore_pictures([tmp_path / "clear.png"], tmp_path / "out", INPAINT, mask=Path("alpha"))
    assert entry.status == "done", entry.message
    made, opaque = files.read(tmp_path / "out" / "clear.png"), image.convert("RGB" if mode == "RGBA" else "L")
    assert made.alpha is None
    before = np.asarray(opaque).reshape(60, 70, -1)
    changed = (made.pixels.numpy() != before).any(-1)
    assert not changed[pixels[..., 3] == 255].any()
    assert changed[pixels[..., 3] < 255].mean() > 0.9
    if not strips:
        again = sf.restore(image, task="inpaint", mask="alpha")
        assert again.mode == opaque.mode
        assert np.array_equal(np.asarray(again).reshape(before.shape), made.pixels.numpy())


@pytest.mark.parametrize("channels", [2, 4])
def test_opacity_is_a_mask_in_every_kind_of_picture_that_has_it(tmp_path, channels):
    pixels = RNG.integers(0, 200, (24, 30, channels), dtype=np.uint8)
    pixels[..., -1] = 255
    pixels[10:14, 8:12, -1] = 0
    path = tmp_path / "clear.png"
    image = Image.fromarray(pixels)
    image.save(path)
    kinds = {"image": image, "path": path, "bytes": path.read_bytes(), "array": pixels, "floats": (pixels / 255).astype(np.float32)}
    kinds["picture"] = files.read(path)
    hole = pixels[..., -1] == 0
    for kind, given in kinds.items():
        output = sf.restore(given, task="inpaint", mask="alpha")
        plain = output.pixels.numpy() if kind == "picture" else np.asarray(output)
        plain = np.round(plain * 255) if kind == "floats" else plain
        changed = (plain.reshape(24, 30, -1) != pixels[..., :-1]).any(axis=-1)
        assert np.array_equal(changed, hole), kind
        assert type(output) is type(sf.restore(given, task="inpaint", mask="alpha", grow_mask=1))


@pytest.mark.parametrize("strips", [False, True])
def test_masks_that_cannot_be_are_told(tmp_path, photo, monkeypatch, strips):
    if strips:
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
        monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    (entry,) = restore_pictures([photo], tmp_path / "out", INPAINT, mask=Path("alpha"))
    assert entry.status == "failed"
    assert "no opacity" in entry.message
    monkeypatch.undo()
    with Image.open(photo) as image, pytest.raises(ImageError, match="no opacity"):
        sf.restore(image, mask="alpha")
    with pytest.raises(ImageError, match="the tensor: has no opacity"):
        sf.restore(picture(), mask="alpha")
    for how, says in (({"grow_mask": 3}, "grow_mask = 3"), ({"invert_mask": True}, "invert_mask")):
        with pytest.raises(SettingError, match=f"{says} has no effect without a mask"):
            sf.restore(picture(), **how)
        with pytest.raises(SettingError, match="without a mask"):
            restore_pictures([photo], tmp_path / "out", RestorationRequest(**how))
    with pytest.raises(SettingError, match="grow_mask = -1"):
        sf.restore(picture(), grow_mask=-1, mask=torch.eye(64))


def test_strips_read_masks_as_the_whole_does_and_say_what_they_cannot(tmp_path, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    Image.fromarray(RNG.integers(0, 200, (600, 90), dtype=np.uint8)).save(tmp_path / "tall.png")
    thin = np.zeros((600, 90))
    thin[250:255, 10:80], thin[511:513, 5:20], thin[256, 30] = 1, 1, 1
    said = []
    with progress.heard(lambda _: None, remark=said.append):
        for name, mask in (("thin", thin), ("other", 1 - thin)):
            request = dataclasses.replace(INPAINT, grow_mask=1, invert_mask=name == "other", tile=128)
            where = drawn(tmp_path, mask, f"{name}.png")
            repair(tmp_path / "tall.png", tmp_path / "whole.png", request, mask=where)
            with monkeypatch.context() as patch:
                patch.setattr(repairs, "_WHOLE", 1e9)
                repair(tmp_path / "tall.png", tmp_path / "strips.png", request, mask=where)
            assert torch.equal(files.read(tmp_path / "whole.png").pixels, files.read(tmp_path / "strips.png").pixels)
        assert not any("strip by strip" in each for each in said)
        thin[240:270, 30:60] = 1
        monkeypatch.setattr(repairs, "_WHOLE", 1e9)
        repair(tmp_path / "tall.png", tmp_path / "strips.png", INPAINT, mask=drawn(tmp_path, thin))
    assert any("strip by strip" in each for each in said)


def test_manifests_from_before_there_were_these_options_are_still_good():
    plain = request_facts(INPAINT)
    assert not {"grow_mask", "invert_mask", "alpha_mask"} & set(plain)
    for how in ({"grow_mask": 2}, {"invert_mask": True}, {"alpha_mask": True}):
        assert request_facts(dataclasses.replace(INPAINT, **how)) == plain | how


def test_the_options_of_the_command_reach_the_mask(tmp_path, photo):
    with Image.open(photo) as image:
        pixels = np.dstack([np.asarray(image), np.full((60, 70), 255, np.uint8)])
    pixels[10:14, 20:30, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    dark = np.full((60, 70), 255)
    dark[10:14, 20:30] = 0
    mask = drawn(tmp_path, dark)
    for options, where in (
        (["clear.png", "--mask", "alpha"], (slice(10, 14), slice(20, 30))),
        (["clear.png", "--mask", "alpha", "--grow-mask", "1"], (slice(9, 15), slice(19, 31))),
        (["photo.png", "--mask", str(mask), "--invert-mask", "--grow-mask", "2"], (slice(8, 16), slice(18, 32))),
    ):
        out = tmp_path / "out.png"
        main(["restore", str(tmp_path / options[0]), *options[1:], "--out", str(out), "--overwrite"])
        with Image.open(out) as image:
            assert image.mode == "RGB"
            changed = (np.asarray(image) != pixels[..., :3]).any(-1)
        expected = np.zeros_like(changed)
        expected[where] = True
        assert np.array_equal(changed, expected), options


def test_patches_that_do_not_fit_into_the_memory_are_left_to_the_network():
    images, observed = picture(), line_and_box()
    need = patches_memory(observed[0, 0, :, :] < 0.5, observed[0, 0] > 0.5)
    held = BASE + 12 * images.numel()
    assert make_plan(dataclasses.replace(INPAINT, memory=held + need), images, observed=observed).patches is not None
    plan = make_plan(dataclasses.replace(INPAINT, memory=held + need / 2), images, observed=observed)
    assert plan.patches is None
    assert plan.network is not None
    assert plan.summary.endswith("patches for its large holes take 0.1GB more --memory, so the network fills these, too")


def test_the_memory_of_patches_is_that_of_the_largest_hole():
    hole = torch.zeros(600, 600, dtype=torch.bool)
    hole[10:20, 10:20] = True
    one = patches_memory(hole, ~hole)
    hole[300:310, 400:410] = True
    assert patches_memory(hole, ~hole) == pytest.approx(one, rel=0.3)
    hole[300:400, 400:500] = True
    assert patches_memory(hole, ~hole) > 1.3 * one

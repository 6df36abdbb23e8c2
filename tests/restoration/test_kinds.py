"""Pictures of every kind through a restorer that halves them: tensors, PIL images and small files."""

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import ImageError
from sfumato.io import inputs
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.repair import repair
from sfumato.restoration.request import RestorationRequest

VALUES = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


def halved(pixels):
    return np.round(pixels / 2 - 1e-6).astype(pixels.dtype)


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (3, 8, 9)])
def test_a_tensor_keeps_its_shape(restorer, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    output = sf.restore(images, restorer(channels=3), task="denoise")
    assert torch.allclose(output, images / 2, atol=1e-6)


def test_masks_are_one_for_all_or_one_for_each(restorer):
    images, network = torch.rand(2, 1, 8, 8), restorer()
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, :4], masks[1, :, 4:] = 1, 1
    for mask in (masks, masks[:1], masks[0, 0], masks[0]):
        output = sf.restore(images, network, mask=mask)
        changed = (output != images).flatten(1, 2)
        expected = (masks if len(mask) == 2 else masks[:1].expand(2, -1, -1, -1)).flatten(1, 2) > 0.5
        assert torch.equal(changed, expected)
    with pytest.raises(ImageError, match="2 masks for 3 images"):
        sf.restore(torch.rand(3, 1, 8, 8), network, mask=masks)
    for shape in ((8,), (1, 1, 1, 8, 8)):
        with pytest.raises(ImageError, match="a mask of shape"):
            sf.restore(images, network, mask=torch.ones(shape))


@pytest.mark.parametrize(("value", "allowed"), [(8.0, True), (8.1, False), (-8.1, False)])
def test_numbers_far_outside_are_refused(restorer, value, allowed):
    images = torch.full((1, 1, 8, 8), value)
    if allowed:
        assert sf.restore(images, restorer(), task="denoise").shape == images.shape
    else:
        with pytest.raises(ImageError, match=r"holds numbers up to 8\.1"):
            sf.restore(images, restorer(), task="denoise")


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_an_image_keeps_its_mode_and_opacity(restorer, mode):
    pixels = {"L": VALUES[..., 0], "RGB": VALUES[..., :3], "LA": VALUES[..., 2:], "RGBA": VALUES}[mode].copy()
    if "A" in mode:
        pixels[..., -1] = np.maximum(pixels[..., -1], 1)
    output = sf.restore(Image.fromarray(pixels), restorer(channels=1), task="denoise")
    assert output.mode == mode
    colours = pixels[..., :-1] if "A" in mode else pixels
    result = np.asarray(output)
    assert np.abs((result[..., :-1] if "A" in mode else result).astype(int) - halved(colours)).max() <= 1
    if "A" in mode:
        assert np.array_equal(result[..., -1], pixels[..., -1])


def test_opacity_grows_with_the_picture(restorer):
    pixels = np.maximum(VALUES, 1)
    output = sf.restore(Image.fromarray(pixels), restorer(channels=3, scale=2), task="upscale")
    assert (output.mode, output.size) == ("RGBA", (14, 18))


def test_sixteen_bits_stay_sixteen(restorer):
    pixels = np.arange(63, dtype=np.uint16).reshape(9, 7) * 1000
    output = sf.restore(Image.fromarray(pixels), restorer(), task="denoise")
    assert output.mode == "I;16"
    assert np.abs(np.asarray(output).astype(int) - pixels // 2).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_samples_of_fewer_bits_count_over_their_own_range_in_every_kind(bits, tmp_path):
    rng, white = np.random.default_rng(0), 2**bits - 1
    clean = np.linspace(0.2, 0.9, 64)[:, None] * np.linspace(0.5, 1, 80)
    pixels = ((clean + 0.08 * rng.standard_normal(clean.shape)).clip(0, 1) * white).round().astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "scan.tif")
    repair(tmp_path / "scan.tif", tmp_path / "out.tif", RestorationRequest())
    expected = np.asarray(Image.open(tmp_path / "out.tif"))
    assert white / 2 < expected.max() <= white
    for kind in (tmp_path / "scan.tif", (tmp_path / "scan.tif").read_bytes(), Image.fromarray(pixels), pixels, pixels[..., None]):
        output = sf.restore(kind)
        assert output.plans[0].damage.startswith("noise of ")
        assert np.array_equal(np.asarray(output).reshape(64, 80), expected)


def test_pictures_that_are_compared_keep_one_range():
    dark = np.random.default_rng(0).integers(0, 16000, (40, 40)).astype(np.uint16)
    psnr, *_ = sf.evaluate_pairs([dark + np.uint16(800)], [dark])
    assert psnr.value == pytest.approx(10 * np.log10(65535**2 / 800**2), abs=0.1)


def test_the_quality_of_a_jpeg_counts_until_its_pixels_are_read(tmp_path):
    Image.fromarray(VALUES[..., :3]).save(tmp_path / "a.jpg", quality=30)
    Image.fromarray(VALUES[..., :3]).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.jpg") as image:
        assert inputs._jpeg_quality(image) == 30
        image.load()
        assert inputs._jpeg_quality(image) is None
    with Image.open(tmp_path / "a.png") as image:
        assert inputs._jpeg_quality(image) is None
    picture = inputs.convert(tmp_path / "a.jpg", lossless=True)
    assert (picture.images.shape[2:], picture.quality) == ((9, 7), 30)
    assert inputs.convert(tmp_path / "a.png", lossless=True).quality is None
    assert inputs._jpeg_quality(Image.new("L", (4, 4))) is None


def test_small_files_are_done_in_their_order(restorer, tmp_path):
    for i, (h, w) in enumerate([(8, 8), (9, 7), (8, 8)]):
        Image.fromarray(np.full((h, w, 3), 40 * i + 40, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "1b.png").write_bytes((tmp_path / "1.png").read_bytes()[:45])
    calls = []
    request = RestorationRequest(task="denoise", model=restorer(channels=3))
    entries = restore_pictures([tmp_path], tmp_path / "out", request, on_progress=lambda *each: calls.append(each))
    assert [(entry.source.rpartition("/")[2], entry.status) for entry in entries] == [
        ("0.png", "done"),
        ("1.png", "done"),
        ("1b.png", "failed"),
        ("2.png", "done"),
    ]
    assert [(entry, number, count) for entry, number, count in calls] == [(entry, i, 4) for i, entry in enumerate(entries, 1)]
    for i in range(3):
        assert np.asarray(Image.open(tmp_path / "out" / f"{i}.png")).max() == 20 * i + 20


def test_one_file_becomes_another(restorer, tmp_path):
    Image.fromarray(VALUES[..., :3]).save(tmp_path / "a.png")
    plan = repair(tmp_path / "a.png", tmp_path / "b.png", RestorationRequest(task="denoise", model=restorer(channels=3)))
    assert plan.summary == "denoise: OneConvolution"
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - halved(VALUES[..., :3])).max() <= 1

"""The verb in Python: each kind of picture comes back as that kind, and each is looked at for itself."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import ImageError, SettingError
from sfumato.io.files import Picture, save_animation, write
from sfumato.models import MODELS
from sfumato.restoration.plan import make_plan
from sfumato.restoration.restore import RestoreOptions
from sfumato.restoration.tiles import apply_restorer


@pytest.fixture
def brighter():
    """A network that adds a tenth."""
    net = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.zeros_(net.tail.weight)
    torch.nn.init.constant_(net.tail.bias, 0.1)
    return net


def test_a_type_checker_knows_every_argument():
    """The overloads take their arguments from a `TypedDict`, which was once without `quality`."""
    arguments = {p.name: p.annotation for p in inspect.signature(sf.restore).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert RestoreOptions.__annotations__ == arguments


def test_a_tensor_comes_back_as_a_tensor(brighter):
    images = torch.rand(2, 3, 20, 24) * 0.8
    torch.testing.assert_close(sf.restore(images, brighter, task="denoise"), images + 0.1)
    torch.testing.assert_close(sf.restore(images[0], brighter, task="denoise"), images[0] + 0.1)


def test_opacity_that_is_multiplied_in_comes_back_beside(brighter):
    image = Image.fromarray(np.random.default_rng(0).integers(100, 200, (18, 22, 2), dtype=np.uint8), "LA")
    assert sf.restore(image.convert("La"), brighter, task="denoise").mode == "LA"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_picture_comes_back_as_a_picture(mode, brighter, tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(20, 200, (18, 22, 3), dtype=np.uint8)).convert(mode)
    image.save(tmp_path / "a.png")
    for source in (image, tmp_path / "a.png", str(tmp_path / "a.png")):
        made = sf.restore(source, brighter, task="denoise")
        assert (made.mode, made.size) == ("RGB" if mode == "P" else mode, image.size)
    change = np.asarray(made.convert("RGB"), int) - np.asarray(image.convert("RGB"), int)
    assert change.mean() == pytest.approx(25.5, abs=1)


def test_an_image_that_lies_on_its_side_stands_up_and_keeps_what_is_said_of_it(brighter, tmp_path):
    image, exif = Image.fromarray(np.random.default_rng(0).integers(20, 200, (18, 22, 3), dtype=np.uint8)), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    image.save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300), quality=98)
    with Image.open(tmp_path / "a.jpg") as opened:
        for source in (opened, tmp_path / "a.jpg"):
            made = sf.restore(source, brighter, task="denoise")
            assert made.size == (18, 22)
            made.save(tmp_path / "b.jpg", exif=made.info["exif"], dpi=made.info["dpi"])
            with Image.open(tmp_path / "b.jpg") as saved:
                assert saved.info["dpi"] == (300, 300)
                assert saved.getexif()[0x010E] == "a description"
                assert 0x0112 not in saved.getexif()


def test_colours_that_nobody_sees_do_not_bleed_here_either(tmp_path):
    torch.manual_seed(0)
    network = MODELS["gated"](width=4, middle=1, residual=False).build().eval()
    seen = np.random.default_rng(0).integers(100, 160, (24, 40, 4), dtype=np.uint8)
    seen[..., 3] = 255 * (np.arange(40) < 20)
    made = []
    for under in (0, 255):
        seen[:, 20:, :3] = under
        made.append(np.asarray(sf.restore(Image.fromarray(seen), network, task="denoise")))
        assert (made[-1][:, 20:, :3] == under).all()
    assert (made[0][:, :20] == made[1][:, :20]).all()


def test_a_picture_may_be_seen_in_eight_ways():
    torch.manual_seed(0)
    network = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    images = torch.rand(1, 3, 20, 26)
    made = sf.restore(images, network, task="denoise", ensemble=8)
    torch.testing.assert_close(made, apply_restorer(network.self_ensemble(8), images))
    assert not torch.allclose(made, sf.restore(images, network, task="denoise"))


def test_what_no_pil_image_can_hold_is_refused(tmp_path, brighter):
    pixels = torch.randint(0, 65536, (9, 7, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint16)
    write(tmp_path / "deep.png", Picture(pixels=pixels))
    with pytest.raises(ImageError, match="no PIL image holds 16 bits of colour"):
        sf.restore(tmp_path / "deep.png", brighter)
    Image.fromarray(np.arange(0, 20000, 100, dtype=np.uint16).reshape(10, 20)).save(tmp_path / "clear.png", transparency=300)
    with Image.open(tmp_path / "clear.png") as opened:
        for source in (tmp_path / "clear.png", opened):
            with pytest.raises(ImageError, match="no PIL image holds 16 bits and opacity"):
                sf.restore(source, brighter, task="denoise")
    save_animation(tmp_path / "moving.gif", [torch.full((9, 7, 3), i * 90, dtype=torch.uint8) for i in range(3)], fps=10)
    with pytest.raises(ImageError, match="3 frames"):
        sf.restore(tmp_path / "moving.gif", brighter)


@pytest.mark.parametrize(("value", "says"), [(float("nan"), "NaN or infinite"), (float("inf"), "NaN or infinite"), (200.0, "up to 200")])
def test_numbers_that_are_no_image_are_refused(value, says):
    images = torch.full((1, 1, 24, 24), 0.5)
    images[0, 0, 3, 4] = value
    with pytest.raises(ImageError, match=says):
        sf.restore(images)


@pytest.mark.parametrize("method", ["wiener", "non-local-means"])
def test_a_method_is_told_some_noise_where_none_is_found(method):
    images = torch.full((1, 1, 40, 40), 0.5)
    blur = "gaussian:2" if method == "wiener" else None
    made = sf.restore(images, method=method, blur=blur)
    torch.testing.assert_close(made, images, atol=1e-3, rtol=0)


def test_only_what_is_masked_changes(brighter):
    image, mask = torch.full((1, 3, 16, 16), 0.5), torch.zeros(16, 16)
    mask[2:5, 3:9] = 1
    for one in (mask, Image.fromarray((mask.numpy() * 255).astype(np.uint8))):
        made = sf.restore(image, brighter, mask=one)
        assert torch.equal(made[0, 0] != 0.5, mask > 0)


def test_each_mask_is_looked_at_for_itself(brighter):
    images, masks = torch.full((2, 3, 16, 16), 0.5), torch.zeros(2, 1, 16, 16)
    masks[0, 0, 2:5, 3:9] = 1
    for level, says in ((0, "mask 2 of 2: the mask is black everywhere"), (1, "mask 2 of 2: the mask is white everywhere")):
        masks[1] = level
        with pytest.raises(ImageError, match=says):
            sf.restore(images, brighter, mask=masks)
    masks[1, 0, 8:] = 0
    assert torch.equal(sf.restore(images, brighter, mask=masks)[:, :1] != 0.5, masks > 0)


def test_a_profile_of_other_colours_is_not_kept(brighter):
    image = Image.new("CMYK", (20, 18), (90, 40, 10, 60))
    image.info |= {"icc_profile": b"of inks", "dpi": (300, 300)}
    made = sf.restore(image, brighter, task="denoise")
    assert (made.mode, made.info) == ("RGB", {"dpi": (300, 300)})


def test_the_quality_of_a_jpeg_is_believed_only_of_the_pixels_as_they_were_read(tmp_path, brighter, monkeypatch):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg", quality=30)
    told = []

    def seen(*given, quality=None, **how):
        told.append(quality)
        return make_plan(*given, quality=quality, **how)

    monkeypatch.setattr("sfumato.restoration.restore.make_plan", seen)
    for change, *how in (["getbands"], ["draft", None, (32, 32)], ["thumbnail", (32, 32)], ["load"]):
        with Image.open(tmp_path / "a.jpg") as image:
            getattr(image, change)(*how)
            sf.restore(image, brighter, task="denoise")
    sf.restore(tmp_path / "a.jpg", brighter, task="denoise")
    assert told == [30, None, None, None, 30]


def test_each_picture_is_looked_at_for_itself():
    """A clean one is left as it is; beside it, a noisy one is not."""
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 1, 64, 64).contiguous()
    noisy = ramp + 0.1 * torch.randn(ramp.shape, generator=torch.Generator().manual_seed(0))
    made = sf.restore(torch.cat([ramp, noisy]))
    assert torch.equal(made[:1], ramp)
    assert (made[1] - ramp[0]).abs().mean() < 0.3 * (noisy - ramp).abs().mean()


def test_what_cannot_be_is_told(brighter):
    with pytest.raises(ImageError, match="is not images"):
        sf.restore(torch.zeros(4, 4), brighter)
    with pytest.raises(ImageError, match="the mask is 8 x 8 pixels, the picture 16 x 16"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, mask=torch.eye(8))
    with pytest.raises(ImageError, match="the mask is white everywhere"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, mask=torch.ones(16, 16))
    with pytest.raises(ImageError, match="the mask is black everywhere"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, mask=torch.zeros(16, 16))
    with pytest.raises(SettingError, match="has no use for the task deblur"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, mask=torch.eye(16), task="deblur")
    with pytest.raises(SettingError, match="less than torch itself needs"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, memory=1e6)
    with pytest.raises(ImageError, match=r"deep-image-prior would take 17\.9GB; give more --memory"):
        sf.restore(torch.full((1, 3, 1200, 1200), 0.5), task="denoise", method="deep-image-prior")


@pytest.mark.parametrize("shape", [(0, 3, 16, 16), (1, 3, 0, 16), (3, 16, 0)])
def test_what_has_no_pixels_is_told(shape, brighter):
    with pytest.raises(ImageError, match="has no pixels"):
        sf.restore(torch.zeros(shape), brighter)
    with pytest.raises(ImageError, match="has no pixels"):
        sf.restore(Image.new("RGB", (shape[-1], 0)), brighter)
    with pytest.raises(ImageError, match="a mask of shape"):
        sf.restore(torch.zeros(1, 3, 16, 16), brighter, mask=torch.zeros(shape))


def test_what_is_none_of_the_choices_is_told():
    """In a process of its own: here types are checked before our own code is asked."""
    program = """
import torch, sfumato as sf
from sfumato.core.errors import SettingError
for wrong in ({"find": "scratches"}, {"find": ("rust",)}, {"task": "denoising"}, {"precision": "fp16"}, {"ensemble": 2}):
    try:
        sf.restore(torch.rand(1, 3, 16, 16), method="median", **wrong)
    except SettingError as error:
        print(error)
"""
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert made.stdout.splitlines() == [
        "find = 'scratches' is one text; give several, as in find=('scratches',)",
        "find = 'rust' is none of scratches, dead-pixels, dust",
        "task = 'denoising' is none of auto, denoise, deblur, inpaint, upscale, jpeg",
        "precision = 'fp16' is none of auto, fp32, bf16",
        "ensemble = 2 is none of 1, 4, 8",
    ]


def test_a_jpeg_may_number_its_only_table_as_it_likes(tmp_path):
    grey = torch.randint(60, 200, (40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8).numpy()
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=50)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[content.index(b"\xff\xdb") + 4] = 1  # the table's number, and the one that the only component asks for
    content[content.index(b"\xff\xc0") + 12] = 1
    (tmp_path / "b.jpg").write_bytes(content)
    with Image.open(tmp_path / "a.jpg") as a, Image.open(tmp_path / "b.jpg") as b:
        assert list(b.quantization) == [1]
        made = [sf.restore(image, method="median", task="denoise") for image in (a, b)]
    assert made[0].tobytes() == made[1].tobytes()


@pytest.mark.parametrize("kind", ["path", "image", "tensor"])
def test_a_picture_that_takes_more_than_the_memory_is_refused_undecoded(kind, brighter, tmp_path, monkeypatch):
    """As the command does: 1,000 x 1,000 pixels take 0.72 GB."""
    Image.new("RGB", (1000, 1000), (90, 120, 60)).save(tmp_path / "large.png")
    monkeypatch.setattr("sfumato.io.decode.upright", lambda _: pytest.fail("it was decoded"))
    with Image.open(tmp_path / "large.png") as image:
        source = {"path": tmp_path / "large.png", "image": image, "tensor": torch.rand(1, 3, 1000, 1000)}[kind]
        with pytest.raises(ImageError, match=r"1\.0 megapixels take 0\.7 GB, more than memory = 0\.7 GB"):
            sf.restore(source, brighter, task="denoise", memory=7e8)
        monkeypatch.setattr("sfumato.core.device.physical_memory", lambda: 8.75e8)
        with pytest.raises(ImageError, match="megapixels take"):
            sf.restore(source, brighter, task="denoise")

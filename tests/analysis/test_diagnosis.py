"""Estimates of what is wrong with a picture: near the truth, growing with the damage, and silent where nothing can be told."""

import io
import itertools
import math

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sfumato.analysis import diagnose as job
from sfumato.analysis import flaws
from sfumato.analysis.blur import blur_level
from sfumato.analysis.diagnose import Diagnosis, Source, diagnose
from sfumato.analysis.jpeg import grid, tables_quality
from sfumato.analysis.noise import noise_level
from sfumato.analysis.spread import likeliest
from sfumato.classical import fill
from sfumato.core.errors import ImageError
from sfumato.data.drawings import drawings
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.metrics.fidelity import psnr
from sfumato.nn.resample import shrink

GREY = torch.from_numpy(skimage.data.camera()[60:316, 100:356].copy())[None, None] / 255
COLOUR = torch.from_numpy(skimage.data.astronaut()[:240, 100:340].copy()).permute(2, 0, 1)[None].contiguous() / 255
PHOTOS = pytest.mark.parametrize("photo", [GREY, COLOUR], ids=["grey", "colour"])


def damaged(photo, name, *, seed=0, **settings):
    """As an 8-bit file would have it."""
    seen = degrade(DEGRADATIONS[name](**settings), photo, rng=torch.Generator().manual_seed(seed)).images
    return (seen.clamp(0, 1) * 255).round() / 255


@PHOTOS
def test_noise_is_near_the_truth(photo):
    assert noise_level(photo) < 2.5 / 255
    for sigma in (5 / 255, 15 / 255, 25 / 255, 50 / 255):
        assert noise_level(damaged(photo, "noise", sigma=(sigma, sigma))) == pytest.approx(sigma, rel=0.12)


def test_noise_on_white_or_black_paper_is_near_the_truth():
    """Half of it is cut off, and letters are no noise."""
    pages = [p[None] / 255 for p in drawings(31, channels=1).pictures[::6]]
    page = next(p for p in pages if p.median() == 1)
    assert noise_level(page) in (None, 0.0)
    for paper in (page, 1 - page):
        for sigma in (3 / 255, 10 / 255, 25 / 255):
            assert noise_level(damaged(paper, "noise", sigma=(sigma, sigma))) == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_drawn_is_left_as_it_is(channels):
    """Pages, screens, outlines, mosaics and ramps: of 24, what a single pixel of text looks like may mislead in two."""
    ill = []
    for number, picture in enumerate(drawings(24, channels=channels, first=200).pictures):
        found = diagnose(picture[None] / 255)
        assert found.noise is None or found.noise < 4 / 255
        if found.task != "none":
            ill.append((number, found.sentence()))
    assert len(ill) <= 2, ill


def test_a_ramp_has_not_been_a_jpeg():
    for ramp in (torch.linspace(0, 1, 256).expand(256, 256), torch.linspace(0, 1, 256)[:, None].expand(256, 256)):
        assert grid((ramp[None, None] * 255).round() / 255) is None


@PHOTOS
def test_salt_and_pepper_is_near_the_truth(photo):
    assert flaws.density(photo) < 0.001
    for share in (0.01, 0.1, 0.3, 0.7):
        assert flaws.density(damaged(photo, "impulse", density=(share, share))) == pytest.approx(share, rel=0.12)
    each = damaged(photo, "impulse", density=(0.1, 0.1), together=False)
    assert flaws.density(each) == pytest.approx(0.1, rel=0.12)


def test_what_is_black_or_white_for_good_reason_is_no_salt_and_pepper():
    framed = GREY.clone()
    framed[:, :, :20], framed[:, :, :, -30:], framed[:, :, 100:160, 40:150] = 0, 1, 1
    assert flaws.density(framed) < 0.001
    assert flaws.density((2 * GREY).clamp(0, 1)) < 0.002, "an overexposed sky"
    assert flaws.density(damaged(GREY, "noise", sigma=(0.2, 0.2))) < 0.002, "strong noise that was cut off"
    letters = damaged(torch.full((1, 1, 160, 160), 0.5), "missing", kind="text", share=(0.1, 0.1), thickness=(0.03, 0.06))
    assert flaws.density(letters) < 0.02
    hit = damaged(framed, "impulse", density=(0.2, 0.2))
    assert flaws.density(hit) == pytest.approx(0.2, rel=0.12)


def test_wrong_pixels_are_found_and_can_be_filled():
    hit = damaged(GREY, "impulse", density=(0.3, 0.3))
    known = flaws.impulses(hit)
    assert psnr(fill.laplace(hit, observed=known), GREY) > psnr(hit, GREY) + 15
    dead = COLOUR.clone()
    places = torch.arange(12, 230, 24)
    dead[:, 1, places, places] = 1 - dead[:, 1, places, places].round()
    known = flaws.impulses(dead)
    assert known.shape == (1, 1, 240, 240)
    assert (known[0, 0, places, places] == 0).float().mean() > 0.8
    assert (known == 0).float().mean() < 0.005
    each = flaws.impulses(dead, each=True)
    assert each.shape == COLOUR.shape
    assert torch.equal(each.amin(dim=1, keepdim=True), known)


def scratched(photo, value):
    """Two scratches of two pixels, upright and askew."""
    seen = photo.clone()
    seen[:, :, 10:240, 60:62] = value
    for i in range(200):
        seen[:, :, 20 + i, 100 + i // 2 : 102 + i // 2] = value
    return seen


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scratches_are_found(value):
    slope = (torch.linspace(0.2, 0.4, 256)[:, None] + torch.linspace(0, 0.3, 256))[None, None]
    truth = scratched(torch.zeros_like(slope), 1.0) > 0
    smooth = damaged(slope, "noise", sigma=(0.01, 0.01))
    known = flaws.scratches(scratched(smooth, value))
    assert (known[truth] == 0).float().mean() > 0.9
    assert (known == 0).float().sum() < 3 * truth.sum()
    assert (flaws.scratches(smooth) == 0).sum() == 0
    found = diagnose(scratched(smooth, value), scratches=True)
    assert found.scratched > 0.01
    assert "scratches on" in found.sentence()
    assert found.task == "inpaint"


def test_scratches_are_found_in_a_photograph_and_little_else():
    assert (flaws.scratches(GREY) == 0).float().mean() < 0.005
    assert (flaws.scratches(scratched(GREY, 1.0))[:, :, 10:240, 60:62] == 0).float().mean() > 0.7


@PHOTOS
def test_the_quality_of_a_jpeg_is_read_from_its_pixels(photo):
    assert grid(photo) is None or grid(photo).quality > 90
    for quality in (10, 40, 75, 90):
        found = grid(damaged(photo, "jpeg", quality=(quality, quality)))
        assert found is not None
        assert found.quality == pytest.approx(quality, abs=3)
        assert found.offset == (0, 0)


def test_a_grid_that_was_cropped_is_found():
    found = grid(damaged(GREY, "jpeg", quality=(30, 30))[:, :, 3:, 6:])
    assert found is not None
    assert found.offset == (5, 2)
    assert found.quality == pytest.approx(30, abs=2)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality, tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (20, 20), "grey").save(path, quality=quality)
    told = job.source(path)
    assert tables_quality(told.tables) == quality
    assert diagnose(torch.rand(1, 3, 20, 20), source=told).quality == quality
    assert diagnose(torch.rand(1, 3, 20, 20), source=Source(quality=33)).quality == 33


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("quality", "task"), [(10, "jpeg"), (60, "jpeg"), (80, "jpeg"), (81, "none")])
def test_a_jpeg_is_repaired_where_that_brings_more_than_it_takes(quality, channels, task):
    found = diagnose(torch.full((1, channels, 32, 32), 0.5), source=Source(quality=quality))
    assert found.quality == quality
    assert found.task == task


def test_other_files_have_no_tables(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert job.source(tmp_path / "a.png") == Source()
    for tables in ((), ((1, 2, 3),)):
        with pytest.raises(ImageError, match="quantisation table"):
            tables_quality(tables)


@PHOTOS
def test_blur_is_near_the_truth(photo):
    levels = [blur_level(damaged(photo, "gaussian_blur", sigma=(s, s)) if s else photo, noise=0.002) for s in (0, 1, 1.6, 2.5, 4)]
    assert levels == sorted(levels)
    assert levels[0] < 0.8
    for level, truth in zip(levels[2:], (1.6, 2.5, 4), strict=True):
        assert level == pytest.approx(truth, rel=0.25)


BLURS = {
    "gaussian": ("gaussian_blur", {"sigma": (1.6, 1.6)}),
    "defocus": ("defocus", {"radius": (2.5, 2.5)}),
    "motion": ("motion", {"length": (9.0, 9.0), "angle": (30.0, 30.0)}),
}
TOLD = {"gaussian": (1.6, 0.3), "defocus": (2.5, 0.2), "motion": (9.0, 1.0)}


@pytest.mark.parametrize("kind", BLURS)
@PHOTOS
def test_which_blur_it_is_is_seen(photo, kind):
    name, settings = BLURS[kind]
    noisy = damaged(damaged(photo, name, **settings), "noise", sigma=(0.008, 0.008))
    found = diagnose(noisy)
    assert found.task == "deblur"
    assert found.spread is not None
    assert found.spread.kind == kind
    size, near = TOLD[kind]
    assert found.spread.size == pytest.approx(size, abs=near)
    assert found.blur == found.spread.sigma
    if kind == "motion":
        assert found.spread.angle == pytest.approx(30, abs=10)


def test_a_blur_of_one_pixel_is_seen_and_none_in_the_sharp_picture():
    soft = diagnose(damaged(damaged(GREY, "gaussian_blur", sigma=(1.0, 1.0)), "noise", sigma=(0.008, 0.008)))
    assert soft.task == "deblur"
    assert soft.spread is not None
    assert soft.spread.size == pytest.approx(1.0, abs=0.2)
    assert diagnose(damaged(GREY, "noise", sigma=(0.008, 0.008))).task == "none"


@PHOTOS
def test_motion_is_seen_through_a_jpeg(photo):
    name, settings = BLURS["motion"]
    found = diagnose(damaged(damaged(photo, name, **settings), "jpeg", quality=(85, 85)))
    assert found.quality == pytest.approx(85, abs=3)
    assert found.spread is not None
    assert found.spread.kind == "motion"
    assert (found.spread.size, found.spread.angle) == (pytest.approx(9, abs=1), pytest.approx(30, abs=10))
    assert "motion of" in found.sentence()


@PHOTOS
def test_no_blur_is_seen_in_what_is_sharp_or_small(photo):
    assert diagnose(photo).spread is None
    blurred = damaged(photo, "gaussian_blur", sigma=(2.0, 2.0))
    small = diagnose(blurred[:, :, :63, :100])
    assert small.spread is None
    assert small.blur is not None
    assert likeliest(blurred[:, :, :64, :64], noise=0.0) is not None


def test_stripes_are_no_motion():
    """A grating has one direction as motion has, but edges as a sharp picture has."""
    rows = torch.arange(200.0)
    stripes = (0.5 + 0.4 * (2 * math.pi * rows / 24).sin()[:, None]).expand(200, 200).reshape(1, 1, 200, 200)
    noisy = (stripes + 0.01 * torch.randn(stripes.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert diagnose(noisy).spread is None or diagnose(noisy).spread.kind != "motion"


@pytest.mark.parametrize(
    ("name", "setting", "strengths", "field"),
    [
        ("noise", "sigma", (0.02, 0.04, 0.08, 0.16), "noise"),
        ("impulse", "density", (0.01, 0.05, 0.2, 0.6), "salt_and_pepper"),
        ("gaussian_blur", "sigma", (1.0, 1.8, 3.0), "blur"),
        ("jpeg", "quality", (10, 30, 60, 90), "quality"),
    ],
)
def test_every_estimate_grows_with_the_damage(name, setting, strengths, field):
    found = [getattr(diagnose(damaged(GREY, name, **{setting: (s, s)})), field) for s in strengths]
    assert all(a < b for a, b in itertools.pairwise(found))


def test_the_task_is_what_dominates():
    noisy = damaged(GREY, "noise", sigma=(0.1, 0.1))
    assert diagnose(noisy).task == "denoise"
    assert diagnose(damaged(GREY, "impulse", density=(0.1, 0.1))).task == "denoise"
    assert diagnose(damaged(GREY, "gaussian_blur", sigma=(2.0, 2.0))).task == "deblur"
    assert diagnose(damaged(GREY, "jpeg", quality=(15, 15))).task == "jpeg"
    assert diagnose(GREY).task == "none"
    assert diagnose(GREY).sentence() == "no white noise, no salt and pepper, no JPEG grid, sharp"
    assert diagnose(noisy).sentence().startswith("noise of 2")
    assert diagnose(damaged(GREY, "impulse", density=(0.1, 0.1))).sentence().count("salt and pepper on ") == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 9), (16, 16), (23, 300), (20, 9000)])
def test_any_size_is_answered(channels, size):
    rng = torch.Generator().manual_seed(0)
    for images in (torch.zeros(1, channels, *size), torch.ones(1, channels, *size), torch.rand(1, channels, *size, generator=rng)):
        found = diagnose(images, scratches=True)
        assert found.sentence()
        assert flaws.impulses(images).shape == flaws.scratches(images).shape == (1, 1, *size)
        if min(size) < 16:
            assert found == Diagnosis(noise=None, salt_and_pepper=None, quality=None, blur=None, scratched=0.0)
            assert found.task == "none"
            assert found.sentence().startswith("no estimate")


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_picture_has_nothing_wrong(value):
    found = diagnose(torch.full((1, 3, 100, 120), value))
    assert (found.noise, found.salt_and_pepper, found.quality, found.task) == (0, 0, None, "none")


def test_a_large_picture_is_judged_by_pieces_on_the_grid_of_its_jpeg():
    tall = torch.cat([COLOUR, COLOUR.flip(3)], dim=3).repeat(1, 1, 3, 2)
    file = io.BytesIO()
    Image.fromarray((tall[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(file, "JPEG", quality=40)
    seen = torch.frombuffer(bytearray(Image.open(file).tobytes()), dtype=torch.uint8).reshape(720, 960, 3).permute(2, 0, 1)[None] / 255
    found = diagnose(seen)
    assert found.quality == pytest.approx(40, abs=2)
    assert found.task == "jpeg"


def test_one_picture_at_a_time():
    for shape in ((2, 3, 20, 20), (1, 2, 20, 20)):
        with pytest.raises(ImageError, match="must be one picture"):
            diagnose(torch.rand(shape))


def test_estimates_on_set12(real_data):
    """Noise within 10 % and the quality within 3, on every third picture."""
    files = sorted((real_data / "set12").glob("*.png"))[::3]
    if not files:
        pytest.skip("SFUMATO_DATA holds no set12")
    for path in files:
        with Image.open(path) as image:
            clean = torch.from_numpy(np.asarray(image.convert("L")).copy())[None, None] / 255
        assert diagnose(clean).noise < 2.5 / 255
        for sigma in (5 / 255, 25 / 255, 50 / 255):
            assert diagnose(damaged(clean, "noise", sigma=(sigma, sigma))).noise == pytest.approx(sigma, rel=0.1)
        for quality in (10, 50, 90):
            assert diagnose(damaged(clean, "jpeg", quality=(quality, quality))).quality == pytest.approx(quality, abs=3)


@pytest.mark.parametrize("name", ["ladybird", "seeding_by_clements_engelhardt", "kleiber_by_lukas_baubkus", "garden", "dragonfly_by_bolly"])
def test_a_sharp_subject_before_a_background_out_of_focus_is_not_blurred(real_data, name):
    """Most of such a photograph is soft, and a JPEG takes the highest frequencies, by which its spectrum shows that the subject is not."""
    if not (path := real_data / "photos" / f"{name}.webp").exists():
        pytest.skip("SFUMATO_DATA holds no photos")
    with Image.open(path) as image:
        photograph = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)[None] / 255
    half = shrink(photograph, 2, method="area").clamp(0, 1)
    for images, quality in ((photograph, 75), (photograph, 92), (half, 60), (half, 75)):
        assert diagnose(damaged(images, "jpeg", quality=(quality, quality))).task != "deblur"
    assert diagnose(damaged(half, "gaussian_blur", sigma=(2.5, 2.5))).task == "deblur"

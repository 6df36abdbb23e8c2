"""Noise of any kind by what a denoiser takes away: how strong, where, of which colour, how coarse."""

import dataclasses
import math

import pytest
import skimage.data
import torch

from sfumato.analysis import diagnose as analysis
from sfumato.analysis.diagnose import diagnose, with_profile
from sfumato.analysis.residual import FlatParts, NoiseProfile, noise_profile
from sfumato.core.tensors import to_images
from sfumato.degradations.jpeg import recompressed
from sfumato.nn.blurs import Blur, gaussian
from sfumato.nn.channels import luma
from sfumato.nn.resample import correlate
from sfumato.restoration.examined import examine


@pytest.fixture(scope="module")
def photograph():
    return to_images(torch.from_numpy(skimage.data.astronaut()[:256, 60:316].copy()).permute(2, 0, 1)[None])


def noise(channels=3, side=160, seed=0):
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(seed))


def ramp(channels=3, side=160):
    return torch.linspace(0, 1, side).expand(1, channels, side, side)


def wide(images, sigma=1.0):
    size = torch.tensor([sigma])
    return correlate(images, gaussian(size, size, torch.zeros(1), reach=4))


@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_is_measured_as_it_is(channels):
    clean = ramp(channels)
    profile = noise_profile(clean + 0.03 * noise(channels), clean)
    assert profile.level == pytest.approx(0.03, rel=0.02)
    assert all(tone.alike == pytest.approx(0, abs=0.06) for tone in profile.tones.values())
    assert not profile.noisy, "white noise has an estimate of its own"
    assert profile.tones["shadows"].level == pytest.approx(profile.tones["lights"].level, rel=0.1)
    assert profile.coloured == pytest.approx(5.24 if channels == 3 else 0, abs=0.3)


def test_noise_of_shadows_is_told_apart():
    clean = ramp()
    profile = noise_profile(clean + 0.08 * (1 - clean) * wide(noise()), clean)
    assert profile.tones["shadows"].level > 2 * profile.tones["lights"].level
    assert profile.sentence().endswith("stronger in shadows")


def test_coarse_noise_and_noise_of_colour_are_named():
    clean = ramp()
    assert noise_profile(clean + 0.1 * wide(noise()), clean).tones["all"].alike > 0.7
    colour = wide(noise() - 0.9 * noise().mean(1, keepdim=True), 0.7)
    assert "mostly of colour" in noise_profile(clean + 0.2 * colour, clean).sentence()


@pytest.mark.parametrize("quality", [None, 95])
def test_texture_of_which_a_network_leaves_some_is_no_noise(quality):
    """Gravel and grass: the network smooths most of it, and leaves the rest as it is. Noise is taken away everywhere."""
    clean, coarse = ramp(), 0.06 * wide(noise())
    everywhere = noise_profile(clean + coarse, clean, quality=quality)
    assert everywhere.noisy
    assert everywhere.tones["all"].quietest > 0.2
    left = coarse.clone()
    left[..., :24, :] = 0
    texture = noise_profile(clean + left, clean, quality=quality)
    assert texture.tones["all"].quietest < 0.05
    assert texture.tones["all"].faintly_noisy, "which is still no sign of a blur"
    assert not texture.tones["all"].noisy


def test_noise_that_only_one_brightness_has_is_texture():
    """A camera has more noise in shadows than in midtones, by a factor of two or three."""

    def profile(**levels):
        flat = FlatParts(level=0.0, details=0.001, alike=0.5)
        return NoiseProfile(level=0.01, coloured=1.0, tones={name: dataclasses.replace(flat, level=at) for name, at in levels.items()})

    assert profile(shadows=0.02, midtones=0.006).noisy
    assert not profile(shadows=0.02, midtones=0.001).noisy
    assert not profile(lights=0.02, shadows=0.001).noisy
    assert profile(lights=0.02, midtones=0.006, shadows=0.001).noisy, "black may be clipped"
    assert profile(shadows=0.02).noisy, "there is nothing to compare it with"
    assert profile(midtones=0.02, shadows=0.0, lights=0.0).noisy, "both ends may be clipped"
    assert not profile(all=0.02, lights=0.02, midtones=0.001).noisy, "most of the picture may be light gravel"
    assert profile(all=0.02).noisy, "of a picture with few squares"


def test_white_noise_is_confirmed_by_all_squares_of_a_brightness():
    """As coarse noise: lights of gravel beside midtones without noise confirm nothing."""
    flat = FlatParts(level=0.016, details=0.01, alike=0.2)
    quiet = dataclasses.replace(flat, level=0.001)
    uneven = dataclasses.replace(flat, quietest=0.01)

    def confirmed(**tones):
        return NoiseProfile(level=0.016, coloured=5.2, tones=tones).confirms(0.02)

    assert confirmed(all=flat, lights=flat, midtones=flat)
    assert confirmed(all=flat)
    assert not confirmed(all=flat, lights=flat, midtones=quiet)
    assert not confirmed(all=uneven, midtones=uneven)


def test_details_in_few_places_are_no_noise():
    clean = ramp()
    changed = clean.clone()
    changed[..., 40:60, 40:60] += 0.4 * wide(noise())[..., 40:60, 40:60]
    profile = noise_profile(changed, clean)
    assert profile.level > 0.01
    assert not profile.noisy
    assert profile.sentence() == "no noise that could be told from details"


def test_what_is_taken_from_a_picture_full_of_texture_is_no_noise():
    texture = ramp() / 2 + 0.25 + 0.1 * noise(1)
    assert not noise_profile(texture, texture - 0.03 * wide(noise(1, seed=1))).noisy
    assert noise_profile(texture, texture - 0.3 * wide(noise(1, seed=1))).noisy


def test_a_picture_with_coarse_noise_is_denoised_and_not_deblurred():
    """Soft edges and noise in most squares: without a network the picture counts as blurred, with one as noisy."""
    clean = wide((ramp() * 5).floor() / 5, 1.6)
    noisy = clean + 0.05 * wide(noise(1).expand(-1, 3, -1, -1), 1.2)
    without = dataclasses.replace(diagnose(noisy), noise=0.001, blur=1.6)
    assert without.task == "deblur"
    told = with_profile(without, noisy, lambda pieces: clean)
    assert told.task == "denoise"
    assert told.sentence().startswith("coarse noise of at least")
    assert "sharpness unknown" in told.sentence()


def test_a_clean_picture_stays_as_it_was_judged():
    clean = ramp()
    told = with_profile(diagnose(clean), clean, lambda pieces: pieces)
    assert told.task == "none"
    assert "no noise seen" in told.sentence()


def test_tiny_pictures_are_not_shown_to_the_network():
    tiny = torch.rand(1, 3, 8, 8)
    assert with_profile(diagnose(tiny), tiny, lambda pieces: pytest.fail("asked")).profile is None


def test_noise_in_one_range_of_brightness_is_seen():
    """Above a page of white paper, most flat squares are without noise; in the photograph on it, none is."""
    page = torch.full((1, 3, 160, 160), 0.9)
    page[..., 100:, :80] = 0.15
    noisy = page.clone()
    noisy[..., 100:, :80] += 0.03 * wide(noise(1))[..., 100:, :80]
    profile = noise_profile(noisy, page)
    assert profile.tones["all"].level == 0
    assert profile.tones["lights"].level == 0
    assert profile.tones["shadows"].noisy
    assert profile.noisy


def test_a_range_of_few_squares_says_nothing():
    page = torch.full((1, 3, 160, 160), 0.9)
    page[..., :24, :24] = 0.1
    assert set(noise_profile(page, page).tones) == {"all", "lights"}


def test_a_network_takes_away_the_finest_texture_too():
    """Of which neighbours differ more than by chance, in noise of a camera less."""
    clean = ramp() / 2 + 0.25
    fine = noise(1) - wide(noise(1), 0.8)
    assert not noise_profile(clean + 0.03 * fine, clean).noisy
    assert noise_profile(clean + 0.06 * wide(noise(1), 0.8), clean).noisy


def test_a_soft_picture_with_faint_coarse_noise_is_left_alone():
    """Deblurring would amplify the noise, which is too faint to be removed."""
    clean = wide((ramp() * 5).floor() / 5, 1.6)
    noisy = clean + 0.015 * wide(noise(1).expand(-1, 3, -1, -1), 1.2)
    soft = dataclasses.replace(diagnose(noisy), noise=0.001, blur=1.6)
    assert soft.task == "deblur"
    told = with_profile(soft, noisy, lambda pieces: clean)
    assert told.task == "none"
    assert told.sentence().startswith("no noise that could be told from details")
    assert "sharpness unknown" in told.sentence()
    white = with_profile(dataclasses.replace(soft, noise=0.009), noisy, lambda pieces: clean)
    assert white.task == "deblur", "the filter is given the level of white noise"


@pytest.mark.parametrize(
    ("alike", "level", "size", "task"),
    [(0.3, 1.2, 1.6, "deblur"), (0.6, 1.2, 1.6, "denoise"), (0.3, 2.4, 1.6, "denoise"), (0.3, 1.2, 0.9, "denoise")],
)
def test_faint_noise_that_came_after_a_blur_hides_no_blur(alike, level, size, task):
    """What makes a picture soft makes noise before it coarse: nearly white noise is later, and no reason for softness."""
    flat = FlatParts(level=level / 255, details=0.002, alike=alike)
    profile = NoiseProfile(level=level / 255, coloured=0.1, tones={"all": flat})
    assert profile.noisy
    blurred = diagnose(wide((ramp() * 5).floor() / 5, 1.6))
    told = dataclasses.replace(blurred, noise=0.003, blur=size, spread=Blur("gaussian", size), profile=profile)
    assert told.task == task
    assert ("sharpness unknown" in told.sentence()) == (task == "denoise")


@pytest.mark.parametrize(("level", "quality", "task"), [(0.6, 75, "deblur"), (0.6, None, "none"), (0.6, 90, "none"), (1.0, 75, "denoise")])
def test_what_a_jpeg_rounds_away_hides_no_blur(level, quality, task):
    flat = FlatParts(level=level / 255, details=0.002, alike=0.6, jpeg=quality is not None)
    profile = NoiseProfile(level=1.6 / 255, coloured=0.1, tones={"all": dataclasses.replace(flat, level=0.001), "lights": flat})
    assert profile.faintly_noisy
    blurred = diagnose(wide((ramp() * 5).floor() / 5, 1.6))
    told = dataclasses.replace(blurred, noise=0.001, blur=1.6, spread=Blur("gaussian", 1.6), quality=quality, profile=profile)
    assert told.task == task


def test_a_blurred_photograph_that_was_saved_as_a_jpeg_is_deblurred(photograph):
    soft = wide(photograph, 1.6) + 2 / 255 * noise(side=256)
    found = examine(recompressed(soft.clamp(0, 1), torch.tensor([90.0])))
    assert found.task == "deblur"
    assert found.blur == pytest.approx(1.6, abs=0.3)


def test_white_noise_is_confirmed_by_flat_parts():
    """Texture everywhere is taken for white noise by its patches, and left by the network; noise in flat parts is taken away."""
    clean = ramp() / 2 + 0.25
    noisy = dataclasses.replace(diagnose(clean), noise=0.012)
    assert noisy.uncertain
    assert with_profile(noisy, clean + 0.012 * noise(), lambda pieces: clean).task == "denoise"
    texture = with_profile(noisy, clean + 0.012 * noise(), lambda pieces: pieces)
    assert texture.task == "none"
    assert texture.sentence().startswith("no noise")
    everywhere = clean + 0.1 * noise(1)
    assert not noise_profile(everywhere, everywhere - 0.005 * noise(1)).confirms(0.012)
    loud = dataclasses.replace(noisy, noise=0.03)
    assert loud.task == with_profile(loud, clean + 0.03 * noise(), lambda pieces: pieces).task == "denoise", "certain without confirmation"
    assert with_profile(loud, everywhere, lambda pieces: clean).task != "denoise", "the network takes away three times as much"


def test_texture_finer_than_the_estimate_from_patches_is_not_plain(monkeypatch):
    noisy = ramp() / 2 + 0.25 + 0.08 * noise()
    assert diagnose(noisy).plain
    assert not diagnose(noisy).uncertain
    monkeypatch.setattr(analysis, "plain_noise_level", lambda *_: 0.05)
    assert not diagnose(noisy).plain
    assert diagnose(noisy).uncertain


def test_the_rounding_of_a_coarse_jpeg_is_no_noise():
    """A blurred picture in a coarse JPEG is still deblurred; more noise than the rounding makes is noise there too."""
    rounding = FlatParts(level=1.2 / 255, details=1.5 / 255, alike=0.45, jpeg=True)
    assert rounding.noisy
    assert not dataclasses.replace(rounding, coarse_jpeg=True, least=3 / 255).faintly_noisy
    assert dataclasses.replace(rounding, coarse_jpeg=True, least=3 / 255, level=4 / 255).noisy


@pytest.mark.parametrize("alike", [0.05, 0.5])
def test_the_noise_of_a_coarse_jpeg_is_called_noise_of_any_kind(alike):
    """Its rounding makes white noise coarse, and hides most of it from an estimate by patches."""
    part = FlatParts(level=8 / 255, details=9 / 255, alike=alike, jpeg=True, coarse_jpeg=True, least=3 / 255)
    profile = NoiseProfile(level=8 / 255, coloured=5.0, tones={"all": part})
    assert profile.sentence() == "noise of at least 8.0/255"
    seen = with_profile(diagnose(ramp()), ramp(), lambda crops: crops)
    seen = dataclasses.replace(seen, noise=1 / 255, profile=profile, quality=50)
    assert (seen.task, seen.noisy) == ("denoise", True)
    assert seen.sentence().startswith("noise of at least 8.0/255")


def test_of_coarse_noise_the_level_is_that_of_the_network():
    """An estimate of white noise sees a part of it."""
    part = FlatParts(level=9 / 255, details=2 / 255, alike=0.6)
    profile = NoiseProfile(level=9 / 255, coloured=1.0, tones={"all": part})
    seen = dataclasses.replace(diagnose(ramp()), noise=3 / 255, profile=profile)
    assert "coarse noise of at least 9.0/255" in seen.sentence()
    assert "noise of 11.0/255" in dataclasses.replace(seen, noise=11 / 255).sentence()


def test_sand_is_no_coarse_noise():
    """So much noise, nearly white, would have been seen by an estimate from patches."""
    sand, camera = (
        NoiseProfile(level=level / 255, coloured=5.0, tones={"all": FlatParts(level=level / 255, details=1.6 / 255, alike=alike)})
        for level, alike in ((11.8, 0.21), (5.1, 0.32))
    )
    assert sand.noisy
    assert sand.beyond(2.1 / 255)
    assert not camera.beyond(1.7 / 255)
    assert not dataclasses.replace(sand, tones={"all": FlatParts(level=11.8 / 255, details=1.6 / 255, alike=0.5)}).beyond(2.1 / 255)


def test_gravel_is_no_white_noise():
    """A network that takes away more than an estimate of white noise, without neighbours being alike, has taken texture."""
    parts = {
        name: FlatParts(level=level / 255, details=2 / 255, alike=alike)
        for name, level, alike in (("a", 17, 0.05), ("b", 17, 0.3), ("c", 3, 0.05))
    }
    gravel, coarse, white = (NoiseProfile(level=part.level, coloured=5.0, tones={"all": part}) for part in parts.values())
    assert gravel.contradicts(3 / 255)
    assert gravel.contradicts(9.4 / 255)
    assert not gravel.contradicts(15 / 255)
    assert not coarse.contradicts(3 / 255)
    assert not white.contradicts(3 / 255)
    assert gravel.white, "which is not told from noise by this alone"
    assert not coarse.white
    assert not white.white, "it is too little"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [61, 70, 85, 90])
def test_white_noise_is_seen_under_a_jpeg_of_any_quality(photograph, quality, channels):
    """Such a JPEG hides white noise from patches, and neighbours in it are hardly alike. Clean, the same JPEG has none of it."""
    clean = photograph if channels == 3 else luma(photograph)
    saved = torch.tensor([float(quality)])
    noisy = recompressed((clean + 0.06 * noise(channels, 256)).clamp(0, 1), saved)
    seen, unseen = examine(noisy), examine(recompressed(clean, saved))
    assert seen.task == "denoise", seen.sentence()
    assert seen.noise_level is not None
    assert seen.noise_level > 0.02
    assert "noise of" in seen.sentence()
    assert "coarse noise" not in seen.sentence()
    assert unseen.profile is not None
    assert not unseen.profile.tones["all"].hidden, unseen.sentence()


def test_the_grain_of_sand_under_a_jpeg_is_no_noise():
    """Of noise there is as much everywhere; of sand and leaves there is not, and details stand out of it."""
    hidden = FlatParts(level=6 / 255, details=2 / 255, alike=0.0, jpeg=True, quietest=0.5, enough=3.5 / 255)
    assert hidden.noisy
    assert hidden.faintly_noisy
    for change in ({"quietest": 0.3}, {"details": 20 / 255}, {"level": 3 / 255}, {"enough": math.inf}):
        assert not dataclasses.replace(hidden, **change).noisy
    profile = NoiseProfile(level=6 / 255, coloured=5.0, tones={"all": hidden})
    assert profile.sentence() == "noise of at least 6.0/255"
    assert not profile.beyond(1 / 255)
    assert NoiseProfile(level=6 / 255, coloured=5.0, tones={"all": dataclasses.replace(hidden, quietest=0.3)}).beyond(1 / 255)


def test_noise_is_likely_where_details_are_not_excluded():
    flat = FlatParts(level=2 / 255, details=8 / 255, alike=0.1)
    profile = NoiseProfile(level=2 / 255, coloured=5.0, tones={"all": flat})
    assert not profile.noisy
    assert profile.likely(None)
    assert not profile.likely(90)
    assert NoiseProfile(level=2 / 255, coloured=5.0, tones={"all": dataclasses.replace(flat, level=3.2 / 255)}).likely(90)
    assert not NoiseProfile(level=1.2 / 255, coloured=5.0, tones={"all": flat}).likely(None)

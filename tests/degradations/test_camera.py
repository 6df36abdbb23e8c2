"""Noise of a camera: how strong it is in the sensor, where the picture shows it, and what is left of the picture."""

import pytest
import torch

from sfumato.core.config import dump, parse
from sfumato.core.errors import SettingError
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.degradations.camera import Config

PLAIN = {
    "iso": (1600.0, 1600.0),
    "full_well": (10_000.0, 10_000.0),
    "contrast": (1.0, 1.0),
    "luma_smoothing": (0.0, 0.0),
    "chroma_smoothing": (0.0, 0.0),
    "sharpening": (0.0, 0.0),
    "banding": (0.0, 0.0),
    "scaled": 0.0,
    "compressed": 0.0,
    "demosaicing": "bilinear",
}
"""A camera that does nothing but demosaic."""


def shot(clean, seed=0, **settings):
    return degrade(Config(**{**PLAIN, **settings}), clean, rng=torch.Generator().manual_seed(seed))


def flat(value, count=2, side=96):
    return torch.full((count, 3, side, side), value)


def linear(image):
    return ((image + 0.055) / 1.055) ** 2.4


def test_the_variance_of_green_is_the_light_over_the_electrons():
    """At green pixels bilinear demosaicing keeps the samples; a colour matrix of one camera mixes the colours, so grey is looked at."""
    value = 0.6
    off = shot(flat(value, count=8), read_noise=(0.0, 0.0)).images - value
    # To first order the curve stretches noise by its slope; three colours with gains of about 2, 1 and 1.7 then mix into brightness.
    slope = 1 / (2.4 / 1.055 * ((value + 0.055) / 1.055) ** 1.4)
    sensor = (linear(value) * 16 / 10_000) ** 0.5
    assert 0.4 * sensor * slope < off.mean(dim=1).std().item() < 1.3 * sensor * slope


def test_noise_doubles_in_variance_with_iso():
    once, twice = (shot(flat(0.5, count=8), iso=(iso, iso), read_noise=(0.0, 0.0)).noise.square().mean() for iso in (400.0, 800.0))
    assert twice / once == pytest.approx(2, rel=0.1)


def test_shadows_are_noisier_than_highlights_after_the_curve():
    dark, bright = (shot(flat(value)).noise.mean().item() for value in (0.15, 0.8))
    assert dark > 1.3 * bright


def test_highlights_that_are_clipped_have_no_noise():
    assert shot(flat(1.0), read_noise=(0.0, 0.0)).images.max() <= 1 + 1e-5


def test_neighbours_are_alike_after_demosaicing_and_more_so_after_smoothing():
    def alike(**settings):
        off = shot(flat(0.5), **settings).images - 0.5
        return ((off[..., 1:] * off[..., :-1]).mean() / off.square().mean()).item()

    assert 0.1 < alike() < alike(luma_smoothing=(1.0, 1.0), chroma_smoothing=(1.0, 1.0))


def test_chroma_smoothing_takes_colour_from_the_noise_and_leaves_its_brightness():
    clean = flat(0.5) + torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    off, plain = (shot(clean, chroma_smoothing=(size, size)).images - clean for size in (2.0, 0.0))
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close((off * luma).sum(1), (plain * luma).sum(1), rtol=0, atol=1e-5)
    assert (off - off.mean(1, keepdim=True)).std() < 0.5 * (plain - plain.mean(1, keepdim=True)).std()


def test_banding_is_the_same_along_a_row():
    off = shot(flat(0.3), banding=(1.0, 1.0), read_noise=(100.0, 100.0), full_well=(200_000.0, 200_000.0)).images - 0.3
    rows = off[..., 2:-2, :].mean(dim=(1, 3)).std()
    assert rows > 3 * (off[..., 2:-2, :].mean(dim=1) - off[..., 2:-2, :].mean(dim=(1, 3))[..., None]).std()


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_a_resized_picture_keeps_its_size(scale):
    seen = shot(flat(0.5, side=51), scale=(scale, scale), scaled=1.0)
    assert seen.images.shape == (2, 3, 51, 51)
    assert (seen.noise > 0).all()


def test_without_noise_the_picture_stays_unless_its_detail_is_lost(photos):
    quiet = {"iso": (50.0, 50.0), "full_well": (200_000.0, 200_000.0), "read_noise": (0.0, 0.0)}
    kept, lost = (shot(photos, detail=detail, **quiet) for detail in ("kept", "lost"))
    assert (kept.images - photos).abs().mean() < 0.004
    assert (lost.images - photos).abs().mean() > 2 * (kept.images - photos).abs().mean(), "demosaicing blurs"
    torch.testing.assert_close(kept.noise, lost.noise)


def test_what_it_says_of_the_noise_is_what_was_added(photos):
    seen = shot(photos)
    torch.testing.assert_close(seen.noise, (seen.images - photos).square().mean(dim=(1, 2, 3)).sqrt())


def test_it_says_the_lowest_quality_of_its_jpegs(photos):
    seen = shot(photos, compressed=1.0, again=1.0, quality=(40.0, 60.0))
    assert ((seen.quality >= 0.4) & (seen.quality <= 0.6)).all()
    assert torch.equal(seen.images * 255, (seen.images * 255).round()), "a JPEG holds bytes"


def test_more_than_three_channels_are_refused():
    with pytest.raises(SettingError, match="4 channels"):
        shot(torch.rand(1, 4, 8, 8))


def test_its_settings_go_into_a_file_and_back():
    config = Config(**PLAIN)
    assert parse(dump(config)) == config


def test_grain_has_its_strength_whatever_its_size_and_neighbours_alike():
    def grain(size):
        kind = DEGRADATIONS["grain"](sigma=(0.1, 0.1), size=(size, size), grey=1.0)
        return degrade(kind, flat(0.5, side=160), rng=torch.Generator().manual_seed(0)).images - 0.5

    fine, coarse = grain(0.3), grain(1.5)
    for off in (fine, coarse):
        assert off.std().item() == pytest.approx(0.1, rel=0.04)
        assert torch.equal(off[:, 0], off[:, 1])
    assert (coarse[..., 1:] * coarse[..., :-1]).mean() / 0.01 > 0.8 > 0.1 > (fine[..., 1:] * fine[..., :-1]).mean() / 0.01

"""The codec that comes with the toolkit: files that were written once open for ever, and are smaller than those of other formats."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import sfumato as sf
from sfumato.compression.compress import opened_codec
from sfumato.demonstration.showcase import webp_of
from sfumato.store import weights

OLD_FILE = Path(__file__).parent / "compression" / "files" / "eye.sfm"
"""The eye of scikit-image's cat, quality 45, as the first release with a codec wrote it."""


def eye():
    return Image.fromarray(skimage.data.chelsea()[80:160, 120:220])


def psnr(one, other):
    error = np.square(np.asarray(one.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)).mean()
    return 10 * np.log10(255**2 / error)


def test_it_is_small_and_says_where_it_comes_from():
    assert weights.bundled()["codec"].stat().st_size <= 12e6
    card = sf.load("codec").card
    assert card.name == "codec"
    assert "BSDS500" in card.data.terms
    figures = {figure.name: figure.value for figure in card.metrics}
    assert figures["BD-rate PSNR vs WebP"] <= -25
    assert figures["BD-rate PSNR vs AVIF 4:2:0"] <= 0


def test_no_file_that_was_written_is_lost():
    """Who changes one of these numbers makes every file unreadable that was written until now."""
    assert opened_codec("codec").network.fingerprint.hex() == "63fd188e"
    with Image.open(OLD_FILE) as image:
        assert psnr(image, eye()) > 30
    assert sf.decompress(OLD_FILE).damage == ()


@pytest.mark.parametrize("quality", [15, 45, 80])
def test_a_picture_is_better_than_webp_of_more_bytes(quality):
    picture = Image.fromarray(skimage.data.coffee()[60:252, 120:376])
    data = sf.compress(picture, quality=quality)
    with Image.open(io.BytesIO(webp_of(picture, len(data)))) as webp:
        assert psnr(sf.decompress(data), picture) > psnr(webp, picture) + 0.3


def test_it_describes_a_picture_by_texture_and_colour():
    """Of crops of six photographs, in other places and sizes, the nearest is one of the same photograph."""
    names = ("brick", "grass", "gravel", "coffee", "rocket", "immunohistochemistry")
    crops, of = [], []
    for number, name in enumerate(names):
        picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        for left, top, side in ((10, 20, 160), (200, 180, 160), (90, 60, 200)):
            crops.append(picture.crop((left, top, left + side, top + side)))
            of.append(number)
    index = sf.embed(crops)
    assert index.model == "codec"
    assert index.vectors.shape == (len(crops), 640)
    from_mean = torch.nn.functional.normalize(index.vectors.float() - index.vectors.float().mean(dim=0))
    nearest = (from_mean @ from_mean.T).fill_diagonal_(-1).argmax(dim=1)
    assert (torch.tensor(of)[nearest] == torch.tensor(of)).sum() >= 16

"""Bands: seen where whole rows or columns are shifted, and taken away; details in rows are none."""

import pytest
import skimage.data
import torch

import sfumato as sf
from sfumato.analysis.diagnose import diagnose
from sfumato.classical.destripe import destripe
from sfumato.core.tensors import to_images
from sfumato.io import files
from sfumato.io.channels import as_pixels
from sfumato.io.files import Picture
from sfumato.metrics.fidelity import psnr
from sfumato.nn.banding import banding
from sfumato.restoration.networks import Networks
from sfumato.restoration.repair_rows import repair_rows
from sfumato.restoration.request import RestorationRequest

CLEAN = to_images(torch.from_numpy(skimage.data.astronaut()[:320, 60:400].copy()).permute(2, 0, 1)[None].contiguous())


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def banded(images, level=4 / 255, *, columns=False, noise=0.0):
    h, w = images.shape[2:]
    shape = (1, 1, 1, w) if columns else (1, 1, h, 1)
    return (images + level * normal(*shape) + noise * normal(*images.shape, seed=1)).clamp(0, 1)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("noise", [0.0, 8 / 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_bands_are_measured(columns, noise, channels):
    levels = banding(banded(CLEAN[:, :channels], columns=columns, noise=noise))
    assert levels[columns] == pytest.approx(4 / 255, rel=0.25)
    assert levels[not columns] == 0


@pytest.mark.parametrize("side", [320, 15, 40])
def test_a_clean_picture_white_noise_and_a_few_lines_are_no_bands(side):
    clean = CLEAN[..., :side, :side].clone()
    assert banding(clean) == (0, 0)
    assert banding((clean + 0.1 * normal(*clean.shape)).clamp(0, 1)) == (0, 0)
    clean[..., ::16, :] = 0
    assert banding(clean) == (0, 0), "as the rules of a table"
    assert torch.equal(destripe(clean), clean)


@pytest.mark.parametrize("columns", [False, True])
def test_bands_alone_are_levelled_and_said(columns):
    picture = banded(CLEAN, columns=columns)
    output = sf.restore(picture)
    assert output.plans[0].method == "destripe"
    assert f"/255 in {'columns' if columns else 'rows'}: destripe" in output.plans[0].summary
    assert psnr(output, CLEAN) > psnr(picture, CLEAN) + 5


def test_a_picture_that_goes_strip_by_strip_keeps_its_bands_and_is_told_so(tmp_path):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    files.write(tmp_path / "scan.png", Picture(pixels=as_pixels(banded(CLEAN), torch.uint8)))
    plan = repair_rows(tmp_path / "scan.png", tmp_path / "out.png", RestorationRequest(), None, None, Networks())
    assert plan.summary.endswith("in rows: destripe takes the whole picture; give more --memory")
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "scan.png").read_bytes()


def test_bands_beside_noise_are_said():
    seen = diagnose(banded(CLEAN, noise=8 / 255))
    assert seen.task == "denoise"
    assert "bands of" in seen.sentence()


def test_each_channel_has_bands_of_its_own():
    picture = (CLEAN + 6 / 255 * normal(1, 3, CLEAN.shape[2], 1)).clamp(0, 1)
    assert psnr(destripe(picture), CLEAN) > psnr(picture, CLEAN) + 5

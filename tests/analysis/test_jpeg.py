"""The tables of libjpeg and the traces of JPEG in pixels, against Pillow, SciPy and rounding done by hand."""

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sfumato.analysis import jpeg

CAMERA = skimage.data.camera()[100:196, 180:276].copy()


def saved(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return Image.open(file)


def image(pixels):
    array = np.asarray(pixels).copy()
    planes = torch.from_numpy(array if array.ndim == 3 else array[..., None])
    return planes.permute(2, 0, 1)[None].float() / 255


def test_tables_are_those_of_libjpeg_at_every_quality():
    tables = jpeg.luminance_tables()
    assert tables.shape == (100, 8, 8)
    for quality in range(1, 101):
        stored = saved(np.zeros((8, 8), np.uint8), quality).quantization[0]
        assert tables[quality - 1].flatten().tolist() == list(stored)


def test_a_table_tells_the_highest_quality_that_has_it():
    for quality in range(1, 101):
        table = jpeg.luminance_tables()[quality - 1]
        alike = [q for q in range(1, 101) if torch.equal(jpeg.luminance_tables()[q - 1], table)]
        assert jpeg.tables_quality([table.flatten().int().tolist()]) == max(alike)
        changed = table.flatten().int().tolist()
        changed[20] += 1 if changed[20] < 200 else -1
        assert abs(jpeg.tables_quality([changed]) - quality) <= 3, "the nearest one of a table that is nobody's"


def test_places_are_the_low_frequencies_without_the_mean():
    row, column = jpeg._places()
    places = set(zip(row.tolist(), column.tolist(), strict=True))
    assert len(places) == 14
    assert (0, 0) not in places
    assert {(0, 4), (4, 0), (2, 2), (0, 1)} <= places
    assert not {(0, 5), (3, 2)} & places


def test_every_step_of_every_quality_has_one_number():
    place, steps, which = jpeg._steps()
    row, column = jpeg._places()
    assert torch.equal(steps[which], jpeg.luminance_tables()[:, row, column])
    assert torch.equal(place[which], torch.arange(14).expand(100, 14))
    assert len({(int(p), float(s)) for p, s in zip(place, steps, strict=True)}) == len(place)


@pytest.mark.parametrize("quality", [5, 50, 85])
def test_coarseness_is_the_deviation_of_rounding_low_frequencies(quality):
    steps = jpeg.luminance_tables()[quality - 1, :3, :3]
    numbers = 1000 * torch.rand(4000, 3, 3, generator=torch.Generator().manual_seed(0))
    error = numbers - (numbers / steps).round() * steps
    assert jpeg.coarseness(quality) * 255 == pytest.approx(error.std(dim=0).mean().item(), rel=0.03)


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90])
def test_the_grid_is_that_of_the_file(quality):
    grid = jpeg.grid(image(saved(CAMERA, quality)))
    assert grid is not None
    assert grid.quality == pytest.approx(quality, abs=2)
    assert grid.offset == (0, 0)


@pytest.mark.parametrize("cut", [(0, 5), (1, 0), (3, 6), (7, 7)])
def test_the_offset_is_that_of_the_crop(cut):
    grid = jpeg.grid(image(saved(CAMERA, 30))[:, :, cut[0] :, cut[1] :])
    assert grid is not None
    assert grid.offset == (-cut[0] % 8, -cut[1] % 8)


def test_colours_are_judged_by_their_luma():
    colour = skimage.data.astronaut()[:96, 180:276].copy()
    grid = jpeg.grid(image(saved(colour, 50)))
    assert grid is not None
    assert grid.quality == pytest.approx(50, abs=2)


def test_no_grid_without_jpeg_or_size_or_texture():
    assert jpeg.grid(image(CAMERA)) is None
    rounded = image(saved(CAMERA, 30))
    assert jpeg.grid(rounded[:, :, :23, :]) is None
    assert jpeg.grid(rounded[:, :, :24, :]) is not None
    assert jpeg.grid(image(saved(np.full((64, 64), 99, np.uint8), 30))) is None
    assert jpeg.grid(torch.zeros(1, 1, 64, 64)) is None, "of clipped blocks nothing is left"


@pytest.mark.parametrize("phase", range(8))
@pytest.mark.parametrize("dim", [1, 2])
def test_the_phase_is_where_values_jump(phase, dim):
    steps = ((torch.arange(48.0) - phase) / 8).floor() * 0.05 % 0.4
    luma = steps.expand(1, 40, 48) if dim == 2 else steps[:, None].expand(1, 48, 40)
    assert jpeg._phase(luma, dim) == phase


def test_multiples_are_likelier_than_anything_and_anything_else_is_not():
    """Per coefficient: log of the peak of a normal density over that of one step, for a number that is a multiple of it."""
    row, column = jpeg._places()
    steps = jpeg.luminance_tables()[29, row, column]
    multiples = steps * torch.randint(2, 9, (50, 14), generator=torch.Generator().manual_seed(0))
    scores = jpeg._likelihoods(multiples)
    assert scores.shape == (3, 100)
    assert int(scores[0].argmax()) == 29
    peaks = 0.95 * steps / (0.4 * (2 * np.pi) ** 0.5) + 0.05
    assert scores[0, 29].item() == pytest.approx(50 * peaks.log().sum().item(), rel=1e-4)
    halves = steps * (torch.randint(2, 9, (50, 14), generator=torch.Generator().manual_seed(0)) + 0.5)
    assert jpeg._likelihoods(halves)[0, 29] < 0
    assert torch.allclose(jpeg._likelihoods(torch.zeros(5, 14)), torch.zeros(3, 100), atol=1e-4), "0 is a multiple of all"

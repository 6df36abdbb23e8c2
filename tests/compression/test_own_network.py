"""Files of effort max: a network for each picture, exact tables, wavefronts, damage."""

import random
import zlib
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.compression import compress as job
from sfumato.compression import overfit, own_network, pyramid
from sfumato.compression.compress import compress
from sfumato.compression.container import parsed, read_header
from sfumato.compression.decompress import decompress
from sfumato.compression.distortion import distortion
from sfumato.compression.files import compress_pictures, decompress_files
from sfumato.compression.laplace import ESCAPE, FRACTIONS, REACH, SCALES, laplace_tables
from sfumato.compression.picture_stream import decode, encode, set_group, wavefronts, weight_groups, whole_group
from sfumato.compression.request import CompressionRequest
from sfumato.core.errors import CheckpointError, FormatError, ImageError, SettingError
from sfumato.metrics.fidelity import ms_ssim
from tests.compression.conftest import photograph
from tests.compression.test_damage import mutated


@pytest.fixture(autouse=True, scope="module")
def _few_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_network, "STEPS", 12)
        yield


@pytest.fixture(scope="module")
def pixels():
    return photograph(48, 64)


@pytest.fixture(scope="module")
def file(pixels):
    return compress(pixels, quality=60, effort="max")


def error(image, pixels):
    return np.abs(np.asarray(image, dtype=int) - pixels).mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (65, 63)])
def test_any_size_comes_back(size):
    pixels = photograph(*size).reshape(*size, 3)
    image = decompress(compress(pixels, quality=90, effort="max"))
    assert image.size == size[::-1]
    assert image.damage == ()
    assert error(image, pixels) < 8


def test_no_codec_is_opened(file, pixels, monkeypatch):
    monkeypatch.setattr(job, "opened_codec", lambda *_: pytest.fail("a codec was opened"))
    assert read_header(file).own_networks
    assert error(decompress(file), pixels) < 8
    assert len(compress(pixels, quality=60, effort="max")) == len(file)


def test_random_numbers_of_the_caller_are_left_alone(file, pixels):
    torch.manual_seed(5)
    before = torch.rand(3)
    torch.manual_seed(5)
    decompress(file)
    compress(pixels[:8, :8], quality=20, effort="max")
    assert torch.equal(torch.rand(3), before)


def test_higher_quality_is_a_larger_file_of_a_better_picture(pixels):
    files = [compress(pixels, quality=quality, effort="max") for quality in (20, 90)]
    errors = [error(decompress(file), pixels) for file in files]
    assert len(files[0]) < len(files[1])
    assert errors[0] > errors[1]


def test_training_makes_a_smaller_file_of_a_better_picture(pixels, monkeypatch):
    totals = []
    for steps in (2, 80):
        monkeypatch.setattr(own_network, "STEPS", steps)
        data = compress(pixels, quality=60, effort="max")
        squared = np.square(np.asarray(decompress(data), dtype=float) - pixels).mean()
        totals.append(8 * len(data) / pixels[:, :, 0].size + pyramid.weight_of(60) * squared)
    assert totals[1] < 0.8 * totals[0]


def test_grey_opacity_and_metadata(pixels):
    both = np.dstack([pixels, np.arange(64, dtype=np.uint8)[None].repeat(48, 0)])
    image = decompress(compress(both, quality=60, effort="max"))
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[:, :, 3], both[:, :, 3])
    assert decompress(compress(pixels[:, :, 0], quality=60, effort="max")).mode == "L"


def test_a_limit_of_bytes_is_kept(pixels):
    largest = 2500
    data = compress(pixels, max_kb=largest / 1000, effort="max")
    assert 0.6 * largest < len(data) <= largest


def test_folders_go_there_and_back_without_a_codec(tmp_path, pixels):
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    for kind, entries in (
        ("sfm", compress_pictures([tmp_path / "photos"], tmp_path / "small", CompressionRequest(effort="max"))),
        ("png", decompress_files([tmp_path / "small"], tmp_path / "again", model="codec")),
    ):
        assert [(entry.status.value, entry.out.rpartition(".")[2]) for entry in entries] == [("done", kind)]
    with Image.open(tmp_path / "again/a.png") as image:
        assert error(image, pixels) < 10


def test_tables_are_of_laplace_distributions():
    """Frequencies follow the formula, and every row can code what is near its mean."""
    tables = laplace_tables().frequency
    assert tables.shape == (SCALES * FRACTIONS, 2 * REACH + 2)
    assert (tables.sum(axis=1) == 1 << 16).all()
    assert (tables[:, ESCAPE] > 0).all()
    for scale, fraction in ((4, 0), (20, 5), (30, 15)):
        size, mean = 2 ** (scale / 4 - 5), fraction / FRACTIONS
        edges = np.arange(-REACH, REACH + 2) - 0.5 - mean
        below = np.where(edges < 0, np.exp(np.minimum(edges, 0) / size) / 2, 1 - np.exp(-np.maximum(edges, 0) / size) / 2)
        row = tables[scale * FRACTIONS + fraction, :ESCAPE] / (1 << 16)
        assert np.abs(row - np.diff(below)).max() < 0.005
        # The mean of the distribution is that of the row, up to the width of a bin.
        assert abs((row * np.arange(-REACH, REACH + 1)).sum() - mean) < 0.15


def test_tables_are_the_same_on_every_machine():
    """A fingerprint of all frequencies: a machine that computes others could not read files of this one."""
    assert zlib.crc32(laplace_tables().frequency.astype("<u4").tobytes()) == TABLES


TABLES = 2359215510


def test_an_enlarged_grid_is_exact():
    grid = torch.randint(-4096, 4097, (1, 1, 9, 14), generator=torch.Generator().manual_seed(0))
    found = pyramid.enlarged(grid.double(), (18, 27))[0, 0]
    for i, j in ((0, 0), (1, 5), (17, 26), (8, 13)):
        rows, columns = ([Fraction(n, 2) - Fraction(1, 4)] for n in (i, j))
        value = Fraction(0)
        for place_row, share_row in _shares(rows[0], 9):
            for place_column, share_column in _shares(columns[0], 14):
                value += share_row * share_column * int(grid[0, 0, place_row, place_column])
        assert Fraction(float(found[i, j])) == value


def _shares(place, count):
    """The two numbers of a row between which a place lies, and their shares."""
    low = place.__floor__()
    return [(min(max(low, 0), count - 1), 1 - (place - low)), (min(max(low + 1, 0), count - 1), place - low)]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (6, 11)])
def test_neighbours_are_read_before(size):
    """Each number comes once, and all of its neighbours within the grid are in earlier wavefronts."""
    h, w = size
    step = np.full(h * w, -1)
    for number, at in enumerate(wavefronts(h, w)):
        assert len(at)
        assert (step[at] == -1).all()
        step[at] = number
    assert (step >= 0).all()
    step = step.reshape(h, w)
    for i in range(h):
        for j in range(w):
            for row, column in pyramid.NEIGHBOURS:
                if 0 <= i + row < h and 0 <= j + column < w:
                    assert step[i + row, j + column] < step[i, j]


def test_any_numbers_and_weights_come_back():
    """Large numbers are escaped, and weights are those of the file."""
    rng, network = torch.Generator().manual_seed(1), pyramid.PictureNetwork(30)
    spreads = (0.3, 2, 40, 300, 4000, 30000, 5)
    numbers = [
        (torch.randn(1, pyramid.channels(level), h, w, generator=rng) * spreads[level]).round().clamp(-32767, 32767).long()
        for level, (h, w) in enumerate(pyramid.sizes((37, 50)))
    ]
    digits = [4, 5, 9, 12]
    for group, places in zip(weight_groups(network), digits, strict=True):
        set_group(group, whole_group(group, places), places)
    code = encode(network, digits, numbers)
    read = decode(code.stream, code.lanes, (37, 50), 30)
    assert read.share == 1
    assert (read.check, read.coarse_check) == (code.check, code.coarse_check)
    assert all(torch.equal(one, other) for one, other in zip(read.pyramid, numbers, strict=True))
    for one, other in zip(network.parameters(), read.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_change_passes_unseen(file, pixels):
    whole, rng = np.asarray(decompress(file)), random.Random(0)
    outcomes = {"refused": 0, "told": 0, "same": 0}
    for _ in range(30):
        try:
            image = decompress(mutated(file, rng))
        except (FormatError, CheckpointError, ImageError):
            outcomes["refused"] += 1
            continue
        outcomes["told" if image.damage else "same"] += 1
        assert image.damage or np.array_equal(np.asarray(image), whole)
        if image.damage:
            assert error(image, pixels) < 80  # grey at the worst, never noise
    assert outcomes["told"] > 10


def test_a_cut_file_shows_what_it_has(file, pixels):
    images = [decompress(file[: len(file) * tenths // 10]) for tenths in (6, 9, 10)]
    assert [bool(image.damage) for image in images] == [True, True, False]
    errors = [error(image, pixels) for image in images]
    assert errors == sorted(errors, reverse=True)


def test_damage_stays_within_its_tile(monkeypatch):
    monkeypatch.setattr(job, "TILE", 8)
    large = photograph(32, 530)  # three tiles
    data = compress(large, quality=60, effort="max")
    whole = np.asarray(decompress(data), dtype=int)
    stream = parsed(data).tiles[1].stream
    place = data.index(stream) + len(stream) - 40
    image = decompress(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert image.damage == ("tile 2 of 3 is damaged and shows its coarse parts",)
    changed = np.abs(np.asarray(image, dtype=int) - whole).max(axis=(0, 2)) > 0
    assert changed[256:512].any()
    assert not changed[:256].any()
    assert not changed[512:].any()
    assert error(image, large) < 20
    early = data.index(stream) + 30  # within its network
    image = decompress(data[:early] + bytes([data[early] ^ 1]) + data[early + 1 :])
    assert image.damage == ("tile 2 of 3 is damaged and cannot be shown",)
    assert error(image, large) < 40  # the thumbnail


def test_rounding_hardens_to_whole_numbers():
    values = torch.tensor([-1.5, -0.4, 0.0, 0.3, 0.5, 0.7, 2.2])
    assert torch.allclose(overfit.soft_round(values, 1e-3).round(), values.floor() + (values - values.floor() > 0.5), atol=1)
    assert torch.allclose(overfit.soft_round(values, 100.0), values, atol=1e-3)
    near = (overfit.soft_round(values, 0.1) - values.round()).abs()
    assert (near <= (values - values.round()).abs() + 1e-6).all()


def test_bits_are_those_of_the_distribution():
    """Bits of all whole numbers around a mean are those of chances that add up to 1; far ones still have a slope."""
    for scale, mean in ((0.05, 0.2), (1.0, -0.3), (20.0, 0.5)):
        numbers = torch.arange(-400.0, 401.0, dtype=torch.float64)
        bits = overfit.laplace_bits(numbers - mean, torch.tensor(scale, dtype=torch.float64))
        assert float((2.0**-bits).sum()) == pytest.approx(1, abs=1e-4)
    far = torch.tensor(300.0, requires_grad=True)
    overfit.laplace_bits(far, torch.tensor(0.05)).backward()
    assert float(far.grad) > 0


def test_the_search_starts_at_a_picture(pixels):
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    start = [level.round() for level in pyramid.difference_pyramid(images, 80)]
    with torch.no_grad():
        shown = pyramid.PictureNetwork(80).synthesis(start)
    assert float((shown - images).abs().mean()) < 0.05


def test_own_tiles_are_shown_grey_when_nothing_is_known(file):
    stream = parsed(file).tiles[0].stream
    image = decompress(file[: file.index(stream)])
    assert image.damage == ("the picture is missing",)
    assert (np.asarray(image) == own_network.GREY).all()


def test_each_tune_is_best_by_its_own_error(monkeypatch):
    monkeypatch.setattr(own_network, "STEPS", 40)
    texture = np.random.default_rng(0).normal(0, 30, (161, 164, 1))
    pixels = np.clip(photograph(161, 164) + texture, 0, 255).astype(np.uint8)
    reference = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    totals = {}
    for tune in ("psnr", "ms-ssim"):
        data = compress(pixels, quality=30, effort="max", tune=tune)
        images = torch.from_numpy(np.asarray(decompress(data)).copy()).permute(2, 0, 1)[None] / 255
        errors = {kind: float(distortion(images, reference, kind)) for kind in ("psnr", "ms-ssim")}
        totals[tune] = {kind: 8 * len(data) / (161 * 164) + pyramid.weight_of(30) * error for kind, error in errors.items()}
    assert totals["psnr"]["psnr"] < totals["ms-ssim"]["psnr"]
    assert totals["ms-ssim"]["ms-ssim"] < totals["psnr"]["ms-ssim"]


def test_the_error_of_ms_ssim_is_that_of_the_metric():
    rng = torch.Generator().manual_seed(0)
    images, reference = (torch.rand(1, 3, 170, 165, generator=rng) for _ in range(2))
    images = 0.7 * reference + 0.3 * images
    assert float(distortion(images, reference, "ms-ssim")) == pytest.approx(1300 * (1 - float(ms_ssim(images, reference))), rel=1e-3)
    small, other = reference[:, :, :160], images[:, :, :160]
    assert float(distortion(small, other, "ms-ssim")) == float(distortion(small, other, "psnr"))


def test_a_tune_without_a_search_is_refused(pixels):
    with pytest.raises(SettingError, match="needs a search"):
        compress(pixels, tune="ms-ssim")

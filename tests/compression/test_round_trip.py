"""From a picture to a file and back: every kind and size, the promises about sizes of files, and the range of qualities."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import sfumato as sf
from sfumato.compression import compress as job
from sfumato.compression import planes
from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.compression.planes import Area
from sfumato.compression.refine import WEIGHT, refined
from sfumato.compression.symbols import SymbolCoder
from sfumato.core.errors import CheckpointError, FormatError, ImageError, SettingError
from tests.compression.conftest import small_codec


def psnr(one, other):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((np.asarray(one, dtype=float) - np.asarray(other, dtype=float)) ** 2)))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (16, 16), (17, 33), (64, 64), (100, 129)])
def test_pictures_of_any_size_come_back(codec, photograph, size):
    pixels = np.atleast_3d(photograph(*size)).reshape(*size, 3)
    data = compress(pixels, quality=100, model=codec)
    image = decompress(data, model=codec)
    assert image.mode == "RGB"
    assert image.size == size[::-1]
    assert image.damage == ()
    assert psnr(image, pixels) > 22


def test_better_quality_has_more_bytes_and_less_error(codec, photograph):
    pixels = photograph(96, 128)
    files = [compress(pixels, quality=quality, model=codec) for quality in (1, 40, 70, 100)]
    errors = [psnr(decompress(data, model=codec), pixels) for data in files]
    assert sorted(map(len, files)) == list(map(len, files))
    assert errors[0] < errors[1] < max(errors[2:])


def test_the_same_picture_in_every_kind_has_the_same_file(codec, photograph, tmp_path):
    pixels = photograph(40, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), Image.fromarray(pixels), pixels]
    kinds += [torch.from_numpy(pixels).permute(2, 0, 1) / 255, sf.read(tmp_path / "a.png")]
    with (tmp_path / "a.png").open("rb") as file:
        assert len({compress(kind, model=codec) for kind in (*kinds, file)}) == 1


def test_a_file_is_decompressed_from_its_path_its_bytes_or_the_open_file(codec, photograph, tmp_path):
    data, path = compress(photograph(40, 50), model=codec), tmp_path / "a.sfm"
    path.write_bytes(data)
    expected = np.asarray(decompress(data, model=codec))
    with path.open("rb") as file:
        for kind in (path, str(path), bytearray(data), file):
            assert np.array_equal(decompress(kind, model=codec), expected)
    for wrong in (tmp_path / "none.sfm", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            decompress(wrong, model=codec)
    path.write_bytes(b"words")
    with pytest.raises(FormatError, match=r"a\.sfm: "):
        decompress(path, model=codec)


def test_grey_stays_grey_and_costs_no_more(codec, photograph):
    grey = photograph(80, 80, channels=1)
    data = compress(grey, quality=90, model=codec)
    image = decompress(data, model=codec)
    assert image.mode == "L"
    assert psnr(image, grey) > 25


def test_opacity_comes_back_exactly(codec, photograph):
    pixels = photograph(60, 70, channels=3)
    alpha = np.zeros((60, 70), dtype=np.uint8)
    alpha[10:40, 20:60] = np.arange(40)[None] * 6
    image = decompress(compress(np.dstack([pixels, alpha]), model=codec), model=codec)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[:, :, 3], alpha)
    opaque = compress(np.dstack([pixels, np.full((60, 70), 255, dtype=np.uint8)]), model=codec)
    assert opaque == compress(pixels, model=codec)


def test_profile_and_exif_are_kept_on_request_and_counted(codec, photograph):
    image, exif = Image.fromarray(photograph(32, 32)), Image.Exif()
    exif[270] = "a hill"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    stored = io.BytesIO()
    image.save(stored, "PNG", icc_profile=profile, exif=exif.tobytes())
    plain, kept = (compress(stored.getvalue(), model=codec, keep_metadata=keep) for keep in (False, True))
    result = decompress(kept, model=codec)
    assert result.info["icc_profile"] == profile
    assert result.getexif()[270] == "a hill"
    assert "exif" not in decompress(plain, model=codec).info
    assert len(kept) > len(plain)


def test_another_colour_space_becomes_srgb(codec, photograph):
    pixels = photograph(48, 48)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = profile
    result = decompress(compress(image, quality=90, model=codec), model=codec)
    assert "icc_profile" not in result.info
    assert psnr(result, pixels) > 25


@pytest.mark.parametrize("wish", [{"bpp": 0.4}, {"max_kb": 0.3}])
def test_a_size_is_kept_and_used(codec, photograph, wish):
    pixels = photograph(64, 96)
    most = 0.4 * 64 * 96 / 8 if "bpp" in wish else 300
    data = compress(pixels, model=codec, **wish)
    assert 0.8 * most < len(data) <= most


def test_a_size_that_cannot_be_is_refused(codec, photograph):
    with pytest.raises(SettingError, match=r"takes [\d,]+ bytes at quality 1, and 20 were allowed"):
        compress(photograph(64, 64), max_kb=0.02, model=codec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 0}, "quality = 0 is outside 1 to 100"),
        ({"quality": 3, "bpp": 1.0}, "quality = 3 and bpp = 1.0: give one"),
        ({"bpp": 0.0}, "bpp = 0 is outside"),
        ({"max_kb": -1.0}, "max_kb = -1 must be above 0"),
    ],
)
def test_wishes_out_of_range_are_refused(codec, photograph, options, message):
    with pytest.raises(SettingError, match=message):
        compress(photograph(16, 16), model=codec, **options)


def test_large_pictures_have_tiles_without_seams(codec, photograph, monkeypatch):
    pixels = photograph(150, 290)
    whole = decompress(compress(pixels, quality=80, model=codec), model=codec)
    monkeypatch.setattr(job, "TILE", 8)
    monkeypatch.setattr("sfumato.compression.planes.PIECE", 7)
    data = compress(pixels, quality=80, model=codec)
    tiled = decompress(data, model=codec)
    assert data[4] & 32
    assert tiled.damage == ()
    # Tiles are predicted apart, so that symbols differ a little; no border shows in the error.
    error = np.abs(np.asarray(tiled, dtype=int) - pixels).mean(axis=(0, 2))
    assert error[250:262].mean() < 1.5 * error.mean()
    assert abs(psnr(whole, pixels) - psnr(tiled, pixels)) < 0.2


def test_a_file_of_another_codec_is_refused(codec, other_codec, photograph):
    data = compress(photograph(16, 16), model=codec)
    with pytest.raises(CheckpointError, match="was written with the codec of fingerprint"):
        decompress(data, model=other_codec)


def test_a_model_of_another_kind_is_refused(photograph):
    with pytest.raises(SettingError, match="compresses no pictures"):
        compress(photograph(16, 16), model="restore")


def test_what_is_no_picture_is_refused(codec):
    with pytest.raises(ImageError):
        compress(b"no picture", model=codec)


@pytest.mark.parametrize("part", ["analysis.", "inverse_gain."])
def test_numbers_that_are_none_are_an_error_and_no_picture(part, codec, photograph):
    """Weights may be finite and too large: the network that encodes, and the one that decodes."""
    pixels = photograph(24, 24)
    data = compress(pixels, quality=30, model=codec)
    broken = small_codec()
    for name, weight in broken.network.named_parameters():
        if name.startswith(part):
            weight.fill_(1e30)
    with pytest.raises(ImageError, match="NaN or infinite"):
        decompress(data, model=broken) if part.startswith("inverse") else compress(pixels, quality=30, model=broken)


def test_refinement_makes_a_better_bargain(codec, photograph, monkeypatch):
    """Of a latent that no encoder would give: that of a small untrained network leaves nothing to gain."""
    monkeypatch.setattr("sfumato.compression.refine.RATE", 0.1)
    network, pixels, quality = codec.network, torch.from_numpy(photograph(64, 64)), 60
    level, coder, area = torch.tensor([(quality - 1) / 99]), SymbolCoder(network, quality), Area(0, 0, 4, 4)
    exact = planes.encoded(network, pixels, area, quality)
    latent = exact + 3 * torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))
    hyper = coder.hyper_symbols(planes.hyper_encoded(network, exact, quality))

    def cost(latent):
        coded = coder.encode(latent, hyper)
        decoded = 255 * network.decode(coded.latent[None] / 256, level)[0].clamp(0, 1).permute(1, 2, 0)
        return 8 * len(coded.stream) / 64**2 + WEIGHT * float(network.weight(level)) * float((decoded - pixels).square().mean())

    assert cost(refined(network, latent, hyper, pixels, area, quality)) < 0.5 * cost(latent)

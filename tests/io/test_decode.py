"""Every kind of image file becomes the 8-bit pixels that a person would expect."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import ImageError
from sfumato.io import decode

COLOUR = np.stack([*np.meshgrid(np.linspace(0, 255, 40), np.linspace(255, 0, 24)), np.full((24, 40), 90.0)], -1).round().astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return lambda: io.BytesIO(file.getvalue())


def pixels(image, kind="PNG", *, channels=3, size=None, crop="centre", **options):
    return decode.decode(encoded(image, kind, **options), "file", channels=channels, size=size, crop=crop)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height):
    """A small file whose header promises a large image."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "subsampling": 0}, 12),
        ("GIF", {}, 40),
    ],
)
def test_formats(kind, options, error):
    got = pixels(Image.fromarray(COLOUR), kind, **options)
    assert np.abs(got.astype(int) - COLOUR).max() <= error


def test_only_the_first_frame_and_page():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        got = pixels(frames[0], kind, save_all=True, append_images=frames[1:])
        assert got[..., 0].min() > 240, kind
        assert got[..., 1].max() < 20, kind


def test_grey_is_luma_and_grey_stays_grey():
    assert pixels(Image.new("RGB", (1, 1), (255, 0, 0)), channels=1).item() == 76
    assert pixels(Image.new("RGB", (1, 1), (0, 255, 0)), channels=1).item() == 150
    assert pixels(Image.new("RGB", (1, 1), (0, 0, 255)), channels=1).item() == 29
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(pixels(Image.fromarray(ramp), channels=3), np.repeat(ramp[..., None], 3, -1))


def test_transparency_goes_over_white_unless_asked_for():
    half = Image.new("RGBA", (2, 2), (0, 100, 200, 128))
    assert pixels(half)[0, 0].tolist() == [127, 177, 227]
    assert pixels(half, channels=4)[0, 0].tolist() == [0, 100, 200, 128]
    assert pixels(half, channels=1).max() == round(0.299 * 127 + 0.587 * 177 + 0.114 * 227)
    assert pixels(Image.new("LA", (2, 2), (0, 0)), channels=1).min() == 255
    assert pixels(Image.new("RGB", (2, 2), "blue"), channels=4)[0, 0].tolist() == [0, 0, 255, 255]


def test_palettes():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(image)[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    assert pixels(image, transparency=0)[0].tolist() == [[255, 255, 255], [200, 100, 50]]
    assert not decode.facts(encoded(image, "PNG"), "file").grey
    image.putpalette([10, 10, 10, 200, 200, 200])
    assert decode.facts(encoded(image, "PNG"), "file").grey


def test_one_bit_cmyk_and_sixteen_bits():
    assert pixels(Image.fromarray(np.array([[True, False]])), channels=1).ravel().tolist() == [255, 0]
    assert pixels(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")[0, 0].tolist() == [255, 0, 0]
    wide = Image.fromarray(np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16))
    for kind in ("PNG", "TIFF"):
        assert pixels(wide, kind, channels=1).ravel().tolist() == [0, 0, 1, 1, 128, 255]
    with pytest.raises(ImageError, match="more than 16 bits"):
        pixels(Image.fromarray(np.array([[70000]], dtype=np.int32)), "TIFF", channels=1)
    with pytest.raises(ImageError, match="file: has floating-point pixels"):
        pixels(Image.fromarray(np.array([[0.5]], dtype=np.float32)), "TIFF", channels=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_turn_is_carried_out(kind, orientation):
    upright = np.zeros((16, 32), dtype=np.uint8)
    upright[:8, :8] = 255
    # what a camera stores so that a viewer, obeying the tag, shows `upright`
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 6: np.rot90}
    undo |= {7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, 3)}
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = encoded(Image.fromarray(undo[orientation](upright).copy()).convert("RGB"), kind, exif=exif)
    assert decode.facts(source, "file").size == (16, 32)
    got = decode.decode(source, "file", channels=1)[..., 0]
    assert got.shape == (16, 32)
    assert np.abs(got.astype(int) - upright).mean() < 12
    small = decode.decode(source, "file", channels=1, size=(2, 4))[..., 0]
    assert small[0, 0] > 180
    assert small[1].max() < 60


def test_centre_crop_and_stretch():
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 255
    assert pixels(Image.fromarray(wide), channels=1, size=(10, 10)).min() == 255
    stretched = pixels(Image.fromarray(wide), channels=1, size=(10, 10), crop="stretch")[0, :, 0]
    assert stretched[0] == stretched[-1] == 0
    assert stretched[5] == 255
    for shape in ((7, 3), (3, 7), (33, 1), (64, 64)):
        assert pixels(Image.fromarray(COLOUR), size=shape).shape == (*shape, 3)


def test_reducing_does_not_alias():
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(pixels(Image.fromarray(board), channels=1, size=(32, 32)).astype(int) - 127).max() <= 2


def test_a_large_jpeg_decoded_in_part_looks_the_same():
    ramp = Image.fromarray(COLOUR).resize((1600, 960), Image.Resampling.BICUBIC)
    whole = np.asarray(Image.open(encoded(ramp, "JPEG", quality=95)()).resize((40, 24), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(pixels(ramp, "JPEG", quality=95, size=(24, 40)) - whole).max() <= 4


@pytest.mark.parametrize("side", [20_000, 11_000, 2_000_000_000])
def test_a_header_that_promises_too_much_is_refused_before_pixels_are_decoded(side, decoded):
    for ask in (decode.facts, lambda source, name: decode.decode(source, name, channels=3, size=(8, 8))):
        with pytest.raises(ImageError, match=r"bomb\.png: .*(megapixels|damaged)"):
            ask(lambda: io.BytesIO(png_of(side, side)), "bomb.png")
    assert decoded() == set()


def test_what_is_no_image_says_so(tmp_path):
    good = encoded(Image.fromarray(COLOUR), "PNG")().getvalue()
    for content in (b"", b"plain text, not pixels", good[:20], good[:-30], good[:60] + bytes(9) + good[69:], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(ImageError, match=r"^x\.png: ") as caught:
            decode.decode(lambda content=content: io.BytesIO(content), "x.png", channels=3)
        assert "\n" not in str(caught.value)
        assert "BytesIO" not in str(caught.value)
    with pytest.raises(ImageError, match="No such file"):
        decode.decode(tmp_path / "absent.png", "absent.png", channels=3)


def test_sixteen_bit_grey_with_a_clear_level_goes_over_white():
    values = np.array([[0, 40_000], [65_535, 0]], dtype=np.uint16)
    grey = pixels(Image.fromarray(values), channels=1, transparency=0)[..., 0]
    assert grey.tolist() == [[255, 156], [255, 255]]
    assert pixels(Image.fromarray(values), channels=4, transparency=0)[..., 3].tolist() == [[0, 255], [255, 0]]

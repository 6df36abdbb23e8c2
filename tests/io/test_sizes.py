"""Sizes of pictures from their first bytes: those of Pillow, and never an exception or an endless loop for damaged files."""

import io

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import ImageError
from sfumato.io import bounds
from sfumato.io.sizes import stored_size

RNG = np.random.default_rng(0)
FORMS = {
    "PNG": ({}, {"optimize": True}),
    "JPEG": ({}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(60_000), "comment": "x" * 300}, {"restart_marker_rows": 1}),
    "WEBP": ({}, {"lossless": True}, {"icc_profile": bytes(200)}),
    "BMP": ({},),
    "GIF": ({}, {"comment": b"y" * 700}),
    "TIFF": ({}, {"compression": "tiff_deflate"}),
}


def encoded(form, mode="RGB", size=(37, 21), **options):
    pixels = RNG.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


CASES = [(form, options) for form, kinds in FORMS.items() for options in kinds]


@pytest.mark.parametrize(("form", "options"), CASES)
@pytest.mark.parametrize("size", [(1, 1), (37, 21), (300, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_sizes_are_those_of_pillow(form, options, size, mode):
    if form == "JPEG" and mode in ("RGBA", "P"):
        pytest.skip("JPEG has neither opacity nor a palette")
    content = encoded(form, mode, size, **options)
    with Image.open(io.BytesIO(content)) as image:
        assert stored_size(io.BytesIO(content), form) == image.size[::-1] == size[::-1]


def test_a_bitmap_of_os2_or_stored_top_down_has_its_size():
    top_down = bytearray(encoded("BMP"))
    top_down[22:26] = (-21).to_bytes(4, "little", signed=True)
    assert stored_size(io.BytesIO(top_down), "BMP") == (21, 37)
    old = b"BM" + bytes(12) + (12).to_bytes(4, "little") + (37).to_bytes(2, "little") + (21).to_bytes(2, "little") + bytes(4)
    assert stored_size(io.BytesIO(old), "BMP") == (21, 37)


def test_a_first_frame_beyond_the_screen_of_a_gif_counts():
    content = bytearray(encoded("GIF"))
    content[6:10] = bytes([5, 0, 4, 0])
    with Image.open(io.BytesIO(content)) as image:
        assert stored_size(io.BytesIO(content), "GIF") == image.size[::-1] == (21, 37)


@pytest.mark.parametrize(("form", "options"), CASES)
def test_damage_gives_none_or_a_size_and_no_other_error(form, options):
    content = encoded(form, **options)
    for _ in range(60):
        damaged = bytearray(content[: int(RNG.integers(0, len(content)))])
        for _ in range(int(RNG.integers(0, 4))):
            if damaged:
                damaged[int(RNG.integers(0, min(len(damaged), 64)))] = int(RNG.integers(0, 256))
        try:
            size = stored_size(io.BytesIO(damaged), form)
        except ImageError:
            assert form == "TIFF", "whose tags are checked"
            continue
        assert size is None or min(size) > 0


def test_no_file_keeps_its_reader_busy():
    """Padding, empty segments and blocks are skipped up to a limit, however long the file is."""
    reads = 0

    class Counted(io.BytesIO):
        def read(self, *count):
            nonlocal reads
            reads += 1
            return super().read(*count)

    screen = b"GIF89a" + bytes(7)
    for form, content in (("JPEG", b"\xff\xd8" + b"\xff" * (1 << 20)), ("GIF", screen + b"\x21\x01" + b"\x01x" * (1 << 20))):
        assert stored_size(Counted(content), form) is None
    assert reads < 300_000
    with pytest.raises(ImageError, match="between the segments"):
        bounds.check(io.BytesIO(b"\xff\xd8" + b"\xff" * (3 << 20)), "JPEG")


def test_other_formats_are_left_to_others():
    assert stored_size(io.BytesIO(b"P6 1 1 255 abc"), "PPM") is None

"""A picture takes what it decodes to, twice at most, and a file that promises or unpacks to more is refused before it does."""

import io
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import CheckpointError, ImageError
from sfumato.dreaming.files import replayed
from sfumato.dreaming.films import still_frames, timing
from sfumato.io import bounds, decode, files, metadata, streaming, tiff
from sfumato.io.embedded import KEY
from sfumato.io.png import PNG, chunk

MEGABYTE = 1 << 20


def png(*between, size=(4, 4), pixels=None):
    """A PNG of black pixels in RGBA with these chunks before them."""
    width, height = size
    raw = zlib.compress(bytes(height * (1 + 4 * width))) if pixels is None else pixels
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return PNG + header + b"".join(between) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")


def refusals(path):
    """What each way of reading says of the file."""
    ways = (lambda: files.read(path), lambda: decode.facts(path, path.name), lambda: metadata.read(path))
    for read in ways:
        with pytest.raises(ImageError) as caught:
            read()
        assert "\n" not in str(caught.value)
        yield str(caught.value)


BOMB = zlib.compress(bytes(50 * MEGABYTE), 9)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (chunk(b"zTXt", b"Title\0\0" + BOMB), "zTXt.* unpacks to more than 1 MiB"),
        (chunk(b"iTXt", b"Title\0\1\0en\0title\0" + BOMB), "iTXt.* unpacks to more than 1 MiB"),
        (chunk(b"iCCP", b"profile\0\0" + BOMB), "iCCP.* unpacks to more than 1 MiB"),
    ],
)
def test_what_unpacks_to_much_more_is_refused(tmp_path, piece, words):
    path = tmp_path / "x.png"
    path.write_bytes(png(piece))
    tracemalloc.start()
    try:
        for message in refusals(path):
            assert re.search(words, message)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_chunks_that_lie_about_their_length_take_what_the_file_has(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png()[:33] + struct.pack(">I4s", 0x7FFFFFFF, b"tEXt") + b"Title\0x")
    tracemalloc.start()
    try:
        list(refusals(path))
        assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_header_that_its_pixels_cannot_fill_is_refused_unread(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png(size=(9000, 9000), pixels=zlib.compress(bytes(1000))))
    for message in refusals(path):
        assert "declares 324000000 bytes of pixels, too many for" in message
    black = np.zeros((1000, 1000, 4), np.uint8)
    Image.fromarray(black).save(path, compress_level=9)  # as strongly as can be
    assert files.read(path).pixels.shape == (1000, 1000, 3)


def test_a_recipe_in_a_picture_of_any_size_is_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "x.png"
    recipe = '{"network": "inception", "dream": {"steps": 3}}'
    path.write_bytes(png(chunk(b"tEXt", KEY.encode() + b"\0" + recipe.encode())))
    assert replayed(path)[0].steps == 3
    for side in (9000, 30_000, 2_000_000_000):
        path.write_bytes(png(chunk(b"tEXt", KEY.encode() + b"\0{}"), size=(side, side), pixels=b""))
        with pytest.raises(CheckpointError) as caught:
            replayed(path)
        assert "\n" not in str(caught.value)


def test_reading_takes_the_decoded_picture_twice_and_no_more(tmp_path):
    """By the kernel's own count of the pages that this process held at its height."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("only Linux tells the peak of a process that can be set back")
    rng, side = np.random.default_rng(0), 2000
    tile = rng.integers(0, 256, (side // 40, side // 40, 4), dtype=np.uint8)
    Image.fromarray(np.tile(tile, (40, 40, 1))).save(tmp_path / "x.png", compress_level=1)
    Image.new("RGBA", (8, 8)).save(tmp_path / "small.png")
    decoded = side * side * 4
    for read in (
        lambda path: files.read(path, lossless=True),
        lambda path: decode.decode(path, "x", channels=3),
        lambda path: decode.decode(path, "x", channels=4),
        lambda path: decode.decode(path, "x", channels=3, size=(64, 64)),
    ):
        read(tmp_path / "small.png")  # what is imported and kept for good
        try:
            reset.write_text("5")
        except OSError:
            pytest.skip("the peak of this process may not be set back here")
        before = held("VmRSS")
        read(tmp_path / "x.png")
        assert held("VmHWM") - before < 2 * decoded + 8 * MEGABYTE  # some pieces, on the way


def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"progressive": True}), ("WEBP", {})])
def test_a_file_that_is_decoded_as_a_whole_needs_room_for_it(tmp_path, form, options):
    path = tmp_path / "x"
    if form == "PNG":
        pyvips = pytest.importorskip("pyvips", reason="Pillow writes no interlaced PNG")
        pyvips.Image.black(100, 100, bands=3).pngsave(str(path), interlace=True)
    else:
        Image.new("RGB", (100, 100)).save(path, form, **options)
    streaming.refuse_whole(path, option="", memory=100_000)
    with pytest.raises(ImageError, match="is decoded as a whole"):
        streaming.refuse_whole(path, option="", memory=20_000)
    Image.new("RGB", (100, 100)).save(path, "JPEG")
    streaming.refuse_whole(path, option="", memory=0)


def test_an_animation_is_read_frame_by_frame_and_not_without_end(tmp_path, monkeypatch):
    frames = [Image.new("RGB", (20, 10), (i, 0, 0)) for i in range(0, 250, 50)]
    frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert timing(tmp_path / "x.webp") == (5, 20.0)
    assert [round(float(frame[0, 0].max()) * 255) for frame in still_frames(tmp_path / "x.webp")] == [0, 50, 100, 150, 200]
    monkeypatch.setattr("sfumato.dreaming.films.MOST_PIXELS", 999)
    with pytest.raises(ImageError, match="5 frames of 20 x 10 pixels, more than"):
        timing(tmp_path / "x.webp")


def test_a_file_that_has_to_be_in_memory_as_a_whole_may_not_be_too_large(monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "WEBP")
    bounds.check(file, "WEBP")
    assert file.tell() == 0
    monkeypatch.setattr(bounds, "LARGEST_FILE", 20)
    with pytest.raises(ImageError, match="read as a whole"):
        bounds.check(file, "WEBP")


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt", b"IEND"])
def test_a_part_of_a_png_may_not_claim_more_than_the_file_holds(kind):
    content = bytearray(png(chunk(b"tEXt", b"Title\0A picture")))
    place = content.index(kind) - 4
    content[place : place + 4] = struct.pack(">I", 1 << 31)
    with pytest.raises(ImageError, match="claims 2147483648 bytes"):
        bounds.check(io.BytesIO(content), "PNG")


def test_segments_before_the_pixels_have_a_limit(monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", comment=b"x" * 5000)
    bounds.check(file, "JPEG")
    monkeypatch.setattr(tiff, "LARGEST", 1000)
    with pytest.raises(ImageError, match="before its pixels"):
        bounds.check(file, "JPEG")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "PPM", "JPEG2000", "TGA"])
def test_changed_bytes_make_another_picture_or_one_line(form):
    file, rng, name = io.BytesIO(), np.random.default_rng(0), "x.tga" if form == "TGA" else "x"
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    options = {"exif": exif.tobytes()} if form in ("PNG", "JPEG", "WEBP", "AVIF") else {}
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(file, form, **options)
    good, outcomes = file.getvalue(), set()
    for _ in range(60):
        content = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(len(content), 200) if rng.integers(2) else len(content))] = rng.integers(256)
        content = bytes(content[: rng.integers(len(content))] if rng.integers(4) == 0 else content)
        try:
            decode.decode(lambda content=content: io.BytesIO(content), name, channels=3)
            outcomes.add("read")
        except ImageError as error:
            outcomes.add("refused" if "\n" not in str(error) else "several lines")
    assert outcomes <= {"read", "refused"}
    assert "refused" in outcomes

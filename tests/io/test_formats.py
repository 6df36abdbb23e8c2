"""The content of a file decides which picture it is, and its name only where the content cannot."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from sfumato.io import formats

COLOUR = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))


def encoded(kind, **options):
    file = io.BytesIO()
    COLOUR.save(file, kind, **options)
    return file.getvalue()[: formats.START]


WRITTEN = [("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WebP"), ("BMP", "BMP"), ("GIF", "GIF"), ("TIFF", "TIFF"), ("AVIF", "AVIF"),
           ("PPM", "PPM"), ("JPEG2000", "JPEG 2000")]  # fmt: skip


@pytest.mark.parametrize(("format", "name"), WRITTEN)
@pytest.mark.parametrize("called", ["x", "x.png", "x.jfif", "a/b.c/x.txt"])
def test_what_is_read_is_known_whatever_it_is_called(format, name, called):
    kind = formats.identify(encoded(format), called)
    assert (kind.name, kind.format, kind.read) == (name, format, True)


def test_a_targa_is_known_by_its_ending_and_a_sound_header():
    assert formats.identify(encoded("TGA"), "x.TGA").name == "TGA"
    assert formats.by_content(encoded("TGA"), "x") is None
    assert formats.by_content(b"no header of a picture at all", "x.tga") is None


def box(*brands):
    return struct.pack(">I4s", 8 + 4 * len(brands), b"ftyp") + b"".join(brands) + bytes(64)


DNG = struct.pack("<2sHIHHHIIHHIII", b"II", 42, 8, 2, 254, 4, 1, 1, 50706, 1, 4, 0x0401, 0)


@pytest.mark.parametrize(
    ("start", "called", "name"),
    [
        (box(b"heic", bytes(4), b"mif1"), "x", "HEIC"),
        (box(b"mif1", bytes(4), b"avif"), "x.heic", "AVIF"),
        (box(b"isom", bytes(4), b"mp42"), "x.jpg", "film"),
        (box(b"crx ", bytes(4)), "x", "camera raw (Canon CR3)"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(32), "x.tif", "camera raw (Canon CR2)"),
        (DNG, "x.tif", "camera raw (DNG)"),
        (DNG[:4] + b"\xff\xff\xff\xff" + DNG[8:], "x.tif", "TIFF"),
        (b"II*\0\x08\0\0\0" + bytes(32), "x.NEF", "camera raw (Nikon NEF)"),
        (b"FUJIFILMCCD-RAW 0201", "x", "camera raw (Fujifilm RAF)"),
        (b"8BPS\0\x01", "x", "Photoshop PSD"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "x", "SVG"),
        (b"RIFF\x10\0\0\0AVI LIST", "x.webp", "film"),
        (b"damaged", "x.png", "PNG"),
        (b"", "x.heic", "HEIC"),
    ],
)
def test_what_others_are(start, called, name):
    assert formats.identify(start, called).name == name


@pytest.mark.parametrize(
    "start",
    [b"", b"P5", b"P5 is a size", b"BMW is a car, and this is a long text about it", b"%PDF-1.7", b"{}", b"PK\3\4" + bytes(40), b"II*"],
)
def test_what_is_no_picture(start):
    assert formats.identify(start, "x.txt") is None
    assert formats.identify(start, "noending") is None


def test_only_files_are_opened(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to("absent")
    (tmp_path / "x").write_bytes(encoded("PNG"))
    kinds = {name: formats.identify_file(tmp_path / name) for name in ("folder.png", "pipe.png", "nowhere.png", "x", "absent")}
    assert {name: kind and kind.name for name, kind in kinds.items()} == {
        "folder.png": None, "pipe.png": None, "nowhere.png": "PNG", "x": "PNG", "absent": None,
    }  # fmt: skip


def test_an_extra_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    heic = formats.identify(b"", "x.heic")
    assert not heic.read
    assert formats.summary([heic]) == "passed over 1 file: 1 HEIC (needs pillow-heif; install it with: pip install pillow-heif)"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert heic.read


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_stumble_it(seed):
    rng = np.random.default_rng(seed)
    for start in [bytes(rng.integers(0, 256, rng.integers(0, 80), dtype=np.uint8)) for _ in range(300)]:
        for front in (b"", b"II*\0", b"MM\0*", b"RIFF", b"BM", b"P6\n", b"\0\0\0\x20ftyp"):
            for called in ("x", "x.tga", "x.svg", "..", ""):
                formats.identify(front + start, called)

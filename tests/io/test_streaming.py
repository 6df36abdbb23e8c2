"""Pictures a few rows at a time are the pictures as a whole, upright, and nothing stays behind."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from sfumato.core.errors import ImageError, MissingExtraError, StorageError
from sfumato.io import decode, metadata, streaming
from sfumato.io.files import Picture, read, write
from sfumato.io.metadata import Metadata
from sfumato.io.png import chunk
from sfumato.io.streaming import Sink, megapixels, open_rows

pyvips = pytest.importorskip("pyvips", reason="pictures larger than memory go through pyvips")

METADATA = Metadata(icc=b"a profile", dpi=(300.0, 150.0), xmp=b"<x:xmpmeta/>", text={"Title": "Übung", "Software": "x"})


def pixels(channels, depth=8, size=(37, 23), seed=0):
    values = np.random.default_rng(seed).integers(0, 2**depth, (*size, channels), dtype=np.uint16 if depth == 16 else np.uint8)
    return torch.from_numpy(values)


@pytest.fixture
def exif():
    tags = Image.Exif()
    tags[0x010F], tags[0x8769], tags[0x8825] = "Camera", {0x8827: 200, 0x927C: b"a maker's notes"}, {1: "N"}
    return tags


@pytest.mark.parametrize(("ending", "depth"), [(".png", 8), (".tif", 8), (".webp", 8), (".png", 16), (".tif", 16)])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_written_in_strips_and_read_whole(tmp_path, exif, ending, alpha, channels, depth):
    path, stored = tmp_path / f"x{ending}", pixels(channels + alpha, depth)
    metadata_in = Metadata(**{**vars(METADATA), "exif": exif.tobytes()})
    with Sink(path, (37, 23), channels, alpha=alpha, depth=depth, metadata=metadata_in) as sink:
        for start in range(0, 37, 10):
            sink.write(stored[start : start + 10])
        sink.finish()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    back = read(path, lossless=True)
    assert torch.equal(back.pixels, stored[..., :channels].expand_as(back.pixels))
    assert back.pixels.shape[-1] == (3 if ending == ".webp" else channels)
    assert (back.alpha is not None) == alpha
    assert back.alpha is None or torch.equal(back.alpha, stored[..., channels:])
    assert (back.icc, back.xmp) == (METADATA.icc, METADATA.xmp)
    assert back.text == (METADATA.text if ending == ".png" else {})
    assert back.dpi == (None if ending == ".webp" else pytest.approx(METADATA.dpi, abs=0.02))
    tags = Image.Exif()
    tags.load(back.exif)
    assert tags[0x010F] == "Camera"
    assert dict(tags.get_ifd(0x8769)) == {0x8827: 200, 0x927C: b"a maker's notes"}
    with open_rows(path, folder=tmp_path) as source:
        assert (source.size, source.alpha, source.depth) == ((37, 23), alpha, depth)
        assert source.metadata == metadata.read(path)[0]
        rows = source.rows(20, 37), source.rows(0, 20)
        assert torch.equal(torch.cat(rows[::-1])[..., -1], stored[..., -1])
        with pytest.raises(ImageError, match="rows 30 to 38 lie outside a picture of 37 rows"):
            source.rows(30, 38)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_a_whole_is(tmp_path, monkeypatch, exif, ending, orientation):
    monkeypatch.setattr(streaming, "_BLOCK", 2000)  # so that there are several
    exif[0x0112] = orientation
    path, options = tmp_path / f"x{ending}", {"lossless": True} if ending == ".webp" else {}
    Image.fromarray(pixels(3, size=(50, 23)).numpy()).save(path, exif=exif.tobytes(), **options)
    whole = read(path)
    assert whole.pixels.shape == ((23, 50, 3) if orientation > 4 else (50, 23, 3))
    with open_rows(path) as source:
        assert source.size == tuple(whole.pixels.shape[:2])
        assert torch.equal(source.rows(0, source.size[0]), whole.pixels)
        assert source.metadata == Metadata(**{name: getattr(whole, name) for name in Metadata.__dataclass_fields__})


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_every_mode_as_a_whole_is(tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(pixels(1, 16)[..., 0].numpy())
    else:
        image = Image.fromarray(pixels(4).numpy()).convert("RGB" if mode == "P" else "RGBA").convert(mode)
    image.save(tmp_path / "x.png")
    whole = read(tmp_path / "x.png", lossless=True)
    with open_rows(tmp_path / "x.png") as source:
        rows = source.rows(0, 37)
    assert torch.equal(rows[..., : source.channels], whole.pixels)
    assert (whole.alpha is not None) == source.alpha
    assert whole.alpha is None or torch.equal(rows[..., -1:], whole.alpha)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def turned_elsewhere(folder, place):
    """A file whose turn by a quarter does not stand where a camera writes it."""
    image, exif, info = Image.fromarray(pixels(3).numpy()), Image.Exif(), PngImagePlugin.PngInfo()
    path = folder / f"x.{place.split()[0]}"
    exif[0x0112] = 6
    if place == "png xmp":
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    if place == "png old":
        info.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n", zip=True)
    options = {"pnginfo": info} if "png" in place else {"tiffinfo": {700: XMP}} if "tif" in place else {"xmp": XMP}
    image.save(path, **options)
    if place == "png late":
        whole = path.read_bytes()
        path.write_bytes(whole[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + whole[-12:])
    return path


@pytest.mark.parametrize("place", ["png late", "png old", "png xmp", "tif xmp", "jpg xmp", "webp xmp"])
def test_a_turn_that_stands_elsewhere_is_seen_by_every_reader(tmp_path, place):
    path = turned_elsewhere(tmp_path, place)
    assert decode.facts(path, "x").size == (23, 37)
    assert decode.decode(path, "x", channels=3).shape == (23, 37, 3)
    whole = read(path)
    assert whole.pixels.shape == (23, 37, 3)
    with open_rows(path) as source:
        assert torch.equal(source.rows(0, 23), whole.pixels)
    target = path.with_stem("y")
    write(target, whole)
    assert read(target).pixels.shape == (23, 37, 3)


@pytest.mark.parametrize("ending", [".jpg", ".tif"])
def test_ink_has_the_colours_that_it_has_as_a_whole(tmp_path, ending):
    Image.fromarray(pixels(4).numpy(), "CMYK").save(tmp_path / f"x{ending}")
    with open_rows(tmp_path / f"x{ending}") as source:
        assert torch.equal(source.rows(0, 37), read(tmp_path / f"x{ending}", lossless=True).pixels)


def test_ink_of_sixteen_bits_stays_of_sixteen_bits(tmp_path):
    ink = pixels(4, 16)
    pyvips.Image.new_from_array(ink.numpy()).copy(interpretation="cmyk").tiffsave(str(tmp_path / "x.tif"))
    picture = read(tmp_path / "x.tif", lossless=True)
    light = 1 - ink.double() / 65535
    assert torch.equal(picture.pixels.double(), (light[..., :3] * light[..., 3:] * 65535).round())
    assert (picture.pixels.double() / 257 - read(tmp_path / "x.tif").pixels.double()).abs().max() < 2


def test_jpeg_keeps_about_its_quality_and_its_subsampling(tmp_path):
    smooth = torch.from_numpy(np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3))
    for quality, subsampling in ((60, 2), (90, 0)):
        Image.fromarray(smooth.numpy()).save(tmp_path / "x.jpg", quality=quality, subsampling=subsampling)
        with open_rows(tmp_path / "x.jpg") as source, Sink(tmp_path / "y.jpg", (64, 64), 3, metadata=source.metadata) as sink:
            assert source.metadata.jpeg.quality() == quality
            sink.write(source.rows(0, 64))
            sink.finish()
        assert metadata.read(tmp_path / "y.jpg")[0].jpeg == source.metadata.jpeg
    with Sink(tmp_path / "z.jpg", (64, 64), 3, alpha=True, metadata=METADATA) as sink:
        sink.write(torch.zeros(64, 64, 4, dtype=torch.uint8))
        sink.finish()
    back = read(tmp_path / "z.jpg")
    assert back.pixels.min() > 250
    assert (back.icc, back.dpi, back.xmp) == (METADATA.icc, METADATA.dpi, METADATA.xmp)


def test_a_large_tiff_has_wide_places(tmp_path, monkeypatch, exif):
    monkeypatch.setattr(streaming, "_CLASSIC", 100)
    with Sink(tmp_path / "x.tif", (37, 23), 3, metadata=Metadata(**{**vars(METADATA), "exif": exif.tobytes()})) as sink:
        sink.write(pixels(3))
        sink.finish()
    assert (tmp_path / "x.tif").read_bytes()[2] == 43
    back = read(tmp_path / "x.tif", lossless=True)
    assert torch.equal(back.pixels, pixels(3))
    assert (back.icc, back.dpi, back.xmp) == (METADATA.icc, METADATA.dpi, METADATA.xmp)
    assert b"Camera" in back.exif


def test_megapixels_of_what_is_too_large_to_read(tmp_path):
    for ending in (".png", ".tif", ".jpg"):
        path = tmp_path / f"x{ending}"
        pyvips.Image.black(20000, 10000).write_to_file(str(path), **({"compression": "deflate"} if ending == ".tif" else {}))
        assert megapixels(path) == 200
        with pytest.raises(ImageError, match="200 megapixels, larger than the 100"):
            read(path)
    write(tmp_path / "y.bmp", Picture(pixels=pixels(3)))
    assert megapixels(tmp_path / "y.bmp") == pytest.approx(37 * 23 / 1e6)
    (tmp_path / "z.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"z\.png: is not an image"):
        megapixels(tmp_path / "z.png")


@pytest.mark.slow
def test_memory_does_not_grow_with_height(tmp_path):
    pyvips.Image.black(4000, 8000, bands=3).copy(interpretation="srgb").write_to_file(str(tmp_path / "x.png"))
    program = """
import resource, sys
from pathlib import Path
from sfumato.io.streaming import Sink, open_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[1])
with open_rows(path, folder=path.parent) as source, Sink(path.with_name("y.tif"), source.size, 3, metadata=source.metadata) as sink:
    for start in range(0, 8000, 100):
        sink.write(source.rows(start, start + 100))
    sink.finish()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.png")], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 60  # MB; the pixels are 96, and would be held twice


def test_what_cannot_be_read(tmp_path):
    Image.fromarray(np.full((9, 7), np.nan, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif: has floating-point pixels"), open_rows(tmp_path / "float.tif"):
        pass
    for ending in (".png", ".tif", ".webp"):
        path = tmp_path / f"many{ending}"
        frames = [Image.fromarray(pixels(3, seed=seed).numpy()) for seed in range(3)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match=r"many\.\w+: has 3 frames or pages"), open_rows(path):
            pass
    write(tmp_path / "whole.png", Picture(pixels=pixels(3, size=(200, 200))))
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60000])
    with pytest.raises(ImageError, match=r"half\.png: "), open_rows(tmp_path / "half.png", folder=tmp_path):
        pass
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_written(tmp_path):
    for name, options, message in (
        ("x.gif", {}, r"x\.gif: cannot be written in rows as '\.gif'; use one of \.png"),
        ("x.jpg", {"depth": 16}, "16-bit pixels can be written as .png or .tif"),
    ):
        with pytest.raises(ImageError, match=message):
            Sink(tmp_path / name, (37, 23), 3, metadata=METADATA, **options)
    with pytest.raises(ImageError, match="at most 16383 a side"):
        Sink(tmp_path / "x.webp", (16384, 8), 3, metadata=METADATA)
    with Sink(tmp_path / "x.png", (37, 23), 3, metadata=METADATA) as sink:
        sink.write(pixels(3)[:30])
        with pytest.raises(ImageError, match=r"rows of shape \(8, 23, 3\), torch.uint8, do not fit after 30 of 37 rows"):
            sink.write(pixels(3)[:8])
        with pytest.raises(ImageError, match="only 30 of 37 rows were written"):
            sink.finish()
    assert list(tmp_path.iterdir()) == []


def copy(source, target):
    with open_rows(source, folder=target.parent) as picture, Sink(target, picture.size, 3, metadata=picture.metadata) as sink:
        sink.write(picture.rows(0, 37))
        sink.finish()


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, monkeypatch, place):
    write(tmp_path / "x.png", Picture(pixels=pixels(3)))
    (tmp_path / "y.png").write_bytes(b"old")

    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, place, refuse)
    with pytest.raises(StorageError, match=r"y\.png: cannot be written"):
        copy(tmp_path / "x.png", tmp_path / "y.png")
    assert (tmp_path / "y.png").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.png", "y.png"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    write(tmp_path / "x.png", Picture(pixels=pixels(3)))

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Sink, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        copy(tmp_path / "x.png", tmp_path / "y.png")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_without_the_extra(tmp_path, monkeypatch):
    write(tmp_path / "x.png", Picture(pixels=pixels(3)))
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pyvips\[binary\]"'), open_rows(tmp_path / "x.png"):
        pass
    with pytest.raises(MissingExtraError, match=r'pip install "pyvips\[binary\]"'):
        Sink(tmp_path / "y.png", (37, 23), 3, metadata=METADATA)
    assert megapixels(tmp_path / "x.png") > 0

"""Pictures come back with all they had, and a file is written whole or not at all."""

import errno
import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from sfumato.core import disk
from sfumato.core.errors import ImageError, MissingExtraError, SettingError, StorageError
from sfumato.data.files import Picture, read, save_animation, save_image, write


def colours(height=10, width=14, channels=3, seed=0):
    return torch.randint(0, 256, (height, width, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def exif():
    tags = Image.Exif()
    tags[0x010F] = "Camera"
    return tags


@pytest.mark.parametrize(
    ("ending", "channels"), [(".png", 1), (".png", 3), (".webp", 3), (".tif", 1), (".tif", 3), (".bmp", 1), (".bmp", 3)]
)
def test_lossless_formats_return_the_same_pixels(tmp_path, ending, channels):
    pixels = colours(channels=channels)
    write(tmp_path / f"x{ending}", Picture(pixels=pixels))
    back = read(tmp_path / f"x{ending}", lossless=True)
    assert torch.equal(back.pixels, pixels)
    assert back.alpha is None
    assert back.bit_depth == 8


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_opacity(tmp_path, ending, channels):
    alpha = colours(channels=1, seed=1).clamp(min=1)
    pixels = colours(channels=channels)
    write(tmp_path / f"x{ending}", Picture(pixels=pixels, alpha=alpha))
    back = read(tmp_path / f"x{ending}")
    assert torch.equal(back.alpha, alpha)
    assert torch.equal(back.pixels, pixels.expand_as(back.pixels))


@pytest.mark.parametrize("ending", [".jpg", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_room_for_opacity_it_goes_over_white(tmp_path, ending, channels):
    shape = (8, 8, channels)
    write(tmp_path / f"x{ending}", Picture(pixels=torch.zeros(shape, dtype=torch.uint8), alpha=torch.zeros(8, 8, 1, dtype=torch.uint8)))
    back = read(tmp_path / f"x{ending}")
    assert back.pixels.shape == shape
    assert back.pixels.min() > 250


def test_sixteen_bits(tmp_path):
    pixels = torch.arange(0, 65536, 37, dtype=torch.int32)[:1764].reshape(42, 42, 1).to(torch.uint16)
    for ending in (".png", ".tiff"):
        write(tmp_path / f"x{ending}", Picture(pixels=pixels, bit_depth=16))
        back = read(tmp_path / f"x{ending}", lossless=True)
        assert back.pixels.dtype == torch.uint16
        assert back.bit_depth == 16
        assert torch.equal(back.pixels.int(), pixels.int())
    with pytest.raises(ImageError, match="16-bit pixels can be written"):
        write(tmp_path / "x.jpg", Picture(pixels=pixels))
    with pytest.raises(ImageError, match="16-bit pixels can be written"):
        write(tmp_path / "x.png", Picture(pixels=pixels.expand(-1, -1, 3)))


def test_sixteen_bit_colour_says_what_was_lost(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + struct.pack(">12H", *range(y * 5000, y * 5000 + 12)) for y in range(4))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    picture = read(tmp_path / "x.png")
    assert (picture.bit_depth, picture.pixels.dtype) == (16, torch.uint8)
    with pytest.raises(ImageError, match=r"x\.png: its 16 bits per sample can only be read as 8"):
        read(tmp_path / "x.png", lossless=True)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_what_else_is_in_a_file_stays(tmp_path, ending, exif):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = {"Title": "Übung"} if ending == ".png" else {}
    dpi = None if ending == ".webp" else (300.0, 300.0)
    write(tmp_path / f"x{ending}", Picture(pixels=colours(), exif=exif.tobytes(), icc=icc, dpi=dpi, text={"Title": "Übung"}))
    back = read(tmp_path / f"x{ending}")
    tags = Image.Exif()
    tags.load(back.exif)
    assert tags[0x010F] == "Camera"
    assert back.icc == icc
    assert back.text == text
    assert back.dpi == (pytest.approx(dpi, abs=0.01) if dpi else None)


def test_a_turned_photo_is_turned_once(tmp_path, exif):
    exif[0x0112] = 6
    Image.fromarray(colours(8, 24).numpy()).save(tmp_path / "x.png", exif=exif)
    first = read(tmp_path / "x.png")
    assert first.pixels.shape == (24, 8, 3)
    write(tmp_path / "y.png", first)
    again = read(tmp_path / "y.png")
    assert torch.equal(again.pixels, first.pixels)
    assert b"Camera" in again.exif


def test_a_cmyk_profile_is_not_passed_on(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "x.jpg", icc_profile=b"a profile of ink")
    assert read(tmp_path / "x.jpg").icc == b""


def test_names_that_say_no_format(tmp_path):
    with pytest.raises(ImageError, match=r"\.gif.*use one of \.png"):
        write(tmp_path / "x.gif", Picture(pixels=colours()))
    with pytest.raises(ImageError, match="2 channels"):
        save_image(tmp_path / "x.png", colours(channels=2))
    with pytest.raises(ImageError, match="cannot be read"):
        read(tmp_path)


def test_save_image_makes_the_folder(tmp_path):
    for channels in (1, 3, 4):
        path = tmp_path / "new" / "folder" / f"{channels}.png"
        save_image(path, colours(channels=channels))
        assert np.asarray(Image.open(path)).reshape(10, 14, channels).tolist() == colours(channels=channels).tolist()


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, monkeypatch, where, number):
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, where, refuse)
    with pytest.raises(StorageError, match=rf"x\.png: cannot be written \({os.strerror(number)}\)") as caught:
        save_image(path, colours())
    assert ("free some space" in str(caught.value)) == (number == errno.ENOSPC)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disk.write(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animations(tmp_path, ending):
    frames = [torch.full((9, 7, 3), value, dtype=torch.uint8) for value in (0, 120, 250)]
    save_animation(tmp_path / f"x{ending}", frames, fps=25)
    with Image.open(tmp_path / f"x{ending}") as image:
        assert image.n_frames == 3
        for i, value in enumerate((0, 120, 250)):
            image.seek(i)
            image.load()
            assert image.info["duration"] == 40
            assert abs(int(np.asarray(image.convert("L")).mean()) - value) <= 3


@pytest.mark.parametrize("channels", [1, 3])
def test_films(tmp_path, channels):
    av = pytest.importorskip("av")
    frames = [torch.full((33, 47, channels), value, dtype=torch.uint8) for value in (20, 120, 230)]
    save_animation(tmp_path / "x.mp4", frames, fps=24)
    with av.open(io.BytesIO((tmp_path / "x.mp4").read_bytes())) as film:
        assert film.streams.video[0].average_rate == 24
        back = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(back) == 3
    assert back[0].shape == (34, 48, 3)
    for frame, value in zip(back, (20, 120, 230), strict=True):
        assert np.abs(frame.astype(int) - value).max() <= 6


def test_films_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "sfumato\[video\]"'):
        save_animation(tmp_path / "x.mp4", [colours()], fps=24)


def test_animations_that_cannot_be(tmp_path):
    with pytest.raises(SettingError, match=r"\.avi.*use one of \.gif, \.webp, \.mp4"):
        save_animation(tmp_path / "x.avi", [colours()], fps=10)
    for fps in (0.0, -1.0, 51.0):
        with pytest.raises(SettingError, match="fps"):
            save_animation(tmp_path / "x.gif", [colours()], fps=fps)
    for frames in ([], [colours(8, 8), colours(8, 9)], [colours(channels=4)]):
        with pytest.raises(ImageError, match="frames of one size"):
            save_animation(tmp_path / "x.gif", frames, fps=10)

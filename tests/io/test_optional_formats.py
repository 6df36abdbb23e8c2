"""HEIC and camera raw are read where their packages are, and named with the command that installs them where they are not."""

import struct
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import MissingExtraError
from sfumato.io import decode, files, formats, metadata

RAMP = np.zeros((48, 64, 3), np.uint8)
RAMP[..., 0], RAMP[..., 1] = np.arange(64) * 4, np.arange(48)[:, None] * 5


def heic(path, image, **options):
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra heif")
    pillow_heif.from_pillow(image).save(path, **options)


def dng(path, height=64, width=96):
    """The mosaic of a grey ramp, brighter to the right, as a camera would store it."""
    mosaic = (2000 + np.arange(width) * 300 + np.zeros((height, 1))).astype("<u2")
    ones = struct.pack("<18i", *(10000 * (i % 8 == 0) if i % 2 == 0 else 1 for i in range(18)))
    tags = {254: (4, "I", (0,)), 256: (4, "I", (width,)), 257: (4, "I", (height,)), 258: (3, "H", (16,)), 259: (3, "H", (1,))}
    tags |= {262: (3, "H", (32803,)), 271: (2, "", b"Maker\0"), 272: (2, "", b"Model\0"), 277: (3, "H", (1,)), 278: (4, "I", (height,))}
    tags |= {279: (4, "I", (mosaic.nbytes,)), 33421: (3, "H", (2, 2)), 33422: (1, "B", (0, 1, 1, 2)), 50706: (1, "B", (1, 4, 0, 0))}
    tags |= {50708: (2, "", b"Maker Model\0"), 50714: (3, "H", (512,)), 50717: (4, "I", (65535,)), 50721: (10, "", ones)}
    tags |= {50728: (5, "I", (1, 1, 1, 1, 1, 1)), 50778: (3, "H", (21,))}
    behind, entries, beyond = 8 + 2 + 12 * (len(tags) + 1) + 4, b"", mosaic.tobytes()
    tags[273] = (4, "I", (behind,))
    for tag, (kind, form, values) in sorted(tags.items()):
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{form}", *values)
        count = len(raw) // {5: 8, 10: 8, 4: 4, 3: 2}.get(kind, 1)
        entries += struct.pack("<HHI", tag, kind, count) + (
            raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", behind + len(beyond))
        )
        beyond += raw if len(raw) > 4 else b""
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + beyond)


def test_a_heic_is_read_with_its_opacity_and_notes(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    heic(tmp_path / "x", Image.fromarray(RAMP), quality=95, exif=exif.tobytes())
    picture = files.read(tmp_path / "x", lossless=True)
    assert (picture.pixels.numpy().astype(int) - RAMP).__abs__().mean() < 4
    assert picture.alpha is None
    tags = Image.Exif()
    tags.load(picture.exif)
    assert tags[0x010F] == "Camera"
    clear = np.dstack([RAMP, np.full((48, 64), 77, np.uint8)])
    heic(tmp_path / "y.heic", Image.fromarray(clear), quality=95)
    assert (files.read(tmp_path / "y.heic").alpha.int() - 77).abs().max() <= 4
    assert decode.facts(tmp_path / "y.heic", "y").size == (48, 64)


def test_camera_raw_is_developed(tmp_path):
    pytest.importorskip("rawpy", reason="camera raw needs the extra raw")
    dng(tmp_path / "x.tif")
    assert formats.identify_file(tmp_path / "x.tif").name == "camera raw (DNG)"
    picture = files.read(tmp_path / "x.tif", lossless=True)
    assert picture.pixels.shape == (64, 96, 3)
    grey = picture.pixels.float().mean(dim=(0, 2))
    assert (grey[10:90].diff() > -2).all()
    assert grey[85] > grey[10] + 50
    tags = Image.Exif()
    tags.load(metadata.read(tmp_path / "x.tif")[0].exif)
    assert (tags[0x010F], tags[0x0110]) == ("Maker", "Model")


@pytest.mark.parametrize(("name", "module", "words"), [
    ("x.heic", "pillow_heif", r'HEIC needs pillow-heif; install it with: pip install pillow-heif'),
    ("x.cr2", "rawpy", r'camera raw \(Canon CR2\) needs rawpy; install it with: pip install rawpy'),
])  # fmt: skip
def test_without_its_package_a_picture_is_named_in_one_line(tmp_path, monkeypatch, name, module, words):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    content = {"x.heic": struct.pack(">I4s4s4s", 16, b"ftyp", b"heic", bytes(4)), "x.cr2": b"II*\0\x10\0\0\0CR\x02\0"}[name]
    (tmp_path / name).write_bytes(content + bytes(64))
    for read in (lambda path: files.read(path, lossless=True), lambda path: decode.facts(path, str(path))):
        with pytest.raises(MissingExtraError, match=words) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x.heic", "x.dng"])
def test_a_damaged_one_is_refused(tmp_path, name):
    pytest.importorskip("pillow_heif" if name == "x.heic" else "rawpy", reason="needs an extra")
    whole = tmp_path / f"whole{name}"
    heic(whole, Image.fromarray(RAMP)) if name == "x.heic" else dng(whole)
    for length in (40, 300, 500):
        (tmp_path / name).write_bytes(whole.read_bytes()[:length])
        with pytest.raises(ValueError, match=name):
            files.read(tmp_path / name)


def test_what_heic_and_avif_become(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "photo", "AVIF")
    assert str(formats.output_name(formats.identify_file(tmp_path / "photo"), tmp_path / "photo")).endswith("photo.png")
    picture = files.read(tmp_path / "photo", lossless=True)
    files.write(tmp_path / "y.png", picture)
    assert torch.equal(files.read(tmp_path / "y.png").pixels, picture.pixels)

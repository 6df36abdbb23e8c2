"""Pictures come back with all they had, and a file is written whole or not at all."""

import dataclasses
import errno
import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

from sfumato.core import atomic_io
from sfumato.core.errors import ImageError, MissingExtraError, SettingError, StorageError
from sfumato.io import decode, metadata, streaming
from sfumato.io.files import Picture, copy, read, save_animation, save_image, write
from sfumato.io.png import PNG, chunk


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


def tiff(path, content, shape, *, bits=8, dark=1, order="<", extra=None):
    """A grey TIFF written by hand, in which 0 is black (`dark`) or white, with other tags as their type and bytes."""
    tags = {256: shape[1], 257: shape[0], 258: bits, 259: 1, 262: dark, 277: 1, 278: shape[0], 279: len(content)}
    tags, extra = {tag: (4, struct.pack(f"{order}I", value)) for tag, value in tags.items()}, extra or {}
    behind = 8 + 2 + 12 * (len(tags) + 1 + len(extra)) + 4
    tags |= {273: (4, struct.pack(f"{order}I", behind))} | extra
    entries = b""
    for tag, (kind, value) in sorted(tags.items()):
        entries += struct.pack(f"{order}HHI", tag, kind, len(value) // {3: 2, 4: 4, 11: 4}.get(kind, 1))
        entries += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", behind + len(content))
        content += value if len(value) > 4 else b""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + content)


@pytest.mark.parametrize("way", ["whole", "strips", "training"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_zero_is_white(tmp_path, bits, way):
    values = np.arange(0, 2**bits, 2 ** (bits - 7), dtype=f"<u{bits // 8}").reshape(8, 16)
    tiff(tmp_path / "x.tif", values.tobytes(), values.shape, bits=bits, dark=0)
    bright = torch.from_numpy(2**bits - 1 - values.astype(np.int64))[..., None]
    if way == "strips":
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
        with streaming.open_rows(tmp_path / "x.tif") as source:
            assert torch.equal(source.rows(0, 8).long(), bright)
    elif way == "training":
        got = torch.from_numpy(decode.decode(tmp_path / "x.tif", "x.tif", channels=1)).long()
        assert torch.equal(got, bright if bits == 8 else (bright * 255 + 32767) // 65535)
    else:
        first, again = carried(tmp_path, ".tif")
        assert torch.equal(first.pixels.long(), bright)
        assert torch.equal(again.pixels.long(), bright)
        with Image.open(tmp_path / "y.tif") as image:
            assert np.array_equal(np.asarray(image), bright[..., 0])  # so whoever shows the file sees the same


def test_twelve_bits_span_the_whole_range(tmp_path):
    values = np.linspace(0, 4095, 64).round().astype(int)
    a, b = values[::2], values[1::2]
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).astype(np.uint8)
    tiff(tmp_path / "x.tif", packed.tobytes(), (8, 8), bits=12)
    first, again = carried(tmp_path, ".tif")
    assert (first.bit_depth, again.bit_depth) == (12, 16)
    assert np.array_equal(first.pixels.int().flatten(), (values * 65535 / 4095).round())
    assert torch.equal(again.pixels, first.pixels)
    assert decode.decode(tmp_path / "x.tif", "x.tif", channels=1).max() == 255


@pytest.mark.parametrize("order", ["<", ">"])
def test_captions_that_a_tiff_counts_in_fours_stay(tmp_path, order):
    caption = b"\x1c\x02\x00\x00\x02\x00\x02\x1c\x02\x78\x00\x08the sea."
    blocks = b"8BIM\x04\x04\0\0\0\0\0\0"
    extra = {33723: (4, caption + bytes(-len(caption) % 4)), 34377: (1, blocks)}
    tiff(tmp_path / "x.tif", bytes(64), (8, 8), order=order, extra=extra)
    carried(tmp_path, ".tif")
    with Image.open(tmp_path / "y.tif") as image:
        assert image.tag_v2[33723].rstrip(b"\0") == caption
        assert image.tag_v2[34377] == blocks
        assert image.tag_v2.tagtype[33723] == 7


def wide_png(path):
    """Four by four pixels of colour in 16 bits, written by hand."""
    values = np.random.default_rng(0).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    path.write_bytes(PNG + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return torch.from_numpy(values)


def test_sixteen_bit_colour(tmp_path):
    pytest.importorskip("pyvips", reason="Pillow holds 16 bits in grey only")
    values = wide_png(tmp_path / "x.png")
    picture = read(tmp_path / "x.png")
    assert (picture.bit_depth, picture.pixels.dtype) == (16, torch.uint8)
    picture = read(tmp_path / "x.png", lossless=True)
    assert (picture.bit_depth, picture.pixels.dtype) == (16, torch.uint16)
    assert torch.equal(picture.pixels, values)


def test_sixteen_bit_colour_without_the_extra(tmp_path, monkeypatch):
    values = wide_png(tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "pyvips", None)
    assert read(tmp_path / "x.png").bit_depth == 16
    with pytest.raises(ImageError, match=r'x\.png: its 16 bits per sample can only be read as 8.*pip install "pyvips\[binary\]"'):
        read(tmp_path / "x.png", lossless=True)
    with pytest.raises(MissingExtraError, match=r'pip install "pyvips\[binary\]"'):
        write(tmp_path / "y.png", Picture(pixels=values))
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


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


def carried(tmp_path, ending):
    """What is read of x, and of y, which is x read and written by us."""
    first = read(tmp_path / f"x{ending}", lossless=True)
    write(tmp_path / f"y{ending}", first)
    return first, read(tmp_path / f"y{ending}", lossless=True)


def same(a, b):
    names = ("exif", "icc", "dpi", "xmp", "text", "bit_depth", "layout", "jpeg")
    assert [getattr(a, name) for name in names] == [getattr(b, name) for name in names]
    assert torch.equal(a.pixels, b.pixels)
    assert (a.alpha is None) == (b.alpha is None)
    assert a.alpha is None or torch.equal(a.alpha, b.alpha)


@pytest.mark.parametrize(
    ("ending", "mode"),
    [(".png", mode) for mode in ("1", "L", "LA", "P", "P and clear", "RGB", "RGBA", "I;16", "RGB and clear", "L and clear")]
    + [(".tif", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    + [(".webp", mode) for mode in ("RGB", "RGBA")]
    + [(".bmp", mode) for mode in ("1", "L", "P", "RGB")],
)
def test_a_file_comes_back_as_it_was(tmp_path, exif, ending, mode):
    base = Image.fromarray(colours(channels=4).numpy(), "RGBA")
    kind, options = mode.split()[0], {}
    if kind == "I;16":
        image = Image.fromarray(torch.arange(140).mul(450).reshape(10, 14).to(torch.uint16).numpy())
    elif kind == "P":
        image = base.convert("RGB").quantize(37)
    else:
        image = base.convert("RGB").convert(kind) if kind in ("1", "L", "RGB") else base.convert(kind)
    if "clear" in mode:
        options["transparency"] = bytes(range(0, 37 * 6, 6)) if kind == "P" else image.getpixel((3, 4))
    if ending != ".bmp":
        options |= (
            {"icc_profile": b"a profile", "exif": exif} if ending != ".tif" else {"icc_profile": b"a profile", "tiffinfo": {271: "Camera"}}
        )
    if ending != ".webp":
        options["dpi"] = (300, 150)
    image.save(tmp_path / f"x{ending}", **options, **({"lossless": True, "exact": True} if ending == ".webp" else {}))
    first, again = carried(tmp_path, ending)
    same(first, again)
    assert first.dpi == (None if ending == ".webp" else pytest.approx((300, 150), abs=0.02))
    assert ending == ".bmp" or (first.icc == b"a profile" and b"Camera" in first.exif)
    with Image.open(tmp_path / f"x{ending}") as before, Image.open(tmp_path / f"y{ending}") as after:
        assert after.mode == (before.mode if "clear" not in mode or kind == "P" else {"RGB": "RGBA", "L": "LA"}[kind])
        wanted = "RGBA" if before.mode != "I;16" else "I;16"
        assert np.array_equal(np.asarray(before.convert(wanted)), np.asarray(after.convert(wanted)))


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_come_back_as_they_were(tmp_path, exif, ending, alpha, channels):
    pytest.importorskip("pyvips", reason="Pillow holds 16 bits in plain grey only")
    layers = [
        torch.from_numpy(np.random.default_rng(i).integers(0, 65536, (9, 7, c), dtype=np.uint16)) for i, c in enumerate((channels, 1))
    ]
    picture = Picture(
        pixels=layers[0], alpha=layers[1] if alpha else None, bit_depth=16, icc=b"a profile", exif=exif.tobytes(), dpi=(300, 150)
    )
    write(tmp_path / f"x{ending}", picture)
    first, again = carried(tmp_path, ending)
    same(first, again)
    assert torch.equal(first.pixels, picture.pixels)
    assert first.alpha is None or torch.equal(first.alpha, picture.alpha)
    assert (first.alpha is not None, first.icc, first.bit_depth) == (alpha, b"a profile", 16)
    assert b"Camera" in first.exif


def test_wide_grey_with_one_clear_level(tmp_path):
    pytest.importorskip("pyvips", reason="Pillow holds 16 bits in plain grey only")
    Image.fromarray(torch.arange(140).mul(450).reshape(10, 14).to(torch.uint16).numpy()).save(tmp_path / "x.png", transparency=4500)
    picture = read(tmp_path / "x.png", lossless=True)
    assert picture.pixels.shape == (10, 14, 1)
    assert torch.equal(picture.alpha == 0, picture.pixels == 4500)


@pytest.mark.parametrize(("quality", "subsampling"), [(40, 2), (75, 1), (95, 0), (100, 0)])
def test_jpeg_is_compressed_as_it_was(tmp_path, exif, quality, subsampling):
    Image.fromarray(colours().numpy()).save(
        tmp_path / "x.jpg", quality=quality, subsampling=subsampling, exif=exif, dpi=(300, 150), icc_profile=b"a profile", comment="Hallo"
    )
    first, again = carried(tmp_path, ".jpg")
    assert first.jpeg.quality() == quality
    assert first.text == {"Comment": "Hallo"}
    for name in ("exif", "icc", "dpi", "jpeg", "text"):
        assert getattr(first, name) == getattr(again, name)
    assert (first.pixels.int() - again.pixels.int()).abs().float().mean() < 12
    Image.fromarray(colours(channels=1)[..., 0].numpy()).save(tmp_path / "x.jpg", quality=quality)
    first, again = carried(tmp_path, ".jpg")
    assert first.jpeg == again.jpeg
    assert again.pixels.shape[-1] == 1


def test_changed_pixels_get_the_room_they_need(tmp_path):
    bits = (colours(channels=1) > 127).to(torch.uint8) * 255
    for pixels, layout, mode in (
        (bits, "bit", "1"),
        (bits.clamp(min=3), "bit", "L"),
        (colours() // 64 * 64, "palette", "P"),
        (colours(40, 40), "palette", "RGB"),
    ):
        write(tmp_path / "x.png", Picture(pixels=pixels, layout=layout))
        with Image.open(tmp_path / "x.png") as image:
            assert image.mode == mode
        assert torch.equal(read(tmp_path / "x.png").pixels, pixels)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_turn_is_carried_out_once(tmp_path, exif, ending, orientation):
    exif[0x0112], upright = orientation, colours(8, 24) // 100 * 100
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of what a reader does, as Pillow counts
    stored = Image.fromarray(upright.numpy())
    stored = stored.transpose(Image.Transpose(turn[orientation])) if orientation > 1 else stored
    options = {"quality": 100, "subsampling": 0} if ending == ".jpg" else {"lossless": True} if ending == ".webp" else {}
    stored.save(tmp_path / f"x{ending}", exif=exif, **options)
    first, again = carried(tmp_path, ending)
    assert (first.pixels.int() - upright.int()).abs().max() <= (12 if ending == ".jpg" else 0)
    assert again.pixels.shape == first.pixels.shape
    assert first.exif == again.exif
    with Image.open(tmp_path / f"y{ending}") as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010F] == "Camera"


def test_a_makers_notes_stay_where_they_are(tmp_path, exif):
    exif[0x0112], exif[0x8769] = 6, {0x927C: b"points into the block", 0x8827: 200}
    Image.fromarray(colours().numpy()).save(tmp_path / "x.jpg", exif=exif)
    block = exif.tobytes()
    back = read(tmp_path / "x.jpg").exif
    assert len(back) == len(block)
    assert sum(a != b for a, b in zip(back, block, strict=True)) == 1  # the 6 is a 1
    write(tmp_path / "y.tif", read(tmp_path / "x.jpg"))
    tags = Image.Exif()
    tags.load(read(tmp_path / "y.tif").exif)
    assert dict(tags.get_ifd(0x8769)) == {0x927C: b"points into the block", 0x8827: 200}


def through_strips(path, target):
    stored, _ = metadata.read(path)
    pixels = read(path).pixels
    with streaming.Sink(target, tuple(pixels.shape[:2]), pixels.shape[2], metadata=stored) as sink:
        sink.write(pixels)
        sink.finish()


@pytest.mark.parametrize("way", ["whole", "strips"])
def test_captions_and_how_numbers_are_to_be_seen_stay(tmp_path, way):
    """Photoshop's block of a JPEG, and gamma, primaries, time and coding of a PNG."""
    if way == "strips":
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    caption = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x08\x1c\x02\x78\x00\x03sea"
    extra = b"\xff\xed" + struct.pack(">H", len(caption) + 2) + caption
    Image.fromarray(colours().numpy()).save(tmp_path / "a.jpg", extra=extra)
    pieces = {
        b"gAMA": struct.pack(">I", 100000),
        b"cHRM": struct.pack(">8I", *range(31270, 31278)),
        b"tIME": b"\x07\xea\x0b\x16\x0a\x00\x00",
    }
    pieces[b"cICP"] = b"\x09\x10\x00\x01"
    whole = io.BytesIO()
    Image.fromarray(colours().numpy()).save(whole, "PNG")
    data = whole.getvalue()
    (tmp_path / "a.png").write_bytes(data[:33] + b"".join(chunk(name, content) for name, content in pieces.items()) + data[33:])
    for ending in (".jpg", ".png"):
        source, target = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
        write(target, read(source)) if way == "whole" else through_strips(source, target)
    with Image.open(tmp_path / "b.jpg") as image:
        assert dict(image.applist)["APP13"] == caption
    content = (tmp_path / "b.png").read_bytes()
    for name, value in pieces.items():
        assert content.count(chunk(name, value)) == 1, name
        assert content.index(name) < content.index(b"IDAT")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_size_that_exif_tells_is_that_of_the_pixels(tmp_path, ending, order):
    tags = Image.Exif()
    tags.endian = order
    tags[0x0112] = 6
    tags.get_ifd(0x8769).update({0xA002: 14, 0xA003: 10, 0x9003: "2026:11:22 10:00:00"})
    Image.fromarray(colours().numpy()).save(tmp_path / f"a{ending}", exif=tags)
    picture = read(tmp_path / f"a{ending}")
    write(tmp_path / f"b{ending}", dataclasses.replace(picture, pixels=picture.pixels.repeat(2, 2, 1)))
    with Image.open(tmp_path / f"b{ending}") as image:
        exif = image.getexif().get_ifd(0x8769)
        assert image.size == (exif[0xA002], exif[0xA003]) == (20, 28)
        assert exif[0x9003] == "2026:11:22 10:00:00"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(3, "H"), (4, "I"), (9, "i")])
def test_a_turn_of_any_type_is_taken_out(tmp_path, order, kind, form):
    value = struct.pack(f"{order}{form}", 6).ljust(4, b"\0")
    block = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIHHHI", 42, 8, 1, 0x0112, kind, 1) + value + bytes(4)
    Image.fromarray(colours().numpy()).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + block)
    first, again = carried(tmp_path, ".jpg")
    assert first.pixels.shape == again.pixels.shape == (14, 10, 3)


@pytest.mark.parametrize("way", ["whole", "strips"])
def test_exif_of_types_that_are_not_its_own(tmp_path, way):
    """The maker is a word, as it should be; the software and the exposure are none of what they should be."""
    if way == "strips":
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    entries = [(271, 2, 4, b"Cam\0"), (305, 11, 1, struct.pack("<f", 1.5)), (34665, 4, 1, struct.pack("<I", 50))]
    folder = [(33434, 2, 4, b"long"), (34855, 3, 1, struct.pack("<H", 200))]
    block = b"II*\0" + struct.pack("<I", 8)
    for directory in (entries, folder):
        block += struct.pack("<H", len(directory)) + b"".join(struct.pack("<HHI4s", *entry) for entry in directory) + bytes(4)
    Image.fromarray(colours().numpy()).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + block)
    target = tmp_path / "y.tif"
    write(target, read(tmp_path / "x.jpg")) if way == "whole" else through_strips(tmp_path / "x.jpg", target)
    tags = Image.Exif()
    tags.load(read(target).exif)
    assert tags[271] == "Cam"
    assert tags.get_ifd(34665)[34855] == 200
    assert torch.equal(read(target).pixels, read(tmp_path / "x.jpg").pixels)


def test_exif_that_is_none(tmp_path):
    with pytest.raises(ImageError, match=r"x\.tif: cannot be written as TIFF \(the EXIF: is damaged"):
        write(tmp_path / "x.tif", Picture(pixels=colours(), exif=b"Exif\0\0nonsense"))


def test_comments_after_the_pixels_of_a_png(tmp_path):
    Image.fromarray(colours().numpy()).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[:-12] + chunk(b"tEXt", b"Author\0somebody") + content[-12:])
    assert read(tmp_path / "x.png").text == {"Author": "somebody"}


def test_no_comment_is_lost_because_there_are_several(tmp_path):
    image = Image.fromarray(colours(channels=1)[..., 0].numpy())
    notes = PngImagePlugin.PngInfo()
    for word in ("one", "two", "three"):
        notes.add_text("Comment", word)
    image.save(tmp_path / "x.png", pnginfo=notes)
    carried(tmp_path, ".png")
    content = (tmp_path / "y.png").read_bytes()
    assert all(b"Comment\0" + word in content for word in (b"one", b"two", b"three"))
    image.save(tmp_path / "x.jpg", comment="first")
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(content[:2] + b"\xff\xfe\0\x07zero!" + content[2:])
    _, again = carried(tmp_path, ".jpg")
    assert again.text == {"Comment": "zero!\nfirst"}
    image.save(tmp_path / "x.gif", comment=b"from a GIF")
    assert read(tmp_path / "x.gif").text == {"Comment": "from a GIF"}


@pytest.mark.parametrize("ending", [".gif", ".webp", ".tif", ".png"])
def test_several_frames_are_not_lost_in_silence(tmp_path, ending):
    frames = [Image.fromarray(colours(seed=seed).numpy()) for seed in range(3)]
    frames[0].save(tmp_path / f"x{ending}", save_all=True, append_images=frames[1:])
    assert read(tmp_path / f"x{ending}").pixels.shape == (10, 14, 3)
    with pytest.raises(ImageError, match=r"x\.\w+: has 3 frames or pages, of which only the first could be kept"):
        read(tmp_path / f"x{ending}", lossless=True)


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_floating_point_pixels(tmp_path, value):
    Image.fromarray(np.full((9, 7), value, np.float32)).save(tmp_path / "x.tif")
    for lossless in (False, True):
        with pytest.raises(ImageError, match=r"^[^\n]*x\.tif: has floating-point pixels[^\n]*$"):
            read(tmp_path / "x.tif", lossless=lossless)


def test_what_does_not_fit_into_a_format(tmp_path):
    with pytest.raises(ImageError, match=r"x\.jpg: cannot be written as JPEG"):
        write(tmp_path / "x.jpg", Picture(pixels=colours(), exif=b"Exif\0\0" + bytes(70000)))
    with pytest.raises(ImageError, match=r"opacity is torch\.uint8, the pixels are torch\.uint16"):
        write(tmp_path / "x.png", Picture(pixels=colours().to(torch.uint16), alpha=colours(channels=1)))


def test_a_cmyk_profile_is_not_passed_on(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "x.jpg", icc_profile=b"a profile of ink")
    assert read(tmp_path / "x.jpg").icc == b""


def test_names_that_say_no_format(tmp_path):
    with pytest.raises(ImageError, match=r"\.gif.*use one of \.png"):
        write(tmp_path / "x.gif", Picture(pixels=colours()))
    with pytest.raises(ImageError, match="5 channels"):
        save_image(tmp_path / "x.png", colours(channels=5))
    with pytest.raises(ImageError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_save_image_keeps_every_channel(tmp_path, channels):
    pixels = colours(channels=channels)
    save_image(tmp_path / "x.png", pixels)
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
        again = decode.prepare(image, channels=channels, size=None, crop="centre")
    assert np.array_equal(again, pixels.numpy())


@pytest.mark.parametrize("channels", [2, 4])
def test_animations_lay_opacity_over_white(tmp_path, channels):
    frame = torch.zeros(6, 8, channels, dtype=torch.uint8)
    frame[:, 4:, -1] = 255
    save_animation(tmp_path / "x.gif", [frame, frame], fps=10)
    with Image.open(tmp_path / "x.gif") as image:
        shown = np.asarray(image.convert("L"))
    assert (shown[:, :4] == 255).all()
    assert (shown[:, 4:] == 0).all()


def test_save_image_makes_the_folder(tmp_path):
    for channels in (1, 3, 4):
        path = tmp_path / "new" / "folder" / f"{channels}.png"
        save_image(path, colours(channels=channels))
        assert np.asarray(Image.open(path)).reshape(10, 14, channels).tolist() == colours(channels=channels).tolist()


@pytest.mark.parametrize("place", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, monkeypatch, place, number):
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, place, refuse)
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
        atomic_io.write(tmp_path / "x", b"content")
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
    with pytest.raises(MissingExtraError, match=r"pip install av"):
        save_animation(tmp_path / "x.mp4", [colours()], fps=24)


def test_animations_that_cannot_be(tmp_path):
    with pytest.raises(SettingError, match=r"\.avi.*use one of \.gif, \.webp, \.mp4"):
        save_animation(tmp_path / "x.avi", [colours()], fps=10)
    for fps in (0.0, -1.0, 51.0):
        with pytest.raises(SettingError, match="fps"):
            save_animation(tmp_path / "x.gif", [colours()], fps=fps)
    for frames in ([], [colours(8, 8), colours(8, 9)], [colours(channels=5)]):
        with pytest.raises(ImageError, match="frames of one size"):
            save_animation(tmp_path / "x.gif", frames, fps=10)


def test_a_file_that_is_not_there_is_the_one_to_blame(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read"):
        copy(tmp_path / "gone.png", tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{"quality": 60, "subsampling": 2}, {"quality": 93, "subsampling": 0, "progressive": True}])
def test_a_large_jpeg_is_decoded_some_rows_at_a_time_and_is_the_same(orientation, options, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    smooth = Image.fromarray(colours(9, 7).numpy()).resize((119, 87), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "x.jpg", exif=exif, dpi=(300, 300), **options)
    one = read(tmp_path / "x.jpg", lossless=True)
    monkeypatch.setattr("sfumato.io.files._LARGE", 100)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", lambda _: pytest.fail("Pillow decoded it"))
        other = read(tmp_path / "x.jpg", lossless=True)
    assert {**vars(one), "pixels": None} == {**vars(other), "pixels": None}
    assert torch.equal(one.pixels, other.pixels)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    assert torch.equal(read(tmp_path / "x.jpg", lossless=True).pixels, one.pixels), "without pyvips"


def test_a_large_jpeg_that_is_cut_off_is_told(tmp_path, monkeypatch):
    Image.fromarray(colours(64, 64).numpy()).save(tmp_path / "x.jpg", quality=95)
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:2000])
    monkeypatch.setattr("sfumato.io.files._LARGE", 100)
    with pytest.raises(ImageError, match=r"x\.jpg: cannot be read"):
        read(tmp_path / "x.jpg", lossless=True)

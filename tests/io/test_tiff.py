"""A TIFF is read right, or refused in one line: whatever its tags say, however little it takes."""

import contextlib
import functools
import io
import resource
import struct
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from sfumato.cli.verbs import machine
from sfumato.core.errors import ImageError
from sfumato.io import decode, files, metadata, streaming, tiff

GREY = np.arange(16 * 12, dtype=np.uint8).reshape(12, 16)
UNITS = {1: "B", 2: "c", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 12: "d", 16: "Q"}


def built(pages, *, order="<"):
    """A TIFF of these pages: tags as (type, values); a page's pixels, if any, are under `None`. Values that are bytes stand as they are."""
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    content, place = b"", 8
    for number, page in enumerate(pages):
        pixels = page.get(None, b"")
        tags = {tag: value for tag, value in page.items() if tag is not None}
        behind = place + 2 + 12 * len(tags) + 4
        entries, beyond = b"", pixels
        for tag, (kind, values) in sorted(tags.items()):
            raw = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{UNITS[kind]}", *values)
            count = len(raw) if isinstance(values, bytes) else len(values)
            if tag == 273 and values == (0,):
                raw = struct.pack(f"{order}I", behind)
            entries += struct.pack(f"{order}HHI", tag, kind, count)
            entries += raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", behind + len(beyond))
            beyond += raw if len(raw) > 4 else b""
        end = behind + len(beyond)
        following = end if number + 1 < len(pages) else 0
        content += struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", following) + beyond
        place = end
    return head + content


def page(pixels=GREY, **changes):
    """One page as `built` wants it; `t258=(3, (8,))` changes a tag, `t258=None` takes it out."""
    h, w, *rest = pixels.shape
    c, bits = (rest or [1])[0], pixels.dtype.itemsize * 8
    tags = {256: (4, (w,)), 257: (4, (h,)), 258: (3, (bits,) * c), 259: (3, (1,)), 262: (3, (2 if c > 2 else 1,)), 273: (4, (0,))}
    tags |= {277: (3, (c,)), 278: (4, (h,)), 279: (4, (pixels.nbytes,)), None: pixels.tobytes()}
    tags |= {int(name[1:]): value for name, value in changes.items()}
    return {tag: value for tag, value in tags.items() if value is not None}


def error_of(content, name="x.tif"):
    return decode.decode(lambda: io.BytesIO(content), name, channels=1)


def test_a_plain_one_is_read():
    for order in "<>":
        assert np.array_equal(error_of(built([page()], order=order))[..., 0], GREY)


COLOURS = np.random.default_rng(0).integers(0, 256, (12, 16, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (built([page(t256=(2, b"a\0"), t257=(4, (0xFFFFFFFF,)))]), r"TIFF tag 256 must hold whole numbers"),
        (built([page(t257=(4, (0xFFFFFFFF,)))]), "declares .* megapixels, too many for 192 stored bytes"),
        (built([page(t256=(4, (0,)))]), "width is 0"),
        (built([page(t257=None)]), "without a height"),
        (built([page(t257=(12, (12.0,)))]), "TIFF tag 257 must hold whole numbers"),
        (built([page(t339=(3, (2,)))]), "signed samples, of no stated range"),
        (built([page(GREY.astype("<i2"), t339=(3, (2,)))]), "signed samples, of no stated range"),
        (built([page(t339=(3, (6,)))]), "no plain numbers"),
        (built([page(COLOURS, t338=(3, (0, 0)))]), "has 5 samples a pixel"),
        (built([page(COLOURS[..., :4], t338=(3, (0,)))]), "the last one is not declared as opacity"),
        (built([page(COLOURS[..., :3], t262=(3, (6,)))]), "YCbCr without compression"),
        (built([page(COLOURS[..., :2], t262=(3, (2,)))]), "too few for its colours"),
        (built([page(COLOURS[..., :3], t258=(3, (5, 6, 5)))]), "samples of 5, 6, 5 bits"),
        (built([page(t259=(3, (9999,)))]), r"Compression 9999"),
        (built([page(t262=(3, (32803,)))]), "PhotometricInterpretation 32803"),
        (built([page(t284=(3, (7,)))]), "PlanarConfiguration 7"),
        (built([page(t254=(4, (1,))), page()]), "begins with a thumbnail"),
        (built([page(t322=(4, (1 << 30,)), t323=(4, (1 << 30,)))]), "tiles of"),
        (built([page(t700=(4, (1,)))]).replace(struct.pack("<HHI", 700, 4, 1), struct.pack("<HHI", 700, 1, 1 << 31)), "outside the file"),
        (built([page()])[:100], "cut off|outside the file"),
        (b"II*\0\xff\xff\xff\x7f", "outside the file"),
        (b"II*\0", "a few bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_in_true_words(tmp_path, content, words):
    (tmp_path / "x.tif").write_bytes(content)
    ways = {
        "whole": lambda path: files.read(path, lossless=True),
        "training": lambda path: decode.decode(path, path.name, channels=3),
        "size": streaming.megapixels,
        "notes": metadata.read,
        "strips": lambda path: streaming.open_rows(path).__enter__(),
    }
    for way, read in ways.items():
        if way == "strips":
            pytest.importorskip("pyvips", reason="pictures larger than memory go through pyvips")
        with pytest.raises(ImageError, match=words) as caught:
            read(tmp_path / "x.tif")
        assert "x.tif: " in str(caught.value), way
        assert "\n" not in str(caught.value), way


def test_a_thumbnail_behind_the_page_is_left_out_and_told_of(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(built([page(), page(GREY[:4, :4].copy(), t254=(4, (1,)))]))
    picture = files.read(path, lossless=True)
    assert np.array_equal(picture.pixels[..., 0], GREY)
    assert picture.left_out == "without 1 thumbnail or mask of its file"
    path.write_bytes(built([page(), page()]))
    with pytest.raises(ImageError, match="has 2 frames or pages"):
        files.read(path, lossless=True)


def test_a_thumbnail_is_left_out_of_strips(tmp_path):
    pytest.importorskip("pyvips", reason="pictures larger than memory go through pyvips")
    path = tmp_path / "x.tif"
    path.write_bytes(built([page(), page(GREY[:4, :4].copy(), t254=(4, (1,)))]))
    with streaming.open_rows(path) as source:
        assert np.array_equal(source.rows(0, 12)[..., 0], GREY)
        assert source.metadata.left_out


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_fewer_bits_in_sixteen_span_the_range_and_come_back_exactly(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, 192).round().astype("<u2").reshape(12, 16)
    (tmp_path / "x.tif").write_bytes(built([page(values)]))
    picture = files.read(tmp_path / "x.tif", lossless=True)
    assert picture.pixels.numpy().max() == 65535
    assert picture.white == 2**bits - 1
    for ending in (".tif", ".png"):
        files.write(tmp_path / f"y{ending}", picture)
        with Image.open(tmp_path / f"y{ending}") as image:
            assert np.array_equal(np.asarray(image), values)


def test_fewer_bits_in_sixteen_of_colour_and_in_strips(tmp_path):
    pytest.importorskip("pyvips", reason="16-bit colour goes through pyvips")
    values = np.random.default_rng(0).integers(0, 4096, (12, 16, 3), dtype="<u2")
    (tmp_path / "x.tif").write_bytes(built([page(values)]))
    picture = files.read(tmp_path / "x.tif", lossless=True)
    assert torch.equal(picture.pixels.int(), torch.from_numpy((values.astype(np.int64) * 65535 + 2047) // 4095).int())
    files.write(tmp_path / "y.tif", picture)
    again = files.read(tmp_path / "y.tif", lossless=True)
    assert again.white == picture.white == 4095
    assert torch.equal(again.pixels, picture.pixels)


def bomb(tags, length, order="<"):
    """A directory of so many tags that all hold the same `length` bytes."""
    place = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack(f"{order}HHII", 40000 + i, 7, length, place) for i in range(tags))
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return head + struct.pack(f"{order}H", tags) + entries + bytes(4) + bytes(length)


@contextmanager
def at_most(more):
    """Lets this process have at most so many bytes more than it has."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


EXIF = bomb(2000, 200_000)


def with_exif(kind):
    """A small picture with a block of EXIF that would unpack to 400 MB."""
    file, options = io.BytesIO(), {"exif": b"Exif\0\0" + EXIF}
    if kind == "JPEG":  # 64 kB a segment, and all segments are one block
        Image.fromarray(GREY).save(file, kind)
        content, parts = file.getvalue(), [EXIF[i : i + 65000] for i in range(0, len(EXIF), 65000)]
        return content[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts) + content[2:]
    Image.fromarray(GREY).convert("RGB").save(file, kind, **(options if kind != "AVIF" else {}))
    return file.getvalue() + (EXIF if kind == "AVIF" else b"")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is asked of Linux")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_tags_that_all_hold_the_same_bytes_take_no_memory(tmp_path, kind):
    content = EXIF if kind == "TIFF" else with_exif(kind)
    if kind == "TIFF":
        content = built([page(**{f"t{40000 + i}": (7, bytes(1)) for i in range(200)})])
        content = content.replace(struct.pack("<HI", 7, 1), struct.pack("<HI", 7, len(content) - 8)) + bytes(500_000)
        content = b"".join([content[:10], *[_grown(content[10 + 12 * i : 22 + 12 * i]) for i in range(209)], content[10 + 12 * 209 :]])
    path = tmp_path / "x"
    path.write_bytes(content)
    with at_most(100 << 20):
        for read in (lambda: decode.decode(path, "x", channels=3), lambda: decode.facts(path, "x"), lambda: metadata.read(path)):
            with pytest.raises(ImageError, match="beside its pixels"):
                read()


def _grown(entry):
    """The entry of a directory, if it is one of ours, with half a megabyte of the file as its value."""
    tag, kind, *_ = struct.unpack("<HHII", entry)
    return struct.pack("<HHII", tag, kind, 500_000, 8) if tag >= 40000 else entry


def good_ones():
    """Files of many layouts to be changed."""
    colour = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x010F], exif[0x8769], exif[0x8825], exif[0x0112] = "Camera", {0x927C: b"a maker's notes", 0x8827: 200}, {1: "N"}, 6
    for image, options in (
        (colour, {"exif": exif.tobytes()}),
        (colour, {"compression": "tiff_lzw"}),
        (colour, {"compression": "jpeg"}),
        (colour.convert("L"), {"compression": "packbits"}),
        (colour.convert("1"), {"compression": "group4"}),
        (colour.convert("P"), {"compression": "tiff_deflate", "icc_profile": b"a profile", "dpi": (300, 300)}),
        (colour.convert("RGBA"), {"big_tiff": True}),
        (Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40)), {"compression": "tiff_deflate"}),
    ):
        file = io.BytesIO()
        image.save(file, "TIFF", **options)
        yield file.getvalue()
    yield built([page(), page()], order=">")


def mutant(good, rng):
    """The file with one to three fields of its first directory, or some bytes, changed to what is likely to hurt."""
    content = bytearray(good)
    order, big = ("<" if good[:2] == b"II" else ">"), 43 in good[2:4]
    start = struct.unpack_from(f"{order}Q", good, 8)[0] if big else struct.unpack_from(f"{order}I", good, 4)[0]
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", good, start)[0]
    numbers = (0, 1, 2, 3, 255, 65535, 1 << 16, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF, len(good), len(good) - 1, start, 9000)
    for _ in range(rng.integers(1, 4)):
        entry = start + (8 + 20 * rng.integers(count) if big else 2 + 12 * rng.integers(count))
        value = int(numbers[rng.integers(len(numbers))])
        choice = rng.integers(6)
        if choice == 0:
            struct.pack_into(f"{order}H", content, entry + 2, int(rng.integers(20)))
        elif choice == 1:
            struct.pack_into(f"{order}{'Q' if big else 'I'}", content, entry + 4, value)
        elif choice == 2:
            struct.pack_into(f"{order}{'Q' if big else 'I'}", content, entry + (12 if big else 8), value)
        elif choice == 3:
            tags = (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 330, 338, 339, 530, 34665, 700)
            struct.pack_into(f"{order}H", content, entry, int(tags[rng.integers(len(tags))]))
        elif choice == 4:
            content[rng.integers(len(content))] = rng.integers(256)
        else:
            del content[rng.integers(8, len(content)) :]
            return bytes(content)
    return bytes(content)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is asked of Linux")
@pytest.mark.parametrize("number", range(9))
def test_whatever_the_tags_say_it_is_a_picture_or_one_line(tmp_path, number):
    good, rng = list(good_ones())[number], np.random.default_rng(number)
    path = tmp_path / "x.tif"
    error_of(good)
    outcomes = {"read": 0, "refused": 0}
    with at_most(1500 << 20):  # 100 megapixels of colour may be promised and compressed well
        for i in range(160):
            path.write_bytes(mutant(good, rng))
            ways = (
                lambda: files.read(path),
                lambda: metadata.read(path),
                lambda: streaming.megapixels(path),
                lambda: decode.facts(path, "x"),
            )
            for read in ways if i % 4 == 0 else ways[:1]:
                try:
                    read()
                    outcomes["read"] += 1
                except ImageError as error:
                    outcomes["refused" if "\n" not in str(error) else "refused in several lines"] += 1
    assert min(outcomes.values()) > 10


def test_what_pillow_knows_of_compressions_is_still_there():
    assert {1, 5, 7, 8, 32773} <= set(TiffImagePlugin.COMPRESSION_INFO)


def test_directories_that_overlap_are_refused():
    with pytest.raises(ImageError, match="directories of the TIFF overlap"):
        list(tiff.directories(io.BytesIO(overlapping())))


def overlapping():
    """Two directories, the second of which lies in the first."""
    return struct.pack("<2sHIH", b"II", 42, 8, 40) + struct.pack("<HHII", 30, 0, 0, 0) * 40 + struct.pack("<I", 10)


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg", "group4"])
def test_a_damaged_one_is_one_line_of_ours_and_none_of_libtiffs(compression, capfd):
    rng = np.random.default_rng(0)
    noise, encoded = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)), io.BytesIO()
    (noise.convert("1") if compression == "group4" else noise).save(encoded, "TIFF", compression=compression)
    with machine(1):
        for _ in range(5):
            content = bytearray(encoded.getvalue())
            content[100:140] = rng.integers(0, 256, 40, dtype=np.uint8).tobytes()
            with contextlib.suppress(ImageError):
                decode.decode(functools.partial(io.BytesIO, bytes(content)), "x.tif", channels=3)
            with pytest.raises(ImageError) as error:
                decode.decode(functools.partial(io.BytesIO, bytes(content[:60] + bytes(len(content) - 60))), "x.tif", channels=3)
            assert "decoder error" not in str(error.value)
    assert capfd.readouterr().err == ""

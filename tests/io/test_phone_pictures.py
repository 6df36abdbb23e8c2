"""Photographs as telephones write them: turned, with a profile, places and maker notes, and with further parts behind the picture."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from sfumato.io import decode, files, metadata
from sfumato.io.further_parts import behind_jpeg, beside_heif
from sfumato.models import MODELS
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.plan import RestorationPlan
from sfumato.restoration.request import RestorationRequest
from sfumato.store import checkpoint

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER_NOTE = b"Apple iOS\0\0\1MM" + bytes(range(64))
PLACE = (48.0, 8.0, 30.0)
GAIN_MAP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" hdrgm:Version="1.0" dc:format="image/jpeg"><Container:Directory><rdf:Seq>'
    b"<rdf:li>GainMap</rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)
VIDEO = struct.pack(">I8s", 16, b"ftypmp42") + bytes(range(200))


def photo(height=24, width=32):
    """Smooth, and different in every corner, so that a wrong turn shows after lossy compression."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 / width, y * 255 / height, (x + y) * 99 / (width + height)], -1).astype(np.uint8))


def exif(orientation, *, thumbnail=False):
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112], tags[0x0132] = "Maker", "Phone 15", orientation, "2026:11:29 04:00:00"
    camera = tags.get_ifd(0x8769)
    camera[0x9003], camera[0x927C], camera[0xA002], camera[0xA003] = "2026:11:29 04:00:00", MAKER_NOTE, 32, 24
    place = tags.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", PLACE, "E", (11.0, 34.0, 12.0)
    return with_thumbnail(tags.tobytes()) if thumbnail else tags.tobytes()


def with_thumbnail(block):
    """The EXIF block with a second directory that holds a small JPEG."""
    head, body = block[:6], bytearray(block[6:])
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", body, 4)
    (count,) = struct.unpack_from(f"{order}H", body, first)
    struct.pack_into(f"{order}I", body, first + 2 + 12 * count, len(body))
    small, at = encoded(photo(6, 8)), len(body) + 2 + 2 * 12 + 4
    entries = struct.pack(f"{order}HHII", 0x0201, 4, 1, at) + struct.pack(f"{order}HHII", 0x0202, 4, 1, len(small))
    return head + bytes(body) + struct.pack(f"{order}H", 2) + entries + bytes(4) + small


def encoded(image, **options):
    output = io.BytesIO()
    image.save(output, "JPEG", **options)
    return output.getvalue()


def pictured(kind, orientation):
    """The bytes of a photograph of this kind, stored with this orientation, and the ending of its name."""
    if kind == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra heif")
        output = io.BytesIO()
        pillow_heif.from_pillow(photo()).save(output, quality=95, exif=exif(1), icc_profile=PROFILE)
        return output.getvalue(), ".heic"
    options = {"quality": 95, "exif": exif(orientation, thumbnail=kind == "thumbnail"), "icc_profile": PROFILE}
    if kind == "several pictures":
        output = io.BytesIO()
        photo().save(output, "MPO", save_all=True, append_images=[photo(12, 16)], **options)
        return output.getvalue(), ".jpg"
    options |= {"progressive": True, "subsampling": 2} if kind == "progressive" else {}
    options |= {"xmp": GAIN_MAP} if kind == "gain map" else {}
    behind = {"gain map": encoded(photo(12, 16).convert("L")), "video": VIDEO, "padding": bytes(300), "bytes": b"SEFT" * 9}
    return encoded(photo(), **options) + behind.get(kind, b""), ".jpg"


TURNS = {
    1: lambda image: image,
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}
LEFT_OUT = {
    "progressive": "",
    "thumbnail": "",
    "padding": "",
    "HEIC": "",
    "several pictures": "without the further pictures of its file",
    "gain map": "without the gain map of its file",
    "video": "without the video in its file",
    "bytes": "without the data behind the picture in its file",
}


def upright_size(kind, orientation, scale):
    """Width and height of the result."""
    return (24 * scale, 32 * scale) if orientation == 6 and kind != "HEIC" else (32 * scale, 24 * scale)


@pytest.fixture(scope="module", params=[1, 2], ids=["repair", "enlargement"])
def scaled(request, tmp_path_factory):
    """A scale, and the request of a network that adds a little to every value and repeats pixels as often as the scale says."""
    scale = request.param
    config = MODELS["compact"](width=4, depth=1, scale=scale)
    net = config.build()
    last = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 0.02)
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    checkpoint.save(path, net, config, {"data": {"name": "none"}})
    return scale, RestorationRequest(task="denoise" if scale == 1 else "upscale", model=path, scale=None if scale == 1 else scale)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_result_is_upright_and_keeps_what_the_photograph_says(kind, orientation, tmp_path, scaled):
    (content, ending), (scale, request) = pictured(kind, orientation), scaled
    source = tmp_path / f"photo{ending}"
    source.write_bytes(content)
    (entry,) = restore_pictures([source], tmp_path / "out", request)
    assert entry.status == "done", entry.message
    upright = (photo() if kind == "HEIC" else TURNS[orientation](photo())).resize(upright_size(kind, orientation, scale), 0)
    with Image.open(entry.out) as image:
        assert image.size == upright.size
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(upright) - 5).mean() < 6
        tags = image.getexif()
        camera = tags.get_ifd(0x8769)
        assert tags.get(0x0112, 1) == 1, "it would be turned twice"
        assert (tags[0x0110], tags.get_ifd(0x8825)[2]) == ("Phone 15", PLACE)
        assert (camera[0x927C], camera[0xA002], camera[0xA003]) == (MAKER_NOTE, *upright.size)
        assert image.info["icc_profile"] == PROFILE
        assert b"GainMap" not in image.info.get("xmp", b""), "it promises a part that is not there"
    assert (f"({LEFT_OUT[kind]})" in entry.message) if LEFT_OUT[kind] else ("without" not in entry.message)


def test_a_photograph_that_needs_no_repair_keeps_all_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("sfumato.restoration.repair.make_plan", lambda *_, **__: RestorationPlan(summary="nothing"))
    source = tmp_path / "photo.jpg"
    source.write_bytes(pictured("gain map", 6)[0])
    (entry,) = restore_pictures([source], tmp_path / "out", RestorationRequest())
    assert (tmp_path / "out" / "photo.jpg").read_bytes() == source.read_bytes()
    assert "without" not in entry.message


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["progressive", "several pictures", "gain map", "HEIC"])
def test_a_data_set_sees_it_upright(kind, orientation, tmp_path):
    content, ending = pictured(kind, orientation)
    (tmp_path / f"x{ending}").write_bytes(content)
    pixels = decode.decode(tmp_path / f"x{ending}", "x", channels=3)
    upright = np.asarray(photo() if kind == "HEIC" else TURNS[orientation](photo())).astype(int)
    assert pixels.shape == upright.shape
    assert np.abs(pixels - upright).mean() < 6


@pytest.mark.parametrize("progressive", [False, True])
def test_the_end_of_a_picture_is_found_in_every_jpeg(progressive):
    """Noise holds every value, 255 too; a further picture begins at any distance."""
    rng = np.random.default_rng(0)
    for side in (1, 8, 37, 64):
        noise = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        content = encoded(noise, quality=98, progressive=progressive, restart_marker_blocks=3, exif=exif(6, thumbnail=True))
        assert behind_jpeg(io.BytesIO(content), b"") == ""
        assert behind_jpeg(io.BytesIO(content[:-9]), b"") == "", "of a file that was cut"
        padded = content[:-2] + b"\xff" * 99 + content[-2:]
        assert behind_jpeg(io.BytesIO(padded), b"") == "", "padding before its end"
        assert behind_jpeg(io.BytesIO(padded + VIDEO), b"") == LEFT_OUT["video"]
        assert behind_jpeg(io.BytesIO(content + bytes(side) + content), b"") == LEFT_OUT["several pictures"]


def test_the_colours_of_a_heic_without_a_profile_are_stated_in_the_result(tmp_path, scaled):
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra heif")
    wide = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6, "full_range_flag": 1}
    pillow_heif.from_pillow(photo()).save(tmp_path / "p3.heic", quality=95, **wide)
    (entry,) = restore_pictures([tmp_path / "p3.heic"], tmp_path / "out", scaled[1])
    assert (b"cICP", bytes((12, 13, 0, 1))) in metadata.read(tmp_path / "out" / "p3.png")[0].chunks, entry.message


def test_bits_that_are_not_read_are_named(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra heif")
    deep = np.random.default_rng(0).integers(0, 1 << 16, (24, 32, 3), dtype=np.uint16)
    pillow_heif.from_bytes("RGB;16", (32, 24), deep.tobytes()).save(tmp_path / "deep.heic", quality=95)
    assert files.read(tmp_path / "deep.heic", lossless=True).left_out == "without 2 of 10 bits a sample of its file"


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"aux": {}, "depth_images": [], "bit_depth": 8}, ""),
        ({"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]}}, "without the gain map of its file"),
        ({"aux": {"urn:other": [3]}, "depth_images": [1]}, "without the auxiliary pictures and the map of depth of its file"),
    ],
)
def test_the_parts_beside_a_heic_are_named(facts, named):
    image = Image.new("RGB", (1, 1))
    image.info |= facts
    assert beside_heif(image) == named


def test_extended_xmp_is_named(tmp_path):
    segment = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
    (tmp_path / "x.jpg").write_bytes(encoded(photo(), extra=b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment))
    assert metadata.read(tmp_path / "x.jpg")[0].left_out == "without the extended XMP of its file"

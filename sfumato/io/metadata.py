"""What a picture's file says beside its pixels: EXIF, colour profile, resolution, XMP, comments, how strongly it was compressed.

    file ─ of_file ─> Notes ─ options ─> what Pillow writes at once
                            └ donor, annotate ─> what `io/metadata_embed.py` puts into a file that somebody else has encoded

Reading looks at headers only, so that the size of the picture does not matter.
"""

import contextlib
import dataclasses
import functools
import io
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, SupportsFloat

from PIL import ExifTags, Image, JpegImagePlugin, TiffTags
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sfumato.io import bounds, decode, formats, tiff
from sfumato.io.decode import Opened
from sfumato.io.png import PNG, File, without_pixels

EXIF = b"Exif\0\0"
_XMP = "XML:com.adobe.xmp"
_OLD_EXIF = "Raw profile type exif"
_COMMENT = "Comment"

_WORDS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 33723, 34377, 40091, 40092, 40093, 40094, 40095)
"""TIFF tags about the picture and not about the layout of its file: description, maker, model, software, date, artist, copyright..."""
_PACKED = (33723, 34377)
"""Of these, captions (IPTC) and Photoshop's blocks: bytes, which some programs count as numbers of four."""
_CHUNKS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"tIME")
"""Of a PNG: how its numbers are to be seen, and when it was last changed."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_FOLDERS = (int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo))
_NOT_RGB = (5, 8, 9, 10)
"""TIFF's photometric interpretations whose profile says nothing about the RGB that they become: CMYK and three kinds of Lab."""
_INTEROP = int(ExifTags.IFD.Interop)
_SIDES = (0xA003, 0xA002)
"""EXIF's height and width."""
_TURN_IN_XMP = re.compile(rb"""(tiff:Orientation(?:=["']|>))([2-8])""")
_FINE = 95
"""Quality from which on a JPEG's tables take nothing that anybody would see."""
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Jpeg(NamedTuple):
    """How a JPEG was compressed."""

    tables: tuple[tuple[int, ...], ...]
    """Quantisation of brightness and of colour."""
    subsampling: int
    """Of colour, as Pillow counts it: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0, -1 is something else."""

    def quality(self) -> int:
        """The quality in [1, 100] whose standard table for brightness is nearest."""
        return min(range(1, 101), key=lambda quality: sum(abs(a - b) for a, b in zip(self.tables[0], _standard(quality), strict=True)))


class Samples(NamedTuple):
    """What one pixel is made of in the file."""

    bits: int
    channels: int
    floating: bool


@dataclass(frozen=True, kw_only=True)
class Notes:
    """All that is not pixels. Everything may be missing."""

    exif: bytes = b""
    """Begins with `Exif`, two zeros; the turn it asked for is taken out where it has been carried out."""
    icc: bytes = b""
    """The colour profile of the pixels."""
    dpi: tuple[float, float] | None = None
    """Across, down."""
    xmp: bytes = b""
    """An XML packet."""
    text: dict[str, str] = field(default_factory=dict)
    """The comments of a PNG by keyword, the last of each; those of a JPEG or GIF are `Comment`, a line each."""
    jpeg: Jpeg | None = None
    """Of a JPEG, grey or colour."""
    photoshop: tuple[bytes, ...] = ()
    """Of a JPEG: Photoshop's blocks, in which captions and keywords are (IPTC)."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Of a PNG: other chunks that are kept, by their type; comments whose keyword comes again are among them."""
    white: int = 65535
    """The sample that is white in a file of 16 bits: less where fewer bits were put into 16. Pixels span the whole range nevertheless."""
    left_out: str = ""
    """A part of the file that is not read and so not kept, in words; empty if there is none."""

    @property
    def fine_jpeg(self) -> Jpeg | None:
        """`jpeg` beside pixels that were repaired: coarse tables, which would take the repair away again, are left out."""
        return self.jpeg if self.jpeg and self.jpeg.quality() >= _FINE else None


def of_file(path: Path, *, file: Opened | None = None, image: Image.Image | None = None) -> tuple[Notes, int]:
    """What the file says once the picture is upright, and the orientation (EXIF's number, 1 to 8) in which it is stored.

    `file` is the open file and `image` what `decode.opened` made of it, from whoever has them. Raises ImageError if the file is no image.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        start = opened.read(8)
        opened.seek(0)
        if start == PNG:
            return _of_png(opened, checked=image is not None)
        kind = formats.by_content(opened.read(formats.START), path.name)
        if kind is not None and kind.name == "TIFF":
            return _of_tiff(opened, tiff.checked(opened).left_out)
        if kind is not None and kind.reader == "raw" and start[:4] in (b"II*\0", b"MM\0*"):
            tiff.guard(opened)
            told = _exif_tags(opened)
            return Notes(exif=_exif_of(told)), 1
        with decode.opened(opened, str(path), limit=None) if image is None else contextlib.nullcontext(image) as header:
            return _of_image(header)


def samples(path: Path, *, file: Opened | None = None) -> Samples:
    """Bits and samples of a pixel, from the header of a PNG or TIFF; 8 bits in 3 for anything else. Raises ImageError as `of_file`.

    `file` is the open file, from whoever has it.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        start = opened.read(26)
        if start[:8] == PNG:
            return Samples(start[24], _PNG_SAMPLES.get(start[25], 1), floating=False)
        opened.seek(0)
        kind = formats.by_content(opened.read(formats.START), path.name)
        if kind is not None and kind.name == "TIFF":
            found = tiff.checked(opened)
            return Samples(found.bits, found.channels, floating=found.floating)
        return Samples(8, 3, floating=False)


def tiff_tags(file: File) -> ImageFileDirectory_v2:
    """What stands in the first directory of a TIFF or BigTIFF."""
    tags = ImageFileDirectory_v2(tiff_head(file))
    file.seek(tags.next)
    tags.load(file)
    tags.tagtype.update(dict.fromkeys(tags.keys() & _PACKED, TiffTags.UNDEFINED))
    return tags


def tiff_head(file: File) -> bytes:
    """The first 8 bytes of a TIFF, or the first 16 of a BigTIFF: byte order, width, and where the directory is."""
    file.seek(0)
    head = file.read(8)
    return head + file.read(8) if 43 in head[2:4] else head


def options(notes: Notes, kind: str, channels: int, size: tuple[int, int]) -> dict[str, object]:
    """What Pillow's `save` is told to put these notes into a PNG, JPEG, WebP or BMP of so many channels; a TIFF needs `annotate`.

    `size` is the picture's height and width, which its EXIF may tell too.
    """
    given: dict[str, object] = {}
    if kind in ("PNG", "JPEG", "WEBP"):
        given |= {"exif": _sized(notes.exif, size), "icc_profile": notes.icc}
    if kind in ("PNG", "JPEG", "BMP"):
        given["dpi"] = notes.dpi
    if kind in ("JPEG", "WEBP"):
        given["xmp"] = notes.xmp
    if kind == "PNG" and (notes.text or notes.xmp or notes.chunks):
        given["pnginfo"] = PngInfo()
        for name, content in notes.chunks:
            given["pnginfo"].add(name, content)
        for key, value in notes.text.items():
            given["pnginfo"].add_text(key, value)
        if notes.xmp:
            given["pnginfo"].add_itxt(_XMP, notes.xmp.decode(errors="replace"))
    if kind == "JPEG":
        given["comment"] = notes.text.get(_COMMENT, "").encode()
        given["extra"] = b"".join(b"\xff\xed" + struct.pack(">H", len(block) + 2) + block for block in notes.photoshop)
    given = {name: value for name, value in given.items() if value}
    return given | (_compression(notes.jpeg, channels) if kind == "JPEG" else {})


def tiff_notes(notes: Notes, head: bytes) -> ImageFileDirectory_v2:
    """The notes as TIFF tags, in the byte order and width that `head`, the first bytes of a TIFF, says.

    Raises ImageError if the EXIF is damaged.
    """
    tags = ImageFileDirectory_v2(head)
    if notes.exif:
        with decode.reading("the EXIF"):
            tags.update(_exif_tags(io.BytesIO(notes.exif.removeprefix(EXIF))))
    if notes.dpi:
        tags[282], tags[283], tags[296] = *notes.dpi, 2
    for tag, content, kind in ((34675, notes.icc, 7), (700, notes.xmp, 1)):
        if content:
            tags.tagtype[tag] = kind
            tags[tag] = content
    return tags


def _compression(jpeg: Jpeg | None, channels: int) -> dict[str, object]:
    """That of the source where it is known and fits, otherwise quality 95 with all of its colour."""
    if jpeg is None or max(map(max, jpeg.tables)) > 255:
        return {"quality": _FINE, "subsampling": 0}
    return {"qtables": [list(table) for table in jpeg.tables], "subsampling": max(jpeg.subsampling, 0) if channels == 3 else -1}


@functools.cache
def _standard(quality: int) -> tuple[int, ...]:
    """The table for brightness that everyone's JPEG library uses at this quality."""
    encoded = io.BytesIO()
    Image.new("L", (1, 1)).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return tuple(image.quantization[0])


def _of_png(file: File, *, checked: bool) -> tuple[Notes, int]:
    if not checked:
        bounds.check(file, "PNG")
    small = without_pixels(file)
    with Image.open(small, formats=["PNG"]) as image:
        said, orientation = _of_image(image)
    return dataclasses.replace(said, chunks=tuple(_chunks(small.getvalue()))), orientation


def _of_image(image: Image.Image) -> tuple[Notes, int]:
    orientation = decode.turn(image.getexif())
    exif = image.info.get("exif") or bytes.fromhex("".join(image.info.get(_OLD_EXIF, "").split("\n")[3:]))
    exif = exif if not exif or exif.startswith(EXIF) else EXIF + exif
    text = {key: value for key, value in getattr(image, "text", {}).items() if key not in (_XMP, _OLD_EXIF)}
    if comments := _comments(image):
        text[_COMMENT] = "\n".join(map(_plain, comments))
    notes = Notes(
        exif=_upright(exif) if orientation > 1 else exif,
        icc=b"" if image.mode == "CMYK" else image.info.get("icc_profile") or b"",  # its profile would say nothing about RGB
        dpi=_dpi(*image.info["dpi"]) if image.info.get("dpi") else None,
        xmp=_TURN_IN_XMP.sub(rb"\g<1>1", image.info.get("xmp") or b""),
        text=text,
        jpeg=_jpeg(image),
        photoshop=tuple(block for name, block in getattr(image, "applist", ()) if name == "APP13"),
    )
    return notes, orientation


def _of_tiff(file: File, left_out: int) -> tuple[Notes, int]:
    tags, exif = tiff_tags(file), _exif_of(_exif_tags(file))
    dpi = None
    if {282, 283} <= set(tags) and tags.get(296, 2) in (2, 3):
        inch = 2.54 if tags.get(296, 2) == 3 else 1
        dpi = _dpi(tags[282] * inch, tags[283] * inch)
    icc = b"" if tags.get(262) in _NOT_RGB else tags.get(34675, b"")
    xmp = _bytes(tags.get(700, b""))
    words = f"without {left_out} {'thumbnail or mask' if left_out == 1 else 'thumbnails or masks'} of its file" if left_out else ""
    notes = Notes(exif=exif, icc=_bytes(icc), dpi=dpi, xmp=_TURN_IN_XMP.sub(rb"\g<1>1", xmp), left_out=words)
    return notes, decode.turn(tags, xmp)


def _exif_of(tags: dict[int, object]) -> bytes:
    said = Image.Exif()
    said.update(tags)
    return said.tobytes() if tags else b""


def _exif_tags(file: File) -> dict[int, object]:
    """What the tags of a TIFF or of a block of EXIF, and the folders in it, say about the picture."""
    tags = tiff_tags(file)
    told = _sound(tags, _WORDS)
    for folder in _FOLDERS:
        if isinstance(place := tags.get(folder), int):
            inner = ImageFileDirectory_v2(tiff_head(file), group=folder)
            file.seek(place)
            inner.load(file)
            if kept := _sound(inner, set(inner) - {_INTEROP}):
                told[folder] = kept
    return told


def _sound(tags: ImageFileDirectory_v2, wanted: Iterable[int]) -> dict[int, object]:
    """The values of those of the `wanted` tags that are there and can be written: others have a type that is not theirs."""
    found: dict[int, object] = {}
    for tag in wanted:
        alone = ImageFileDirectory_v2(group=tags.group)
        with contextlib.suppress(Exception):  # Pillow raises whatever it stumbles over
            alone[tag] = tags[tag]
            alone.tobytes()
            found[tag] = tags[tag]
    return found


def _jpeg(image: Image.Image) -> Jpeg | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB") or not image.quantization:
        return None
    return Jpeg(tuple(tuple(table) for _, table in sorted(image.quantization.items())), JpegImagePlugin.get_sampling(image))


def _dpi(across: SupportsFloat | str | bytes, down: SupportsFloat | str | bytes) -> tuple[float, float] | None:
    across, down = float(across), float(down)
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def _plain(comment: bytes | str) -> str:
    if isinstance(comment, str):
        return comment
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"".join(part for part in _several(value) if isinstance(part, bytes))


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _upright(exif: bytes) -> bytes:
    """The same bytes with the orientation set to 1, in place, as a maker's notes may point into the block.

    The thumbnail is no longer pointed to, as it lies as the picture did.
    """
    block = bytearray(exif[len(EXIF) :])
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 14:
        return exif
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return exif
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        if struct.unpack_from(f"{order}H", block, entry)[0] == decode.ORIENTATION:
            struct.pack_into(f"{order}HHIHH", block, entry, decode.ORIENTATION, 3, 1, 1, 0)  # of whatever type it was
    if start + 6 + 12 * count <= len(block):
        struct.pack_into(f"{order}I", block, start + 2 + 12 * count, 0)
    return EXIF + bytes(block)


def _sized(exif: bytes, size: tuple[int, int]) -> bytes:
    """The same bytes with this height and width where they tell any, in place."""
    block = bytearray(exif[len(EXIF) :])
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 14:
        return exif

    def entries(start: int) -> Iterator[tuple[int, int, int]]:
        """Tag, type and place of the value of each entry of a directory."""
        count = struct.unpack_from(f"{order}H", block, start)[0] if start + 2 <= len(block) else 0
        for place in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
            yield (*struct.unpack_from(f"{order}HH", block, place), place + 8)

    (first,) = struct.unpack_from(f"{order}I", block, 4)
    for tag, _, place in entries(first):
        if tag == _FOLDERS[0]:
            for inner, kind, where in entries(*struct.unpack_from(f"{order}I", block, place)):
                if inner in _SIDES and kind in (3, 4) and (kind == 4 or max(size) < 1 << 16):
                    struct.pack_into(f"{order}{'HI'[kind - 3]}", block, where, size[_SIDES.index(inner)])
    return EXIF + bytes(block)


def _comments(image: Image.Image) -> list[bytes | str]:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return [content for name, content in image.applist if name == "COM" and content]
    return [image.info["comment"]] if image.format == "GIF" and image.info.get("comment") else []


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those that are kept as they are; of comments with the same keyword all but the last are."""
    found, place = [], len(PNG)
    while place + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        found.append((kind, png[place + 8 : place + 8 + length]))
        place += length + 12
    last = {content.partition(b"\0")[0]: i for i, (kind, content) in enumerate(found) if kind in _TEXTS}
    for i, (kind, content) in enumerate(found):
        again = kind in _TEXTS and last[content.partition(b"\0")[0]] != i
        if kind in _CHUNKS or again:
            yield kind, content

"""Metadata of picture files: EXIF, colour profile, resolution, XMP, comments and JPEG compression.

    file ─ read ─> Metadata ─ save_options ─> options of Pillow's `save`
                            └ embed ─> `io/metadata_embed.py`, for a file that another library has encoded

Only headers are read, so that pictures may have any size.
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

from sfumato.io import bounds, decode, formats, further_parts, optional_formats, tiff
from sfumato.io.decode import Opened
from sfumato.io.png import PNG, PNG_SAMPLES, File, chunks, without_pixels

EXIF = b"Exif\0\0"
_XMP = "XML:com.adobe.xmp"
_OLD_EXIF = "Raw profile type exif"
_COMMENT = "Comment"

_WORDS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 33723, 34377, 40091, 40092, 40093, 40094, 40095)
"""TIFF tags about the picture, not about the storage of its pixels: description, maker, model, software, date, artist, copyright..."""
_PACKED = (33723, 34377)
"""Tags of captions (IPTC) and Photoshop blocks: bytes, which some programs store as numbers of four bytes."""
_CHUNKS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"tIME")
"""Chunks of a PNG that are kept: colour space and time of the last change."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_FOLDERS = (int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo))
_NOT_RGB = (5, 8, 9, 10)
"""Photometric interpretations of a TIFF whose colour profile does not apply after conversion to RGB: CMYK and three kinds of Lab."""
_INTEROP = int(ExifTags.IFD.Interop)
_SIDES = (0xA003, 0xA002)
"""EXIF tags of height and width."""
_TURN_IN_XMP = re.compile(rb"""(tiff:Orientation(?:=["']|>))([2-8])""")
_FINE = 95
"""JPEG quality whose losses are invisible: the default, and the lowest that is reused for repaired pictures."""


class Jpeg(NamedTuple):
    """Compression parameters of a JPEG."""

    tables: tuple[tuple[int, ...], ...]
    """Quantisation tables of brightness and of colour."""
    subsampling: int
    """Chroma subsampling in Pillow's numbering: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0, -1 is another."""

    def quality(self) -> int:
        """The quality in [1, 100] of libjpeg whose standard table for brightness is nearest."""
        return min(range(1, 101), key=lambda quality: sum(abs(a - b) for a, b in zip(self.tables[0], _standard(quality), strict=True)))


class SampleFormat(NamedTuple):
    """Samples of one pixel in a file."""

    bits: int
    """Bits of each sample."""
    channels: int
    """Samples of a pixel, including opacity."""
    floating: bool
    """Whether samples are floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Metadata of a picture, valid for upright pixels. Every field may be empty."""

    exif: bytes = b""
    """EXIF block with the prefix `Exif` and two zeros; its orientation is upright."""
    icc: bytes = b""
    """ICC colour profile of the pixels."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical resolution in dots per inch."""
    xmp: bytes = b""
    """XMP packet (XML)."""
    text: dict[str, str] = field(default_factory=dict)
    """Comments: keyword to text of a PNG, the last of each keyword; `Comment` to the lines of a JPEG or GIF."""
    jpeg: Jpeg | None = None
    """Compression of a grey or colour JPEG; None for other files."""
    photoshop: tuple[bytes, ...] = ()
    """Photoshop blocks of a JPEG, which contain captions and keywords (IPTC)."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Type and content of further chunks of a PNG that are kept, including comments with a repeated keyword."""
    white: int = 65535
    """Stored value of white in a file of 16 bits: smaller for 10, 12 or 14 bits stored in 16. Pixels are scaled to the full range."""
    left_out: str = ""
    """Description of a part of the file that is not read and not kept; empty if there is none."""

    @property
    def fine_jpeg(self) -> Jpeg | None:
        """`jpeg` if its quality is 95 or more, None otherwise: coarse tables would undo the repair of a picture."""
        return self.jpeg if self.jpeg and self.jpeg.quality() >= _FINE else None


def read(path: Path, *, file: Opened | None = None, image: Image.Image | None = None) -> tuple[Metadata, int]:
    """The metadata of the upright picture, and the orientation of the stored pixels (1 to 8 as in EXIF).

    `file` is the file at `path`, and `image` its image from `decode.opened`, if they are open already. Raises ImageError if the file is no
    image.
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
            tags = _exif_tags(opened)
            return Metadata(exif=_exif_of(tags)), 1
        with decode.opened(opened, str(path), limit=None) if image is None else contextlib.nullcontext(image) as header:
            metadata, turn = _of_image(header)
        return _without_further_parts(metadata, opened) if isinstance(header, JpegImagePlugin.JpegImageFile) else metadata, turn


def _without_further_parts(metadata: Metadata, file: File) -> Metadata:
    """The metadata of the open JPEG `file`, which name the parts behind its picture as left out, and say nothing else of them."""
    behind = further_parts.behind_jpeg(file, metadata.xmp)
    if not behind:
        return metadata
    left_out = further_parts.joined(behind, metadata.left_out)
    return dataclasses.replace(metadata, xmp=further_parts.xmp_without_parts(metadata.xmp), left_out=left_out)


def of_image(image: Image.Image) -> Metadata:
    """The metadata of an image in memory: profile, resolution, EXIF, comments."""
    return _of_image(image)[0]


def sample_format(path: Path, *, file: Opened | None = None) -> SampleFormat:
    """Bits and samples of a pixel, from the header of a PNG or TIFF; 3 samples of 8 bits for other formats. Raises ImageError as `read`.

    `file` is the file at `path` if it is open already.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        start = opened.read(26)
        if start[:8] == PNG:
            return SampleFormat(start[24], PNG_SAMPLES.get(start[25], 1), floating=False)
        opened.seek(0)
        kind = formats.by_content(opened.read(formats.START), path.name)
        if kind is not None and kind.name == "TIFF":
            layout = tiff.checked(opened)
            return SampleFormat(layout.bits, layout.channels, floating=layout.floating)
        return SampleFormat(8, 3, floating=False)


def tiff_tags(file: File) -> ImageFileDirectory_v2:
    """The tags in the first directory of a TIFF or BigTIFF."""
    tags = ImageFileDirectory_v2(tiff_head(file))
    file.seek(tags.next)
    tags.load(file)
    tags.tagtype.update(dict.fromkeys(tags.keys() & _PACKED, TiffTags.UNDEFINED))
    return tags


def tiff_head(file: File) -> bytes:
    """The first 8 bytes of a TIFF, or the first 16 of a BigTIFF: byte order, width of offsets, and offset of the directory."""
    file.seek(0)
    head = file.read(8)
    return head + file.read(8) if 43 in head[2:4] else head


def save_options(metadata: Metadata, kind: str, channels: int, size: tuple[int, int]) -> dict[str, object]:
    """Options of Pillow's `save` that write `metadata` into a PNG, JPEG, WebP or BMP with `channels` channels.

    For TIFF use `embed_in_tiff`. `size` is the height and width of the picture, which replace those in its EXIF.
    """
    options: dict[str, object] = {}
    if kind in ("PNG", "JPEG", "WEBP"):
        options |= {"exif": _sized(metadata.exif, size), "icc_profile": metadata.icc}
    if kind in ("PNG", "JPEG", "BMP"):
        options["dpi"] = metadata.dpi
    if kind in ("JPEG", "WEBP"):
        options["xmp"] = metadata.xmp
    if kind == "PNG" and (metadata.text or metadata.xmp or metadata.chunks):
        options["pnginfo"] = PngInfo()
        for name, content in metadata.chunks:
            options["pnginfo"].add(name, content)
        for key, value in metadata.text.items():
            options["pnginfo"].add_text(key, value)
        if metadata.xmp:
            options["pnginfo"].add_itxt(_XMP, metadata.xmp.decode(errors="replace"))
    if kind == "JPEG":
        options["comment"] = metadata.text.get(_COMMENT, "").encode()
        options["extra"] = b"".join(b"\xff\xed" + struct.pack(">H", len(block) + 2) + block for block in metadata.photoshop)
    options = {name: value for name, value in options.items() if value}
    return options | (_compression(metadata.jpeg, channels) if kind == "JPEG" else {})


def tiff_directory(metadata: Metadata, head: bytes) -> ImageFileDirectory_v2:
    """The metadata as TIFF tags, with the byte order and offset width of `head`, the result of `tiff_head`.

    Raises ImageError if the EXIF is damaged.
    """
    tags = ImageFileDirectory_v2(head)
    if metadata.exif:
        with decode.reading("the EXIF"):
            tags.update(_exif_tags(io.BytesIO(metadata.exif.removeprefix(EXIF))))
    if metadata.dpi:
        tags[282], tags[283], tags[296] = *metadata.dpi, 2
    for tag, content, kind in ((34675, metadata.icc, 7), (700, metadata.xmp, 1)):
        if content:
            tags.tagtype[tag] = kind
            tags[tag] = content
    return tags


def _compression(jpeg: Jpeg | None, channels: int) -> dict[str, object]:
    """Options of Pillow's `save` for the compression `jpeg`, or for quality 95 without chroma subsampling if `jpeg` does not apply."""
    if jpeg is None or max(map(max, jpeg.tables)) > 255:
        return {"quality": _FINE, "subsampling": 0}
    return {"qtables": [list(table) for table in jpeg.tables], "subsampling": max(jpeg.subsampling, 0) if channels == 3 else -1}


@functools.cache
def _standard(quality: int) -> tuple[int, ...]:
    """The quantisation table for brightness of libjpeg at this quality."""
    encoded = io.BytesIO()
    Image.new("L", (1, 1)).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return tuple(image.quantization[0])


def _of_png(file: File, *, checked: bool) -> tuple[Metadata, int]:
    if not checked:
        bounds.check(file, "PNG")
    small = without_pixels(file)
    with Image.open(small, formats=["PNG"]) as image:
        metadata, orientation = _of_image(image)
    return dataclasses.replace(metadata, chunks=tuple(_kept_chunks(small.getvalue()))), orientation


def _of_image(image: Image.Image) -> tuple[Metadata, int]:
    orientation = decode.orientation(image.getexif())
    exif = image.info.get("exif") or bytes.fromhex("".join(image.info.get(_OLD_EXIF, "").split("\n")[3:]))
    exif = exif if not exif or exif.startswith(EXIF) else EXIF + exif
    text = {key: value for key, value in getattr(image, "text", {}).items() if key not in (_XMP, _OLD_EXIF)}
    if comments := _comments(image):
        text[_COMMENT] = "\n".join(map(_plain, comments))
    notes = Metadata(
        exif=_upright(exif) if orientation > 1 else exif,
        icc=b"" if image.mode == "CMYK" else image.info.get("icc_profile") or b"",  # the profile of CMYK does not apply to RGB
        dpi=_dpi(*image.info["dpi"]) if image.info.get("dpi") else None,
        xmp=_TURN_IN_XMP.sub(rb"\g<1>1", image.info.get("xmp") or b""),
        text=text,
        jpeg=_jpeg(image),
        photoshop=tuple(block for name, block in getattr(image, "applist", ()) if name == "APP13"),
        chunks=((b"cICP", colour),) if (colour := optional_formats.colour_space(image)) else (),
        left_out=further_parts.beside_heif(image) if image.format == "HEIF" else further_parts.in_jpeg_segments(image),
    )
    return notes, orientation


def _of_tiff(file: File, left_out: int) -> tuple[Metadata, int]:
    tags, exif = tiff_tags(file), _exif_of(_exif_tags(file))
    dpi = None
    if {282, 283} <= set(tags) and tags.get(296, 2) in (2, 3):
        inch = 2.54 if tags.get(296, 2) == 3 else 1
        dpi = _dpi(tags[282] * inch, tags[283] * inch)
    icc = b"" if tags.get(262) in _NOT_RGB else tags.get(34675, b"")
    xmp = _bytes(tags.get(700, b""))
    words = f"without {left_out} {'thumbnail or mask' if left_out == 1 else 'thumbnails or masks'} of its file" if left_out else ""
    notes = Metadata(exif=exif, icc=_bytes(icc), dpi=dpi, xmp=_TURN_IN_XMP.sub(rb"\g<1>1", xmp), left_out=words)
    return notes, decode.orientation(tags, xmp)


def _exif_of(tags: dict[int, object]) -> bytes:
    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes() if tags else b""


def _exif_tags(file: File) -> dict[int, object]:
    """The tags about the picture in a TIFF or an EXIF block, including the directories of EXIF and GPS."""
    tags = tiff_tags(file)
    kept_tags = _sound(tags, _WORDS)
    for folder in _FOLDERS:
        if isinstance(place := tags.get(folder), int):
            inner = ImageFileDirectory_v2(tiff_head(file), group=folder)
            file.seek(place)
            inner.load(file)
            if kept := _sound(inner, set(inner) - {_INTEROP}):
                kept_tags[folder] = kept
    return kept_tags


def _sound(tags: ImageFileDirectory_v2, wanted: Iterable[int]) -> dict[int, object]:
    """Tag to value of the `wanted` tags that exist and can be written; tags of a wrong type are left out."""
    sound: dict[int, object] = {}
    for tag in wanted:
        alone = ImageFileDirectory_v2(group=tags.group)
        with contextlib.suppress(Exception):  # damaged tags make Pillow raise various exceptions
            alone[tag] = tags[tag]
            alone.tobytes()
            sound[tag] = tags[tag]
    return sound


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
    """The EXIF block with orientation 1 and without the link to its thumbnail, which has the old orientation.

    Bytes are replaced in place, because maker notes may contain offsets into the block.
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
            struct.pack_into(f"{order}HHIHH", block, entry, decode.ORIENTATION, 3, 1, 1, 0)  # also where the entry had another type
    if start + 6 + 12 * count <= len(block):
        struct.pack_into(f"{order}I", block, start + 2 + 12 * count, 0)
    return EXIF + bytes(block)


def _sized(exif: bytes, size: tuple[int, int]) -> bytes:
    """The EXIF block with height and width set to `size` where it has these tags; bytes are replaced in place."""
    block = bytearray(exif[len(EXIF) :])
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 14:
        return exif

    def entries(start: int) -> Iterator[tuple[int, int, int]]:
        """Yields tag, type and offset of the value of each entry of a directory."""
        count = struct.unpack_from(f"{order}H", block, start)[0] if start + 2 <= len(block) else 0
        for place in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
            yield (*struct.unpack_from(f"{order}HH", block, place), place + 8)

    (first,) = struct.unpack_from(f"{order}I", block, 4)
    for tag, _, place in entries(first):
        if tag == _FOLDERS[0]:
            for inner, kind, value_place in entries(*struct.unpack_from(f"{order}I", block, place)):
                if inner in _SIDES and kind in (3, 4) and (kind == 4 or max(size) < 1 << 16):
                    struct.pack_into(f"{order}{'HI'[kind - 3]}", block, value_place, size[_SIDES.index(inner)])
    return EXIF + bytes(block)


def _comments(image: Image.Image) -> list[bytes | str]:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return [content for name, content in image.applist if name == "COM" and content]
    return [image.info["comment"]] if image.format == "GIF" and image.info.get("comment") else []


def _kept_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the chunks that are kept unchanged: those in `_CHUNKS`, and comments before the last one with the same keyword."""
    pieces = list(chunks(png))
    last = {content.partition(b"\0")[0]: i for i, (kind, content) in enumerate(pieces) if kind in _TEXTS}
    for i, (kind, content) in enumerate(pieces):
        repeated = kind in _TEXTS and last[content.partition(b"\0")[0]] != i
        if kind in _CHUNKS or repeated:
            yield kind, content

"""Parts of a picture file behind or beside its picture, as cameras write them: gain maps, previews, second views, depth, videos.

They are not read, and a file that is written from the picture does not have them. `left_out` names them.
"""

import re

from PIL import Image, JpegImagePlugin

from sfumato.io.png import File

_PIECE = 1 << 20
"""Number of bytes that are searched at once."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker in the compressed data of a JPEG; a value of 255 is followed by 0 there, and 0xD0 to 0xD7 restart the decoder."""
_ALONE = (0x01, *range(0xD0, 0xD9), 0xFF)
"""Markers of a JPEG without a length, and padding."""
_START = b"\xff\xd8\xff"
_START_OF_SCAN, _END = 0xDA, 0xD9
_PADDING = b"\0\xff"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_GAIN_MAP = re.compile(rb"hdrgm:|HDRGainMap")
_DIRECTORY = re.compile(
    rb"""<(G?Container:Directory)\b.*?</\1>"""
    rb"""|\s(?:hdrgm|GContainer|GCamera|HDRGainMap):\w+\s*=\s*(?:"[^"]*"|'[^']*')"""
    rb"""|<((?:hdrgm|GCamera|HDRGainMap):\w+)\b[^>]*>.*?</\2>""",
    re.DOTALL,
)


def behind_jpeg(file: File, xmp: bytes) -> str:
    """A description of the parts behind the picture in the open JPEG `file`, whose XMP packet is `xmp`; empty if there are none.

    Padding is no part. The place in the file is kept.
    """
    place = file.tell()
    end = _end_of_picture(file)
    file.seek(end)
    rest = file.read(_PIECE)
    file.seek(place)
    if not rest.strip(_PADDING):
        return ""
    if _START in rest:
        return "without the gain map of its file" if _GAIN_MAP.search(xmp) else "without the further pictures of its file"
    return "without the video in its file" if rest[4:8] == b"ftyp" else "without the data behind the picture in its file"


def beside_heif(image: Image.Image) -> str:
    """A description of the parts of a HEIC that are not read, by what pillow-heif says of it; empty if there are none."""
    bits, auxiliary, depth = (image.info.get(name) for name in ("bit_depth", "aux", "depth_images"))
    gain_map = any("gainmap" in str(name).lower() for name in auxiliary) if isinstance(auxiliary, dict) else False
    parts = [
        f"{bits - 8} of {bits} bits a sample" if isinstance(bits, int) and bits > 8 else "",
        "the gain map" if gain_map else "the auxiliary pictures" if auxiliary else "",
        "the map of depth" if depth else "",
    ]
    named = " and ".join(part for part in parts if part)
    return f"without {named} of its file" if named else ""


def in_jpeg_segments(image: Image.Image) -> str:
    """A description of the segments of a JPEG that are not kept; empty if there are none, and for other images."""
    segments: list[tuple[str, bytes]] = image.applist if isinstance(image, JpegImagePlugin.JpegImageFile) else []
    extended = any(name == "APP1" and content.startswith(_EXTENDED_XMP) for name, content in segments)
    return "without the extended XMP of its file" if extended else ""


def xmp_without_parts(xmp: bytes) -> bytes:
    """The XMP packet without its statements on gain maps, videos and further pictures, which would be untrue in a file without these."""
    return _DIRECTORY.sub(b"", xmp)


def joined(*descriptions: str) -> str:
    """Descriptions as one: `without the gain map of its file, without the extended XMP of its file`."""
    return ", ".join(each for each in descriptions if each)


def _end_of_picture(file: File) -> int:
    """The offset behind the first picture of an open JPEG, or the end of a damaged file."""
    file.seek(2)
    while len(head := file.read(2)) == 2 and head[0] == 0xFF:
        if head[1] == _END:
            return file.tell()
        if head[1] in _ALONE:
            file.seek(-1, 1)
            _skip_to_marker(file)
            continue
        length = int.from_bytes(file.read(2), "big")
        file.seek(max(0, length - 2), 1)
        if head[1] == _START_OF_SCAN:
            _skip_to_marker(file)
    return file.seek(0, 2)


def _skip_to_marker(file: File) -> None:
    """Moves to the next marker that has a length or ends the picture, or to the end of the file; compressed data are no marker."""
    place = file.tell()
    while len(piece := file.read(_PIECE)) > 1:
        if marker := _MARKER.search(piece):
            file.seek(place + marker.start())
            return
        place += len(piece) - 1  # a marker may begin with the last byte
        file.seek(place)

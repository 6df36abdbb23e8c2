"""Formats of picture files, identified by their first bytes, and by the ending of the name only where bytes are ambiguous.

    first bytes, name ─ by_content ─> Kind (or None: no picture) ─ identify ─> the same, or the format of the name's ending

`Kind.read` tells whether pictures of a format can be read with the installed packages. `summary` lists ignored files in one line.
"""

import importlib.util
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from sfumato.core.extras import install

START = 4096
"""Number of first bytes of a file that `identify` takes; a shorter file is passed whole."""

Reader = Literal["pillow", "heif", "raw", "none"]

_PACKAGES = {"heif": ("pillow_heif", "pillow-heif"), "raw": ("rawpy", "rawpy")}
"""Name of each extra to the module that it installs and to the name of the package."""


@dataclass(frozen=True)
class Kind:
    """A format of files that contain pictures or films."""

    name: str
    """Name for people: `PNG`, `HEIC`, `camera raw (Canon CR2)`, `film`."""
    reader: Reader = "none"
    """Package that reads the format: Pillow, that of an extra (`heif`, `raw`), or none."""
    format: str = ""
    """Pillow's name of the format; empty if Pillow does not read the format."""
    ending: str = ".png"
    """Ending of results for a picture of this format whose own ending cannot be written."""

    @property
    def read(self) -> bool:
        """Whether pictures of this format can be read with the installed packages."""
        return self.reader == "pillow" or (self.reader in _PACKAGES and importlib.util.find_spec(_PACKAGES[self.reader][0]) is not None)

    @property
    def advice(self) -> str:
        """Reason why the format cannot be read and what to do, as a clause after `name`; empty if the format can be read."""
        if self.read:
            return ""
        if self.reader in _PACKAGES:
            package = _PACKAGES[self.reader][1]
            return f"needs {package}; install it with: {install(package)}"
        if self is BROKEN:
            return "leads nowhere"
        return "is no picture" if self is FILM else "is not read; save it as PNG, JPEG or TIFF"


FILM = Kind("film")
"""Files of moving pictures."""
BROKEN = Kind("broken link")
"""Symbolic links to files that do not exist."""
_RAW_NAMES = {
    ".dng": "DNG", ".cr2": "Canon CR2", ".cr3": "Canon CR3", ".crw": "Canon CRW", ".nef": "Nikon NEF", ".nrw": "Nikon NRW",
    ".arw": "Sony ARW", ".sr2": "Sony SR2", ".srf": "Sony SRF", ".raf": "Fujifilm RAF", ".orf": "Olympus ORF", ".rw2": "Panasonic RW2",
    ".pef": "Pentax PEF", ".srw": "Samsung SRW", ".x3f": "Sigma X3F", ".mrw": "Minolta MRW", ".3fr": "Hasselblad 3FR",
    ".iiq": "Phase One IIQ",    ".erf": "Epson ERF", ".kdc": "Kodak KDC", ".dcr": "Kodak DCR", ".mos": "Leaf MOS", ".rwl": "Leica RWL",
}  # fmt: skip
_RAW = {ending: Kind(f"camera raw ({name})", "raw") for ending, name in _RAW_NAMES.items()}
_PNG, _JPEG, _WEBP = Kind("PNG", "pillow", "PNG"), Kind("JPEG", "pillow", "JPEG", ".jpg"), Kind("WebP", "pillow", "WEBP", ".webp")
_BMP, _GIF, _TIFF = Kind("BMP", "pillow", "BMP"), Kind("GIF", "pillow", "GIF"), Kind("TIFF", "pillow", "TIFF", ".tif")
_AVIF, _HEIC = Kind("AVIF", "pillow", "AVIF"), Kind("HEIC", "heif")
_PPM, _TGA, _JP2 = Kind("PPM", "pillow", "PPM"), Kind("TGA", "pillow", "TGA"), Kind("JPEG 2000", "pillow", "JPEG2000")
_PSD, _JXL, _EXR, _HDR = Kind("Photoshop PSD"), Kind("JPEG XL"), Kind("OpenEXR"), Kind("Radiance HDR")
_SVG, _XCF, _QOI, _DDS, _ICO = Kind("SVG"), Kind("GIMP XCF"), Kind("QOI"), Kind("DDS"), Kind("icon")

ENDINGS = _RAW | {
    ".png": _PNG, ".apng": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".jpe": _JPEG, ".jfif": _JPEG, ".jif": _JPEG, ".mpo": _JPEG,
    ".webp": _WEBP, ".bmp": _BMP, ".dib": _BMP, ".gif": _GIF, ".tif": _TIFF, ".tiff": _TIFF, ".avif": _AVIF, ".avifs": _AVIF,
    ".heic": _HEIC, ".heif": _HEIC, ".hif": _HEIC, ".heics": _HEIC, ".ppm": _PPM, ".pgm": _PPM, ".pbm": _PPM, ".pnm": _PPM,
    ".tga": _TGA, ".jp2": _JP2, ".j2k": _JP2, ".jpx": _JP2, ".jpf": _JP2, ".j2c": _JP2,
    ".psd": _PSD, ".psb": _PSD, ".jxl": _JXL, ".exr": _EXR, ".hdr": _HDR, ".svg": _SVG, ".xcf": _XCF, ".qoi": _QOI, ".dds": _DDS,
    ".ico": _ICO, ".mp4": FILM, ".mov": FILM, ".mkv": FILM, ".webm": FILM, ".avi": FILM, ".m4v": FILM,
}  # fmt: skip
"""Ending of a file name, in lower case, to format."""

SUFFIXES = frozenset(ending for ending, kind in ENDINGS.items() if kind.reader == "pillow")
"""Endings, in lower case, of pictures that can be read without an extra."""

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Endings, in lower case, of pictures that can be written, to Pillow's name of the format."""

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JP2),
    (b"\xff\x4f\xff\x51", _JP2),
    (b"FUJIFILMCCD-RAW", _RAW[".raf"]),
    (b"IIRO", _RAW[".orf"]),
    (b"IIRS", _RAW[".orf"]),
    (b"MMOR", _RAW[".orf"]),
    (b"IIU\0", _RAW[".rw2"]),
    (b"FOVb", _RAW[".x3f"]),
    (b"\0MRM", _RAW[".mrw"]),
    (b"8BPS", _PSD),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    (b"\x76\x2f\x31\x01", _EXR),
    (b"#?RADIANCE", _HDR),
    (b"gimp xcf ", _XCF),
    (b"qoif", _QOI),
    (b"DDS \x7c\0\0\0", _DDS),
    (b"\x1a\x45\xdf\xa3", FILM),
)
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DNG_VERSION = 50706
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Possible lengths of the header after the first 14 bytes of a BMP."""


def by_content(start: bytes, name: str) -> Kind | None:
    """The format of a file with the first bytes `start` (at most `START` are read); None if the file is no picture and no film.

    The ending of `name` is used where bytes are ambiguous: for TGA, which has no signature, for camera raw with the structure of a TIFF,
    and for SVG, which is text.
    """
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return kind
    ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    for recognise in (_riff, _boxes, _bitmap, _portable, _tiff, _targa, _drawing):
        if kind := recognise(start, ending):
            return kind
    return None


def identify(start: bytes, name: str) -> Kind | None:
    """The format by content or, if the content is unknown, by the ending of the name: such a file is a damaged picture.

    None if neither content nor name belong to a picture or a film.
    """
    if kind := by_content(start, name):
        return kind
    return ENDINGS.get(PurePosixPath(name.replace("\\", "/")).suffix.lower())


def identify_file(path: Path) -> Kind | None:
    """The format of the file at `path`, as of `identify`; for an unreadable file or a broken link, the format of its name.

    None for a folder, and for a pipe or a device, whose opening would block.
    """
    try:
        if path.exists() and not path.is_file():
            return None
        with path.open("rb") as file:
            start = file.read(START)
    except OSError:
        start = b""
    return identify(start, path.name)


def readable(path: Path) -> bool:
    """Whether the file at `path` is a picture that can be read, or a damaged file with the name of one."""
    return path.is_file() and (kind := identify_file(path)) is not None and kind.read


def passed_over(path: Path) -> Kind | None:
    """The kind of a picture, film or broken link that cannot be read; None for a readable picture and for other files."""
    if (kind := identify_file(path)) is None or path.is_dir():
        return None
    return BROKEN if not path.exists() else None if kind.read else kind


def output_name(kind: Kind | None, name: Path) -> Path:
    """`name` with the ending in which a picture of this kind is written.

    An ending of a picture format is replaced; any other ending is part of the name and stays.

    >>> str(output_name(_JPEG, Path("x.jfif"))), str(output_name(_PNG, Path("scan.v2")))
    ('x.jpg', 'scan.v2.png')
    """
    ending = ".png" if kind is None else kind.ending
    is_picture_ending = name.suffix.lower() in ENDINGS
    return name.with_suffix(ending) if is_picture_ending else name.with_name(name.name + ending)


def summary(kinds: Iterable[Kind]) -> str:
    """Numbers, kinds and reasons of ignored files in one line; empty if `kinds` is empty.

    >>> print(summary([_SVG, FILM, _SVG]))
    passed over 3 files: 2 SVG (is not read; save it as PNG, JPEG or TIFF), 1 film (is no picture)
    """
    counts = Counter(kinds)
    parts = [f"{count} {kind.name} ({kind.advice})" for kind, count in counts.most_common()]
    total = sum(counts.values())
    return f"passed over {total} {'file' if total == 1 else 'files'}: {', '.join(parts)}" if parts else ""


def _riff(start: bytes, ending: str) -> Kind | None:
    if start[:4] != b"RIFF":
        return None
    return {b"WEBP": _WEBP, b"AVI ": FILM}.get(start[8:12])


def _boxes(start: bytes, ending: str) -> Kind | None:
    """Formats with the box structure of MP4, recognised by the brands in the first box."""
    if start[4:8] != b"ftyp":
        return None
    brands = start[8 : min(int.from_bytes(start[:4]), 256)]
    listed = {brands[i : i + 4] for i in range(0, len(brands), 4)}
    if listed & {b"avif", b"avis"}:
        return _AVIF
    if listed & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return _HEIC
    return _RAW[".cr3"] if b"crx " in listed else FILM


def _bitmap(start: bytes, ending: str) -> Kind | None:
    return _BMP if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS else None


def _portable(start: bytes, ending: str) -> Kind | None:
    has_signature = start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] in b" \t\r\n"
    return _PPM if has_signature and start[3:4] in b"0123456789# \t\r\n" and len(start) > 7 else None


def _tiff(start: bytes, ending: str) -> Kind | None:
    """TIFF, or camera raw with the structure of a TIFF: CR2 by its mark, DNG by its version tag, others by the ending of the name."""
    if start[:4] not in _TIFF_HEADS:
        return None
    if start[8:10] == b"CR":
        return _RAW[".cr2"]
    order = "<" if start[:2] == b"II" else ">"
    if 43 not in start[2:4] and len(start) >= 8:
        (place,) = struct.unpack_from(f"{order}I", start, 4)
        entries = range(place + 2, len(start) - 11, 12) if place + 2 <= len(start) else range(0)
        count = struct.unpack_from(f"{order}H", start, place)[0] if entries else 0
        if any(struct.unpack_from(f"{order}H", start, entry)[0] == _DNG_VERSION for entry in entries[:count]):
            return _RAW[".dng"]
    return _RAW.get(ending, _TIFF)


def _targa(start: bytes, ending: str) -> Kind | None:
    if ending != ".tga" or len(start) < 18:
        return None
    coloured, form = start[1], start[2]
    width, height, bits = struct.unpack_from("<HHB", start, 12)
    sound = coloured in (0, 1) and form in (1, 2, 3, 9, 10, 11) and bits in (8, 15, 16, 24, 32) and width and height
    return _TGA if sound else None


def _drawing(start: bytes, ending: str) -> Kind | None:
    return _SVG if ending == ".svg" or (start.lstrip()[:5] in (b"<?xml", b"<svg ") and b"<svg" in start) else None

"""The format of a picture file: its first bytes decide, and its name only where they cannot.

    first bytes, name ─ by_content ─> Kind (or None: no picture) ─ identify ─> the same, or the format that the name's ending claims

`Kind.read` says whether pictures of this format can be read here. `summary` names in one line the files that were passed over.
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
"""Bytes of the beginning of a file that `identify` wants; a shorter file is given whole."""

Reader = Literal["pillow", "heif", "raw", "none"]

_PACKAGES = {"heif": ("pillow_heif", "pillow-heif"), "raw": ("rawpy", "rawpy")}
"""Extra to the module that it brings and to what that is called in a package registry."""


@dataclass(frozen=True)
class Kind:
    """One format of files that hold pictures or films."""

    name: str
    """As a person would call it: `PNG`, `HEIC`, `camera raw (Canon CR2)`, `film`."""
    reader: Reader = "none"
    """Who reads it: Pillow, the package of an extra (`heif`, `raw`), or nobody."""
    format: str = ""
    """Pillow's name for it, where Pillow reads it."""
    ending: str = ".png"
    """The ending of the file that a picture of this format is written to where its own name has none that can be written."""

    @property
    def read(self) -> bool:
        """Whether such a picture can be read here, with the extras that are installed."""
        return self.reader == "pillow" or (self.reader in _PACKAGES and importlib.util.find_spec(_PACKAGES[self.reader][0]) is not None)

    @property
    def advice(self) -> str:
        """Why it cannot be read and what to do about it, to be said behind `name`; empty if it can be read."""
        if self.read:
            return ""
        if self.reader in _PACKAGES:
            package = _PACKAGES[self.reader][1]
            return f"needs {package}; install it with: {install(package)}"
        if self is BROKEN:
            return "leads nowhere"
        return "is no picture" if self is FILM else "is not read; save it as PNG, JPEG or TIFF"


FILM = Kind("film")
BROKEN = Kind("broken link")
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
"""Ending of a name, in lower case, to the format that it claims."""

SUFFIXES = frozenset(ending for ending, kind in ENDINGS.items() if kind.reader == "pillow")
"""The endings, in lower case, of pictures that are read without an extra."""

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
"""Lengths that the header behind the first 14 bytes of a BMP can have."""


def by_content(start: bytes, name: str) -> Kind | None:
    """The format of a file that begins with `start` (`START` bytes are enough); None if it is no picture and no film.

    The ending of `name` is asked only where bytes cannot tell: for TGA, which has no signature, for camera raw that is laid out as a
    TIFF, and for SVG, which is text.
    """
    ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return kind
    for recognise in (_riff, _boxes, _bitmap, _portable, _tiff, _targa, _drawing):
        if kind := recognise(start, ending):
            return kind
    return None


def identify(start: bytes, name: str) -> Kind | None:
    """The format by the content or, where that is unknown, by the ending of the name: such a file is a damaged picture, to be told of.

    None if neither the content nor the name is that of a picture or a film.
    """
    ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    return by_content(start, name) or ENDINGS.get(ending)


def identify_file(path: Path) -> Kind | None:
    """`identify` for a file on disk; for one that cannot be opened, and for a broken link, what its name claims.

    None for a folder, and for a pipe or a device, which would be waited for.
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
    """Whether there is a file at `path` that is a picture which can be read here, or is called like one and damaged."""
    return path.is_file() and (kind := identify_file(path)) is not None and kind.read


def passed_over(path: Path) -> Kind | None:
    """The kind of a picture, film or broken link that cannot be read here; None for anything else."""
    if (kind := identify_file(path)) is None or path.is_dir():
        return None
    return BROKEN if not path.exists() else None if kind.read else kind


def output_name(kind: Kind | None, name: Path) -> Path:
    """`name` with the ending in which a picture of this kind is written.

    The ending of another picture format is replaced; any other ending is part of the name and stays.

    >>> str(output_name(_JPEG, Path("x.jfif"))), str(output_name(_PNG, Path("scan.v2")))
    ('x.jpg', 'scan.v2.png')
    """
    ending = ".png" if kind is None else kind.ending
    is_picture_ending = name.suffix.lower() in ENDINGS
    return name.with_suffix(ending) if is_picture_ending else name.with_name(name.name + ending)


def summary(kinds: Iterable[Kind]) -> str:
    """How many files of which kind were passed over and why, in one line; empty if there are none.

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
    """The files that are made of boxes, as MP4 is: their first box lists the brands that they conform to."""
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
    """TIFF, or camera raw that is laid out as one: Canon's by its mark, DNG by its version, others by the ending of their names."""
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

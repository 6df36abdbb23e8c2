"""Pictures of any size, for networks that repair: whole in memory, cut to squares only when they are seen.

Pictures whose longer side has more than `LARGEST` pixels are shrunk to that: a camera's pictures are sharper afterwards and without
most of their noise, which is what a clean example should be.
"""

from pathlib import Path

import torch
from torch import Tensor

from sfumato.core.catalog import suggest
from sfumato.core.errors import DataError, ImageError
from sfumato.data import decode, idx
from sfumato.data.collection import called, chosen, each, judge, look
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.decode import Facts
from sfumato.data.drawings import drawings
from sfumato.data.known import NAMES, Part, provided
from sfumato.data.listing import Entry
from sfumato.data.load import load, part_of

LARGEST = 1024
"""Pixels of the longer side that are kept."""


TERMS = {
    "bsds500": "Berkeley segmentation data (BSDS500): non-commercial research and education",
    "bsd68": "BSD68, a grey part of BSDS500 (val): non-commercial research and education",
    "cbsd68": "CBSD68, the same pictures in colour: non-commercial research and education",
    "set12": "Set12: customary research use",
    "set5": "Set5: customary research use",
    "train400": "the 400 grey crops that DnCNN was trained on, from BSDS500: non-commercial research and education",
}
"""The standard sets that are looked for in SFUMATO_DATA under these names, and their terms."""

_DRAWN = {"train": range(100), "test": range(100, 120), "all": range(120)}

KNOWN = (*NAMES, *TERMS, "drawings")
"""Every name that `load_scenes` knows."""

_PARTS: dict[str, dict[Part, tuple[str, ...]]] = {
    "bsds500": {"train": ("train", "test"), "test": ("val",), "all": ("train", "test", "val")},
}
"""BSD68 and BSD100 are taken from val: it is the part that nobody should train on."""


def load_scenes(
    source: str | Path, *, channels: int, part: Part = "train", tolerance: float = 0.05, largest: int | None = LARGEST
) -> Dataset | Scenes:
    """The pictures of a standard set, a known name, a folder, a zip or an IDX file, or of several with + between them.

    A longer side of more than `largest` pixels is shrunk to that. Of a set that has no parts of its own the pixels of each picture
    decide, as in `load`; the standard test sets are always given whole. Raises DataError for a source that is no such thing or cannot
    be used.
    """
    if isinstance(source, str) and source in TERMS:
        return _standard(source, channels, part, largest)
    if source == "drawings":
        which = _DRAWN[part]
        return drawings(len(which), channels=channels, first=which.start)
    path = Path(source).expanduser()
    if isinstance(source, str) and "+" in source and not path.exists():
        return _joined(
            source, [load_scenes(piece, channels=channels, part=part, tolerance=tolerance, largest=largest) for piece in source.split("+")]
        )
    if isinstance(source, str) and source in NAMES:
        return load(source, channels=channels, part=part, tolerance=tolerance)
    if not path.exists():
        raise DataError(f"no file or folder {str(source)!r}{suggest(str(source), KNOWN)}; known data sets are {', '.join(KNOWN)}")
    if path.is_file() and idx.is_idx(path):
        return load(source, channels=channels, part=part, tolerance=tolerance)
    if path.is_file() and path.suffix.lower() != ".zip":
        raise DataError(f"{path}: neither a folder, a zip nor an IDX file; give pictures, or one of {', '.join(KNOWN)}")
    found, parted = _read(path, channels, part, tolerance, largest)
    return found if parted else part_of(found, part)


def _joined(name: str, pieces: list[Dataset | Scenes]) -> Scenes:
    return Scenes(
        name=name,
        pictures=tuple(picture for piece in pieces for picture in piece.pictures),
        terms="; ".join(dict.fromkeys(piece.terms for piece in pieces)),
        skipped=tuple(line for piece in pieces for line in piece.skipped),
        kept_back=sum(piece.kept_back for piece in pieces),
    )


def _standard(name: str, channels: int, part: Part, largest: int | None) -> Scenes:
    if name == "cbsd68":
        return _chosen_from_bsds(channels)
    place = provided(name, name)
    parts = [place / piece for piece in _PARTS[name][part]] if name in _PARTS else [place]
    pieces = [_read(each_part, channels, "all", 0.0, largest)[0] for each_part in parts]
    return Scenes(name=name, pictures=tuple(p for piece in pieces for p in piece.pictures), terms=TERMS[name])


def _chosen_from_bsds(channels: int) -> Scenes:
    """Those of BSDS500 that bsd68_ids.txt beside them names."""
    whole, names = provided("bsds500", "bsds500"), provided("bsds500", "bsds500") / "bsd68_ids.txt"
    if not names.is_file():
        raise DataError(f"cbsd68 wants {names}, a line with the number of each of its 68 pictures in bsds500/val")
    entries = [Entry(path.name, lambda path=path: path.open("rb")) for path in (_jpeg(whole, line) for line in names.read_text().split())]
    pictures = [_picture(entry, channels, None) for entry in entries]
    broken = [picture for picture in pictures if isinstance(picture, str)]
    if broken:
        raise DataError(f"cbsd68: {broken[0]}")
    return Scenes(name="cbsd68", pictures=tuple(p for p in pictures if not isinstance(p, str)), terms=TERMS["cbsd68"])


def _jpeg(folder: Path, number: str) -> Path:
    return folder / "val" / f"{Path(number).stem}.jpg"


def _read(path: Path, channels: int, part: Part, tolerance: float, largest: int | None) -> tuple[Scenes, bool]:
    with chosen(path, part) as (files, _, _, marked):
        read = each(lambda entry: _picture(entry, channels, largest), files)
    broken = {i: picture for i, picture in enumerate(read) if isinstance(picture, str)}
    judge(path, broken, len(files), tolerance)
    whole = tuple(picture for picture in read if not isinstance(picture, str))
    return Scenes(name=called(path), pictures=whole, skipped=tuple(broken.values())), marked


def _picture(entry: Entry, channels: int, largest: int | None) -> Tensor | str:
    """The picture, or why it cannot be read."""
    fact = look(entry)
    if not isinstance(fact, Facts):
        return fact
    try:
        pixels = decode.decode(entry.open, entry.name, channels=channels, size=_shrunk(fact.size, largest))
    except ImageError as error:
        return str(error)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _shrunk(size: tuple[int, int], largest: int | None) -> tuple[int, int] | None:
    """The size at which a picture is kept; None for its own."""
    longer = max(size)
    if largest is None or longer <= largest:
        return None
    height, width = (max(1, round(side * largest / longer)) for side in size)
    return height, width

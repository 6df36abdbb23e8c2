"""Loads pictures of different sizes for training restorers; they are kept whole in memory and cropped for each batch.

Pictures with a longer side of more than `LARGEST` pixels are shrunk: this sharpens camera pictures and removes most of their noise, so that
they are suitable as clean targets.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from sfumato.core.catalog import suggest
from sfumato.core.errors import DataError, ImageError, MissingExtraError
from sfumato.core.tensors import to_bytes, to_images
from sfumato.data import content, idx
from sfumato.data.collection import check_broken, map_in_threads, open_part, read_facts, source_name
from sfumato.data.content import SplitPositions
from sfumato.data.dataset import PURPOSES, Dataset, Scenes, SplitBy
from sfumato.data.drawings import drawings
from sfumato.data.leaves import leaves
from sfumato.data.listing import Entry
from sfumato.data.load import load, part_of
from sfumato.data.public_sets import NAMES, Part, provided, remark_on_namesake
from sfumato.io import archive, decode
from sfumato.io.decode import Facts
from sfumato.nn.resample import shrink

Named = TypeVar("Named", bound=str | Path | None)

LARGEST = 1024
"""Longest side of pictures in pixels; larger ones are shrunk."""

TERMS = {
    "bsds500": "Berkeley segmentation data (BSDS500): non-commercial research and education",
    "bsds500-half": "Berkeley segmentation data (BSDS500) at half size: non-commercial research and education",
    "photos": "24 photographs of Debian's wallpaper packages: CC BY 4.0, CC BY-SA 4.0, CC0 and GPL-2+, by their authors",
    "bsd68": "BSD68, a grey part of BSDS500 (val): non-commercial research and education",
    "cbsd68": "CBSD68, the same pictures in colour: non-commercial research and education",
    "set12": "Set12: customary research use",
    "set5": "Set5: customary research use",
    "train400": "the 400 grey crops that DnCNN was trained on, from BSDS500: non-commercial research and education",
}
"""Name to terms of the standard sets, which are read from SFUMATO_DATA."""

_DRAWN: dict[str, tuple[Callable[..., Scenes], dict[Part, range]]] = {
    "drawings": (drawings, {"train": range(100), "test": range(100, 120), "all": range(120)}),
    "leaves": (leaves, {"train": range(500), "test": range(500, 520), "all": range(520)}),
}
"""Name to what draws the pictures, and the numbers of those in each part."""

SCENE_NAMES = (*NAMES, *TERMS, *_DRAWN)
"""Names of all data sets of `load_scenes`."""

_PARTS: dict[str, dict[Part, tuple[str, ...]]] = {
    "bsds500": {"train": ("train", "test"), "test": ("val",), "all": ("train", "test", "val")},
}
_PARTS["bsds500-half"] = _PARTS["bsds500"]
"""Name and part to folders. BSD68 and BSD100 are subsets of val, which therefore is the test part."""


def load_scenes(
    source: str | Path,
    *,
    channels: int,
    part: Part = "train",
    tolerance: float = 0.05,
    largest: int | None = LARGEST,
    split_by: SplitBy = "original",
) -> Dataset | Scenes:
    """The pictures of a standard set, a named data set, a folder, a zip or an IDX file, or of several joined by +.

    Pictures with a longer side of more than `largest` pixels are shrunk. Sources without parts are split by originals, as in `load`;
    standard test sets are always whole. Other arguments are those of `load`. Raises DataError for a source that cannot be used.
    """
    if isinstance(source, str) and (source in TERMS or source in _DRAWN):
        remark_on_namesake(source)
    if isinstance(source, str) and source in TERMS:
        return dataclasses.replace(_standard(source, channels, part, largest), split_by=split_by)
    if isinstance(source, str) and source in _DRAWN:
        draw, parts = _DRAWN[source]
        return dataclasses.replace(draw(len(parts[part]), channels=channels, first=parts[part].start), split_by=split_by)
    path = Path(source).expanduser()
    if isinstance(source, str) and "+" in source and not path.exists():
        load_piece = functools.partial(load_scenes, channels=channels, part=part, tolerance=tolerance, largest=largest, split_by=split_by)
        return _joined(source, [load_piece(piece) for piece in source.split("+")])
    if isinstance(source, str) and source in NAMES:
        return load(source, channels=channels, part=part, tolerance=tolerance, split_by=split_by)
    if not path.exists():
        raise _absent(str(source))
    if path.is_dir() or (path.is_file() and archive.is_zip(path)):
        scenes, parted = _read(path, channels, part, tolerance, largest)
        scenes = dataclasses.replace(scenes, split_by=split_by)
        return scenes if parted else part_of(scenes, part)
    if path.is_file() and idx.is_idx(path):
        return load(source, channels=channels, part=part, tolerance=tolerance, split_by=split_by)
    raise DataError(f"{path}: neither a folder, a zip nor an IDX file; give pictures, or one of {', '.join(SCENE_NAMES)}")


def existing_data(source: Named) -> Named:
    """The name or place `source` of a data set, or of several joined by +, unchanged, or None for none. Nothing is loaded.

    Raises DataError if one of them is neither the name of a data set nor a file or a folder.
    """
    if source is None or os.path.lexists(Path(source).expanduser()):
        return source
    for piece in str(source).split("+"):
        if piece not in SCENE_NAMES and ("\0" in piece or not os.path.lexists(Path(piece).expanduser())):
            raise _absent(piece)
    return source


def _absent(name: str) -> DataError:
    return DataError(f"no file or folder {name!r}{suggest(name, SCENE_NAMES)}; known data sets are {', '.join(SCENE_NAMES)}")


def _joined(name: str, pieces: list[Dataset | Scenes]) -> Scenes:
    return Scenes(
        name=name,
        pictures=tuple(picture for piece in pieces for picture in piece.pictures),
        terms="; ".join(dict.fromkeys(piece.terms for piece in pieces)),
        skipped=tuple(line for piece in pieces for line in piece.skipped),
        passed_over="; ".join(piece.passed_over for piece in pieces if piece.passed_over),
        kept_back=sum(piece.kept_back for piece in pieces),
        positions=torch.cat([torch.stack([piece.positions_for(purpose) for purpose in PURPOSES], dim=1) for piece in pieces]),
        split_by=pieces[0].split_by,
    )


def _standard(name: str, channels: int, part: Part, largest: int | None) -> Scenes:
    if name == "cbsd68":
        return _chosen_from_bsds(channels)
    if name == "bsds500-half":
        # Means of four pixels: of film grain and JPEG blocks hardly anything is left.
        whole = _standard("bsds500", channels, part, largest)
        halves = tuple(to_bytes(shrink(to_images(picture[None]), 2, method="area"))[0] for picture in whole.pictures)
        return dataclasses.replace(whole, name=name, pictures=halves, terms=TERMS[name])
    place = provided(name, name)
    parts = [place / piece for piece in _PARTS[name][part]] if name in _PARTS else [place]
    pieces: list[Dataset | Scenes] = [_read(each_part, channels, "all", 0.0, largest)[0] for each_part in parts]
    scenes = dataclasses.replace(_joined(name, pieces), terms=TERMS[name])
    return _in_ninths(scenes) if name == "photos" else scenes


def _in_ninths(scenes: Scenes) -> Scenes:
    """Each picture as nine, so that patches are drawn from large pictures as often as from as much area of small ones."""
    pieces = [piece for picture in scenes.pictures for rows in picture.tensor_split(3, dim=1) for piece in rows.tensor_split(3, dim=2)]
    places = torch.stack([scenes.positions_for(purpose) for purpose in PURPOSES], dim=1)
    return dataclasses.replace(scenes, pictures=tuple(pieces), positions=places.repeat_interleave(9, dim=0))


def _chosen_from_bsds(channels: int) -> Scenes:
    """The pictures of BSDS500 that are listed in its bsd68_ids.txt."""
    whole, names = provided("bsds500", "bsds500"), provided("bsds500", "bsds500") / "bsd68_ids.txt"
    if not names.is_file():
        raise DataError(f"cbsd68 needs {names}; write a line with the number of each of its 68 pictures in bsds500/val")
    entries = [Entry(path.name, lambda path=path: path.open("rb")) for path in (_jpeg(whole, line) for line in names.read_text().split())]
    read = [_picture(entry, channels, None) for entry in entries]
    broken = [picture for picture in read if isinstance(picture, str)]
    if broken:
        raise DataError(f"cbsd68: {broken[0]}")
    return _scenes("cbsd68", [pair for pair in read if not isinstance(pair, str)], terms=TERMS["cbsd68"])


def _jpeg(folder: Path, number: str) -> Path:
    return folder / "val" / f"{Path(number).stem}.jpg"


def _read(path: Path, channels: int, part: Part, tolerance: float, largest: int | None) -> tuple[Scenes, bool]:
    with open_part(path, part, labelled=False) as part_listing:
        read = map_in_threads(lambda entry: _picture(entry, channels, largest), part_listing.pictures)
    broken = {i: picture for i, picture in enumerate(read) if isinstance(picture, str)}
    check_broken(path, broken, len(read), tolerance)
    scenes = dataclasses.replace(
        _scenes(source_name(path), [pair for pair in read if not isinstance(pair, str)]),
        skipped=(*part_listing.left_out, *broken.values()),
        passed_over=part_listing.passed_over,
        kept_back=part_listing.other_parts,
    )
    return scenes, part_listing.has_parts


def _scenes(name: str, pairs: list[tuple[Tensor, SplitPositions]], *, terms: str = "") -> Scenes:
    """Pictures, each with its split positions."""
    positions = torch.tensor([place for _, place in pairs], dtype=torch.float64).reshape(-1, len(PURPOSES))
    return Scenes(name=name, terms=terms, pictures=tuple(picture for picture, _ in pairs), positions=positions)


def _picture(entry: Entry, channels: int, largest: int | None) -> tuple[Tensor, SplitPositions] | str:
    """The picture and the split positions of its original, or the reason why it cannot be read."""
    fact = read_facts(entry)
    if not isinstance(fact, Facts):
        return fact
    try:
        pixels = decode.decode(entry.open, entry.name, channels=channels, size=_shrunk(fact.size, largest))
        place = content.split_positions(entry, fact, pixels)
    except (ImageError, MissingExtraError) as error:
        return str(error)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), place


def _shrunk(size: tuple[int, int], largest: int | None) -> tuple[int, int] | None:
    """The size to which a picture is shrunk; None if it keeps its own."""
    longer = max(size)
    if largest is None or longer <= largest:
        return None
    height, width = (max(1, round(side * largest / longer)) for side in size)
    return height, width

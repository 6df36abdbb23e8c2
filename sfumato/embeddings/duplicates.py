"""Pictures of a folder that show the same, in groups, and the one of each group that is worth keeping. No file is moved or deleted.

exact     the same bytes, or the same pixels in another file
near      copies: resized, compressed, mirrored, or cropped by up to a tenth (data/duplicates.py)
similar   alike, and less so than copies are: only listed, since such pictures may both be wanted
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import DataError, ImageError, MissingExtraError, SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, to_images, to_pixels
from sfumato.data.duplicates import NEAR, SIDE, SIMILAR, Pair, components, pairs_of
from sfumato.embeddings.sources import ImageSource, Source, opened
from sfumato.io import files
from sfumato.io.results import save_files

Kind = Literal["exact", "near", "similar"]
Keep = Literal["best", "first"]
ROWS = 40
"""Groups on a contact sheet at most."""
_COLUMNS = 6
"""Pictures of a group on a contact sheet at most."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures that show the same."""

    kind: Kind
    """`exact` if all pictures have the same content, `near` if some are copies, `similar` for two pictures that are only alike."""
    paths: tuple[str, ...]
    """The picture to keep, then the others."""
    correlation: float
    """The least correlation of the pairs that join the group."""
    mirrored: bool
    """Whether some pictures are mirrored copies of others."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """The groups of pictures of one place that show the same."""

    source: str
    """Last name of the folder or zip, or name of the data set."""
    count: int
    """Number of pictures that were compared."""
    groups: tuple[Group, ...]
    """Exact and near groups, the largest first, then similar pairs, the most alike first."""
    threshold: float
    """Least correlation of near pictures."""
    skipped: tuple[str, ...] = ()
    """A line for each file that could not be read."""
    pictures: dict[str, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)
    """Thumbnails of the pictures in groups, (3, h, w) uint8, by path."""

    @property
    def drop(self) -> tuple[str, ...]:
        """The pictures that others stand for: all of each exact or near group but the first. Nothing has been deleted."""
        return tuple(path for group in self.groups if group.kind != "similar" for path in group.paths[1:])

    @property
    def summary(self) -> str:
        """The numbers of pictures, of groups of each kind, and of pictures to drop, in one line."""
        counts = Counter(group.kind for group in self.groups)
        sizes = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("exact", "near", "similar") if counts[kind]) or "none"
        return f"{self.count:,} pictures; groups: {sizes}; {len(self.drop):,} could be dropped"

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the groups as .json, or as .csv a line for each picture, and beside it a contact sheet as .png; returns the paths.

        Raises SettingError for another ending and a file that must stay.
        """
        target = Path(path)
        return save_files(output_files(target), lambda: self.write(target), by="duplicates", overwrite=overwrite)

    def write(self, path: Path) -> None:
        """Writes the files at once, whatever is there. Raises StorageError."""
        target, sheet = output_files(path)
        if target.suffix.lower() == ".csv":
            atomic_io.write(target, self._table().encode("utf-8", "surrogateescape"))
        else:
            atomic_io.write(target, json.dumps(self._facts(), indent=2) + "\n")
        files.save_image(sheet, to_pixels(self.sheet(), columns=_COLUMNS))

    def sheet(self) -> Images:
        """The pictures of the groups, one group a row of 6, white where there is none."""
        white = torch.full((3, SIDE, SIDE), 255, dtype=torch.uint8)
        cells: list[torch.Tensor] = []
        for group in self.groups[:ROWS]:
            row = [self.pictures.get(path, white) for path in group.paths[:_COLUMNS]]
            cells += [*row, *[white] * (_COLUMNS - len(row))]
        return to_images(torch.stack(cells or [white]))

    def _table(self) -> str:
        """The groups as CSV: number and kind of the group, what could be done with the picture, its path."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("group", "kind", "correlation", "action", "path"))
        for number, group in enumerate(self.groups, start=1):
            for i, path in enumerate(group.paths):
                action = "keep" if i == 0 or group.kind == "similar" else "drop"
                writer.writerow((number, group.kind, f"{group.correlation:.4f}", action, path))
        return text.getvalue()

    def _facts(self) -> JsonObject:
        groups: list[Json] = [
            {"kind": g.kind, "correlation": round(g.correlation, 4), "mirrored": g.mirrored, "paths": list(g.paths)} for g in self.groups
        ]
        facts: JsonObject = {"source": self.source, "pictures": self.count, "threshold": self.threshold, "groups": groups}
        return {**facts, "drop": list(self.drop), "skipped": list(self.skipped)}


def output_files(out: Path) -> list[Path]:
    """The files that `Duplicates.save` writes. Raises SettingError for another ending."""
    outputs.check_ending(out, (".json", ".csv"), "lists of duplicates")
    return [out, out.with_suffix(".png")]


def duplicates(source: Source, *, threshold: float = NEAR, similar: float | None = None, keep: Keep = "best") -> Duplicates:
    """The groups of pictures of `source` (a folder, a zip, a data set or its name) that show the same. The result has `save(path)`.

    `threshold` is the least correlation of copies, and `similar` that of pictures that are only alike, by default 0.9 or the threshold if
    that is less. `keep` chooses the first picture of a group: the best (most pixels, then the largest file, then the first name) or the
    first by name. Raises SettingError for a threshold outside of [0.5, 1], DataError for a source without pictures that can be read.
    """
    lower = min(SIMILAR, threshold) if similar is None else similar
    if not 0.5 <= lower <= threshold <= 1:
        raise SettingError(f"threshold = {threshold:g} and similar = {lower:g} must lie in [0.5, 1], similar not above the threshold")
    with opened(source) as images:
        read = _read(images)
        if not read.rows:
            raise DataError(f"{images.name}: none of its {len(images.paths)} pictures can be read; the first error: {read.skipped[0]}")
        pairs = pairs_of(torch.stack([row.thumbnail for row in read.rows]), least=lower)
        same = _exact(images, read.rows, pairs)
    identical = {frozenset(pair[:2]) for pair in same}
    others = [pair for pair in pairs if frozenset(pair[:2]) not in identical]
    groups = _groups(read.rows, [*same, *others], threshold, keep)
    shown = {path for group in groups[:ROWS] for path in group.paths[:_COLUMNS]}
    return Duplicates(
        source=images.name,
        count=len(read.rows),
        groups=tuple(groups),
        threshold=threshold,
        skipped=tuple(read.skipped),
        pictures={row.path: row.thumbnail for row in read.rows if row.path in shown},
    )


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A picture that was read."""

    number: int
    """Its number in the source."""
    path: str
    digest: bytes
    thumbnail: torch.Tensor
    size: tuple[int, int]
    bytes: int


@dataclass(frozen=True)
class _Reading:
    """The pictures that could be read, and a line for each other one."""

    rows: list[_Row]
    skipped: list[str]


def _read(images: ImageSource) -> _Reading:
    reading = _Reading([], [])
    for i, path in enumerate(counted(images.paths, "pictures read")):
        try:
            pixels, digest, length = images.pixels(i, channels=3, size=None, crop="stretch"), images.digest(i), images.length(i)
        except (ImageError, MissingExtraError) as error:
            reading.skipped.append(str(error))
            continue
        small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        thumbnail = torch.from_numpy(np.array(small).transpose(2, 0, 1).copy())
        reading.rows.append(_Row(number=i, path=path, digest=digest, thumbnail=thumbnail, size=pixels.shape[:2], bytes=length))
    return reading


def _exact(images: ImageSource, rows: Sequence[_Row], pairs: Sequence[Pair]) -> list[Pair]:
    """A pair of correlation 1 for files with the same bytes, and for pairs of the same size with the same pixels."""
    first = dict[bytes, int]()
    same = [Pair(first[row.digest], i, 1.0, False, True) for i, row in enumerate(rows) if first.setdefault(row.digest, i) != i]
    for pair in pairs:
        one, other = rows[pair.first], rows[pair.second]
        if one.digest == other.digest or one.size != other.size or pair.correlation < 0.999 or pair.mirrored:
            continue
        first_pixels, second_pixels = (images.pixels(row.number, channels=3, size=None, crop="stretch") for row in (one, other))
        same += [Pair(pair.first, pair.second, 1.0, False, True)] if np.array_equal(first_pixels, second_pixels) else []
    return same


def _groups(rows: Sequence[_Row], pairs: Sequence[Pair], threshold: float, keep: Keep) -> list[Group]:
    """The groups of near and exact pictures, then the pairs of similar ones that are in no group together."""
    near = [pair for pair in pairs if pair.correlation >= threshold]
    members = components(len(rows), near)
    home = {i: number for number, group in enumerate(members) for i in group}
    joined: list[list[Pair]] = [[] for _ in members]
    for pair in near:
        joined[home[pair.first]].append(pair)
    groups = [_group(rows, group, joined[number], keep) for number, group in enumerate(members)]
    groups.sort(key=lambda group: -len(group.paths))
    for pair in pairs:
        if home.get(pair.first, -1) != home.get(pair.second, -2):
            paths = rows[pair.first].path, rows[pair.second].path
            groups.append(Group(kind="similar", paths=paths, correlation=pair.correlation, mirrored=pair.mirrored))
    return groups


def _group(rows: Sequence[_Row], members: Sequence[int], pairs: Sequence[Pair], keep: Keep) -> Group:
    """One group of near or exact pictures, the one to keep first."""
    best = sorted(members, key=lambda i: (-rows[i].size[0] * rows[i].size[1], -rows[i].bytes, i))
    place = {i: number for number, i in enumerate(members)}
    identical = [pair._replace(first=place[pair.first], second=place[pair.second]) for pair in pairs if pair.identical]
    exact = components(len(members), identical) == [[*range(len(members))]]
    return Group(
        kind="exact" if exact else "near",
        paths=tuple(rows[i].path for i in (best if keep == "best" else sorted(members))),
        correlation=1.0 if exact else min(pair.correlation for pair in pairs),
        mirrored=any(pair.mirrored for pair in pairs),
    )

"""An index: the vectors of the images of one place, with their names and the hashes of their content, in one .safetensors file.

| tensor | shape | |
|---|---|---|
| `vectors` | (n, d) float16 | a vector for each image |
| `ids` | (n) int64 | number of each image, which it keeps when others come and go |
| `digests` | (n, 32) uint8 | SHA-256 of each image's content |
| `paths` | uint8 | path of each image below the folder, in UTF-8, with a zero byte between two paths |

The header names the model, its weights and the place of the images by its last name.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import torch
from jaxtyping import Float16, Int64, UInt8
from torch import Tensor

from sfumato.core import outputs, schema
from sfumato.core.config import Range
from sfumato.core.errors import CheckpointError, FormatError
from sfumato.core.json_value import JsonObject
from sfumato.core.tensors import Vectors
from sfumato.core.text import inner_path, quoted
from sfumato.embeddings.nearest import directions_from
from sfumato.embeddings.sources import Source
from sfumato.io.results import save_files
from sfumato.store import checkpoint

ENTRY = "index"
ENDINGS = (".index", ".safetensors")
LONGEST_PATH = 4096
"""Bytes of a path in a file."""
_ADVICE = "make it again with `sfumato embed`"


class Header(TypedDict):
    """The entry in the header of an index."""

    model: str
    weights: str
    source: str
    crop: Literal["centre", "stretch"]
    next_id: schema.Whole
    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The vectors of images, each with its number, its path and the hash of its content."""

    vectors: Float16[Tensor, "n d"]
    ids: Int64[Tensor, " n"]
    """Number of each image; an image keeps its number when others are added or removed."""
    digests: UInt8[Tensor, "n 32"]
    """SHA-256 of the content of each image."""
    paths: tuple[str, ...]
    """Path of each image below the folder or in the zip; its number in a data set."""
    model: str
    """Name of the model, as `load` takes it."""
    weights: str
    """SHA-256 of the weights of the model."""
    source: str
    """Last name of the folder or zip, or name of the data set."""
    crop: Literal["centre", "stretch"] = "centre"
    """How images were given the shape that the model takes."""
    size: tuple[int, int]
    """Height and width at which the model took the images."""
    next_id: int = 0
    """Number of the next image that is added."""
    place: Source | None = field(default=None, compare=False, repr=False)
    """The images: a folder, a zip, or a data set or its name; None if it is not known where they lie."""
    changes: "Changes | None" = field(default=None, compare=False)
    """What the call that made this index changed; None for an index from a file."""

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def mean(self) -> Vectors:
        """The mean of the vectors, (1, d) in float32."""
        return self.vectors.float().mean(dim=0, keepdim=True)

    @cached_property
    def unit(self) -> Vectors:
        """The vectors, seen from their mean, as unit vectors in float32; their products are the similarities of images."""
        return directions_from(self.mean, self.vectors.float())

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the index as .index or .safetensors; returns the path. Raises SettingError for another ending or a file that must stay."""
        target = Path(path)
        return save_files(output_files(target), lambda: self.write(target), by="embed", overwrite=overwrite)

    def write(self, path: Path) -> None:
        """Writes the file at once, whatever is there. Raises StorageError."""
        joined = "\0".join(self.paths).encode("utf-8", "surrogateescape")
        tensors = {"vectors": self.vectors, "ids": self.ids, "digests": self.digests}
        header: JsonObject = {name: getattr(self, name) for name in ("model", "weights", "source", "crop", "next_id")}
        paths = torch.frombuffer(bytearray(joined), dtype=torch.uint8)
        checkpoint.write_tensors(path, {**tensors, "paths": paths}, {ENTRY: {**header, "size": list(self.size)}})


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What has changed since the index was made before."""

    added: int
    """Images with a path that is new."""
    changed: int
    """Images with a known path and new content."""
    removed: int
    """Images that are gone."""
    kept: int
    """Images whose vectors were taken over."""
    skipped: tuple[str, ...] = ()
    """A line for each file that could not be read."""

    def __str__(self) -> str:
        counts = {"added": self.added, "changed": self.changed, "removed": self.removed, "kept": self.kept, "skipped": len(self.skipped)}
        return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no images"


def output_files(out: Path) -> list[Path]:
    """The file that `Index.save` writes. Raises SettingError for another ending."""
    outputs.check_ending(out, ENDINGS, "indexes")
    return [out]


def load_index(path: str | Path) -> Index:
    """The index in a file that `Index.save` wrote. Raises CheckpointError, in one line, for any other file."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise CheckpointError(f"there is no file {path} of vectors; `sfumato embed` makes indexes")
    try:
        tensors, file_header = checkpoint.read_tensors(place)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is no index, or a damaged one; `sfumato embed` makes indexes") from error
    content = file_header.get(ENTRY)
    if content is None:
        raise CheckpointError(f"{path} is no index; `sfumato embed` makes indexes")
    try:
        header = schema.checked(content, Header, str(path))
        paths = _checked(tensors)
    except FormatError as error:
        raise CheckpointError(f"{error}; {_ADVICE}") from error
    if int(tensors["ids"].max()) >= header["next_id"]:
        raise CheckpointError(f"{path}: the next number {header['next_id']} is not larger than those of all images; {_ADVICE}")
    return Index(
        vectors=tensors["vectors"],
        ids=tensors["ids"],
        digests=tensors["digests"],
        paths=paths,
        model=header["model"],
        weights=header["weights"],
        source=header["source"],
        crop=header["crop"],
        size=(header["size"][0], header["size"][1]),
        next_id=header["next_id"],
        place=_beside(place, header["source"]),
    )


def _checked(tensors: dict[str, Tensor]) -> tuple[str, ...]:
    """The paths in the tensors of an index. Raises FormatError if the tensors do not belong together."""
    kinds = {"vectors": (torch.float16, 2), "ids": (torch.int64, 1), "digests": (torch.uint8, 2), "paths": (torch.uint8, 1)}
    facts = {name: (each.dtype, each.ndim) for name, each in tensors.items()}
    if facts != kinds or not tensors["vectors"].numel() or tensors["digests"].shape[1] != 32:
        raise FormatError("its tensors are not the vectors, ids, digests and paths of an index")
    paths = tuple(tensors["paths"].numpy().tobytes().decode("utf-8", "surrogateescape").split("\0"))
    counts = {"vectors": len(tensors["vectors"]), "ids": len(tensors["ids"].unique()), "digests": len(tensors["digests"])}
    if len({*counts.values(), len(tensors["ids"]), len(paths), len(set(paths))}) > 1 or int(tensors["ids"].min()) < 0:
        raise FormatError(
            f"it has {', '.join(f'{n} {name}' for name, n in counts.items())} and {len(set(paths))} paths, not as many of each"
        )
    for path in paths:
        if not 0 < len(path.encode("utf-8", "surrogateescape")) <= LONGEST_PATH:
            raise FormatError(f"{quoted(path)} is no path of a picture")
    return paths


def _beside(index: Path, source: str) -> Path | None:
    """The folder or zip called `source` beside the index, if it is there; a zip is named with its ending."""
    name = inner_path(source)
    place = None if name is None or len(name.parts) != 1 else index.parent / name
    return place if place is not None and place.exists() else None

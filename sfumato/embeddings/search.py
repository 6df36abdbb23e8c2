"""The images of an index that are most like a picture, a part of it, several pictures, or pictures without what others show."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Bytes, Images, Vectors, size_text, to_bytes, to_pixels
from sfumato.embeddings.embedder import Embedder
from sfumato.embeddings.index import Index, load_index
from sfumato.embeddings.nearest import Method, directions_from, nearest
from sfumato.embeddings.opening import index_embedder, opened_index
from sfumato.embeddings.thumbnails import thumbnails
from sfumato.generation.generate import generate
from sfumato.io import decode, files
from sfumato.io.channels import as_pixels
from sfumato.io.inputs import PictureInput, convert
from sfumato.io.results import save_files
from sfumato.store.loaded import Model

Query: TypeAlias = PictureInput | Sequence[PictureInput]
Region: TypeAlias = tuple[int, int, int, int]
"""Left, top, width and height of a part of a picture, in pixels."""
SHEET = 64
"""Pictures on a contact sheet at most."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The images that are most like a query, the best first."""

    paths: tuple[str, ...]
    ids: tuple[int, ...]
    """Numbers of the images in the index."""
    similarities: tuple[float, ...]
    """Cosine similarity to the query, seen from the mean of the index: 1 for the same direction, 0 for unrelated images."""
    index: Index = field(repr=False)
    query: Images | None = field(default=None, repr=False)
    """The pictures of the query as the model took them, in [0, 1]."""

    def __len__(self) -> int:
        return len(self.paths)

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the matches as .json, or a contact sheet as a picture: the query first, then the matches. Returns the path.

        Raises SettingError for another ending or a file that must stay, DataError if the pictures of the index are not there for a sheet.
        """
        target = Path(path)
        return save_files(output_files(target), lambda: self.write(target), by="search", overwrite=overwrite)

    def write(self, path: Path) -> None:
        """Writes the file at once, whatever is there. Raises as `save`."""
        if path.suffix.lower() == ".json":
            rows = [
                {"path": name, "id": number, "similarity": round(similarity, 6)}
                for name, number, similarity in zip(self.paths, self.ids, self.similarities, strict=True)
            ]
            atomic_io.write(path, json.dumps({"index": self.index.source, "matches": rows}, indent=2) + "\n")
        else:
            files.save_image(path, to_pixels(self.sheet()))

    def sheet(self) -> Images:
        """The pictures of the query, then those of the matches, (n, 3, h, w). Raises DataError if the pictures are not at hand."""
        shown = thumbnails(self.index, self.paths[:SHEET])
        asked = [] if self.query is None else [self.query.expand(-1, 3, -1, -1) if self.query.shape[1] == 1 else self.query[:, :3]]
        resized = [torch.nn.functional.interpolate(each, shown.shape[2:], mode="bilinear", antialias=True) for each in asked]
        return torch.cat([*resized, shown])


def output_files(out: Path) -> list[Path]:
    """The file that `Matches.save` writes. Raises SettingError for another ending."""
    outputs.check_ending(out, (".json", *files.FORMATS), "matches")
    return [out]


def search(
    index: Index | str | Path,
    query: Query | None = None,
    *,
    minus: Query = (),
    vectors: Vectors | None = None,
    region: Region | None = None,
    k: int = 20,
    model: Model | None = None,
    method: Method = "auto",
    device: str = "auto",
) -> Matches:
    """The `k` images of `index`, or all if there are fewer, that are most like `query`: one picture, or several, whose mean vector counts.

    With `minus`, the vectors of those pictures are subtracted: `search(index, [a, c], minus=b)` looks for a - b + c, counted from the mean
    of the index. `region` is the part of the picture to compare (left, top, width, height). `vectors` are vectors of the model, instead of
    pictures or beside them. `model` is needed only if the model of the index is not found by its name. `method` is as in `nearest`.
    Raises SettingError for a query without pictures and vectors, a region outside of the picture, a `k` below 1, and another model
    than that of the index; CheckpointError for a file that is no index; ImageError for pictures that cannot be read.
    """
    opened = load_index(index) if isinstance(index, str | Path) else index
    wanted, unwanted = _pictures(query), _pictures(minus)
    if not wanted and vectors is None:
        raise SettingError("there is nothing to look for; give a picture, or vectors of the model")
    if region is not None and (len(wanted), len(unwanted)) != (1, 0):
        raise SettingError(f"region = {region} is a part of one picture, and {len(wanted) + len(unwanted)} are given; give one")
    asked, plus, less = None, [], []
    if wanted or unwanted:
        network = index_embedder(opened, model, device=device)
        pixels = [prepared(picture, opened, network, region=region) for picture in wanted]
        plus = [network.vectors(each) for each in pixels]
        less = [network.vectors(prepared(picture, opened, network)) for picture in unwanted]
        asked = torch.cat(pixels) / 255 if pixels else None
    plus += [] if vectors is None else [vectors]
    return matches(opened, combined(opened.mean, plus, less), k, method=method, query=asked)


def matches(index: Index, vector: Vectors, k: int, *, method: Method = "auto", query: Images | None = None) -> Matches:
    """The `k` images of `index`, or all if there are fewer, whose vectors are most similar to `vector`. SettingError for `k` below 1."""
    similarities, indices = nearest(index.unit, directions_from(index.mean, vector), min(k, len(index)), method=method)
    rows = indices[0].tolist()
    return Matches(
        paths=tuple(index.paths[i] for i in rows),
        ids=tuple(index.ids[rows].tolist()),
        similarities=tuple(similarities[0].tolist()),
        index=index,
        query=query,
    )


def combined(mean: Vectors, plus: Sequence[Float[Tensor, "_n d"]], minus: Sequence[Float[Tensor, "_n d"]]) -> Vectors:
    """The mean of the vectors in `plus`; with `minus`, the sum of those in `plus` less those in `minus`, counted from `mean`."""
    if not minus:
        return torch.cat([*plus]).mean(dim=0, keepdim=True)
    offsets = [(each - mean).sum(dim=0, keepdim=True) for each in plus]
    return mean + torch.stack(offsets).sum(dim=0) - (torch.cat([*minus]) - mean).sum(dim=0, keepdim=True)


def prepared(picture: PictureInput, index: Index, network: Embedder, *, region: Region | None = None) -> Bytes:
    """A picture, or the part `region` of it, as the model takes it: uint8 (n, c, h, w). Raises SettingError and ImageError."""
    source = convert(picture, several=True)
    pixels = []
    for image in source.images:
        alpha = None if source.alpha is None else as_pixels(source.alpha, torch.uint8)
        stored = to_bytes(image[None])[0].permute(1, 2, 0)
        layers = stored if alpha is None else torch.cat([stored.expand(-1, -1, 3), alpha], dim=-1)
        whole = Image.fromarray(layers.squeeze(-1).contiguous().numpy())
        part = whole if region is None else whole.crop(_box(region, (whole.height, whole.width)))
        pixels.append(decode.prepare(part, channels=network.channels, size=network.size, crop=index.crop))
    return torch.stack([torch.from_numpy(each.transpose(2, 0, 1).copy()) for each in pixels])


def _pictures(query: Query | None) -> list[PictureInput]:
    """One picture or several as a list."""
    if query is None:
        return []
    return [*query] if isinstance(query, list | tuple) else [cast(PictureInput, query)]


def _box(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a region. Raises SettingError if it is empty or not inside a picture of `size`."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise SettingError(
            f"region = {' '.join(map(str, region))} (left, top, width, height) is not inside the picture of {size_text(size)} pixels"
        )
    return left, top, left + width, top + height


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is looked for in the index of a file: the arguments of `search`, and a generated image."""

    pictures: Sequence[str] = ()
    minus: Sequence[str] = ()
    region: Region | None = None
    k: int = 20
    generator: str | None = None
    """Generator whose image of `seed` is looked for, beside the pictures; None for none."""
    seed: int = 0
    model: str | None = None
    """Model of the index; None for that of its name."""
    place: str | None = None
    """Place of the pictures of the index; None for the folder beside it."""


def search_file(index: str | Path, request: Request, *, device: str = "auto") -> Matches:
    """As `search`, for the index in a file."""
    query: list[PictureInput] = [*request.pictures]
    if request.generator is not None:
        query.append(generate(request.generator, seeds=[request.seed], device=device).as_subclass(Tensor))
    opened, minus, region = opened_index(index, request.place), tuple(request.minus), request.region
    return search(opened, query, minus=minus, region=region, k=request.k, model=request.model, device=device)

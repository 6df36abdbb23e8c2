"""The vectors of pictures, computed by several processes, by actors of Ray, or by this process with one thread: the same numbers each time.

    new pictures ─ lists of 8, in a folder ─ batch engine ─> a file of vectors for each list ─> vectors by content

Every picture goes through the network alone. An interrupted call continues from the files in the folder.
"""

import contextlib
import dataclasses
import functools
import glob
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Float16
from safetensors.torch import load, save
from torch import Tensor

from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item
from sfumato.batch.manifest import Status
from sfumato.batch.task import Convert, FileTask, Settle
from sfumato.batch.workers import Workers
from sfumato.core import atomic_io, schema
from sfumato.core.errors import ImageError, MissingExtraError
from sfumato.core.tensors import Crop
from sfumato.embeddings.embedder import Embedder, embedder, half
from sfumato.embeddings.sources import ImageSource, Place, opened
from sfumato.store.export.backend import Backend
from sfumato.store.loaded import Model

LIST = 8
"""Pictures of one list: few, since a process that ends too often during the work on a list takes all its pictures out of the index."""


class _List(TypedDict):
    """The file of a list."""

    pictures: list[str]
    """Path of each picture, as `ImageSource.paths` has it."""
    digests: list[str]
    """SHA-256 of the content of each, so that a list of changed pictures is another list."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(FileTask):
    """Turns the pictures of each list into a file of vectors."""

    source: Place
    model: Model
    crop: Crop
    backend: Backend
    device: str

    def open(self) -> Convert:
        network = embedder(self.model, backend=self.backend, device=self.device)
        stack = contextlib.ExitStack()
        images = stack.enter_context(opened(self.source))
        numbers = {path: i for i, path in enumerate(images.paths)}

        def convert(item: Item, path: Path, settle: Settle, stack: contextlib.ExitStack = stack) -> str:  # the source stays open with it
            vectors, refused = list[torch.Tensor](), dict[str, str]()
            for name in schema.parsed(path.read_text(), _List, path.name)["pictures"]:
                try:
                    vectors.append(vector_of(images, numbers[name], network, self.crop))
                except (ImageError, MissingExtraError) as error:
                    refused[name] = str(error)
            stacked = torch.stack(vectors) if vectors else torch.empty(0, network.dimension, dtype=torch.float16)
            content = save({"vectors": stacked}, {"refused": json.dumps(refused)})
            atomic_io.write(item.target, content, check=functools.partial(settle, item.target))
            return f"{len(vectors)} vectors"

        return convert


def vector_of(images: ImageSource, i: int, network: Embedder, crop: Crop) -> Float16[Tensor, " d"]:
    """The vector (d) of the picture number `i` in float16, computed alone. Raises ImageError if the picture has none."""
    pixels = images.pixels(i, channels=network.channels, size=network.size, crop=crop)
    return half(network.vectors(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]), network)[0]


def shared_vectors(
    task: Embedding, pictures: Mapping[str, bytes], workers: Workers, folder: Path | None
) -> tuple[dict[bytes, torch.Tensor], dict[bytes, str]]:
    """The vectors of `pictures` (path to digest) by digest, and the reason for each digest without one.

    Lists and vectors lie in `folder`, by default a temporary one. Raises the errors of `run_batch`.
    """
    with _place(folder) as place, held(place, task.request, workers) as manifest:
        lists = _written(place, list(pictures.items()))
        items = [Item(source=str(path), target=path.with_suffix(".vectors"), count=len(names)) for path, names in lists]
        entries = run_batch(task, items, manifest, workers=workers)
        vectors, refused = dict[bytes, torch.Tensor](), dict[bytes, str]()
        for (_, names), item, entry in zip(lists, items, entries, strict=True):
            if entry.status == Status.FAILED:
                refused |= {pictures[name]: f"{name}: {entry.message}" for name in names}
                continue
            content = item.target.read_bytes()
            wrong = _refused(content)
            whole = [name for name in names if name not in wrong]
            refused |= {pictures[name]: words for name, words in wrong.items()}
            vectors |= zip([pictures[name] for name in whole], load(content)["vectors"], strict=True)
    return vectors, refused


def _written(place: Path, pictures: Sequence[tuple[str, bytes]]) -> list[tuple[Path, list[str]]]:
    """The lists of the pictures as files in the folder `place`, each with the paths of its pictures."""
    lists = []
    with atomic_io.storing(place):
        place.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(pictures), LIST):
            some = pictures[start : start + LIST]
            content: _List = {"pictures": [name for name, _ in some], "digests": [digest.hex() for _, digest in some]}
            path = place / f"{start // LIST:06}.list"
            path.write_text(json.dumps(content))
            lists.append((path, content["pictures"]))
    return lists


def _refused(content: bytes) -> dict[str, str]:
    """Path and reason of each picture without a vector, from the header of a file of vectors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return json.loads(header["__metadata__"]["refused"])


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """The folder, absolute, since processes of other machines need it; or a temporary one."""
    if folder is not None:
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="sfumato-") as place:
        yield Path(place)


def target_of(whole: Path, part: tuple[int, int] | None) -> Path:
    """The index of a shard beside the index `whole`, such as photos-2-of-5.index; `whole` itself without a shard."""
    return whole if part is None else whole.with_stem(f"{whole.stem}-{part[0]}-of-{part[1]}")


def parts_of(whole: Path) -> list[Path]:
    """The indexes of shards that lie beside the index `whole`, whether or not that is there, sorted."""
    name = re.compile(re.escape(whole.stem) + r"-\d+-of-\d+" + re.escape(whole.suffix))
    return sorted(path for path in whole.parent.glob(f"*-of-*{glob.escape(whole.suffix)}") if name.fullmatch(path.name))


def work_folder(target: Path) -> Path:
    """The hidden folder beside an index for the vectors of an interrupted command."""
    return target.with_name(f".{target.name}.sfumato-work")


def remove(folder: Path) -> None:
    """Removes a work folder, if there is one, after its vectors have come into the index. Raises StorageError."""
    if folder.is_dir():
        with atomic_io.storing(folder):
            shutil.rmtree(folder)

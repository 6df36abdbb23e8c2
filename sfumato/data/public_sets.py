"""Public data sets by name: files, addresses, checksums, classes and terms.

Files are read from `SFUMATO_DATA/<name>/` or from the cache (`SFUMATO_CACHE`, by default ~/.cache/sfumato), to which they are downloaded if
they are in neither. The SHA-256 of each file is checked in all cases.
"""

import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from sfumato.core.atomic_io import digest
from sfumato.core.catalog import suggest
from sfumato.core.errors import DataError, UnknownNameError
from sfumato.core.paths import cache_folder
from sfumato.core.progress import remark
from sfumato.core.tensors import Bytes, Labels
from sfumato.data import idx
from sfumato.data.dataset import Dataset
from sfumato.data.download import fetch

Part = Literal["train", "test", "all"]


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a data set."""

    name: str
    """Name of the file on its server and on disk."""
    bytes: int
    """Length of the file."""
    sha256: str
    """SHA-256 of the content, in hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A public data set with official training and test parts."""

    classes: tuple[str, ...]
    """Names of the classes, in the order of the labels."""
    terms: str
    """Authors and licence."""
    mirrors: tuple[str, ...]
    """Addresses of folders with the files, in the order in which they are tried."""
    files: tuple[File, ...]
    """Files to download."""
    read: Callable[[list[Path], bool], tuple[Bytes, Labels]]
    """Reads images and labels from the paths of `files`: the test part if the second argument is true, else the training part."""


def published(name: str, part: Part = "train") -> Dataset:
    """The official `part` of the data set called `name`, with its own size and channels.

    Raises UnknownNameError for a name outside of `PUBLIC`, DownloadError if files are missing and cannot be downloaded, DataError if a file
    in SFUMATO_DATA is not the official one.
    """
    if name not in PUBLIC:
        raise UnknownNameError(f"no data set is called {name!r}{suggest(name, PUBLIC)}; known are {', '.join(PUBLIC)}")
    kind = PUBLIC[name]
    paths = [locate(name, file, kind.mirrors) for file in kind.files]
    parts = [kind.read(paths, test) for test in {"train": [False], "test": [True], "all": [False, True]}[part]]
    pixels, labels = (torch.cat(piece) if len(parts) > 1 else piece[0] for piece in zip(*parts, strict=True))
    return Dataset(name=name, pixels=pixels, labels=labels, classes=kind.classes, terms=kind.terms)


def locate(name: str, file: File, mirrors: tuple[str, ...]) -> Path:
    """The path of `file` of the data set `name` on this machine; downloaded if missing. Raises DataError and DownloadError."""
    if folder := os.environ.get("SFUMATO_DATA"):
        own = Path(folder).expanduser() / name / file.name
        if own.is_file():
            if own.stat().st_size != file.bytes or digest(own) != file.sha256:
                raise DataError(f"{own}: not the official file of {name} (its SHA-256 differs); remove it, or load it by its path")
            return own
    cache = cache_folder()
    target = cache / name / file.name
    fetch([mirror + file.name for mirror in mirrors], target, sha256=file.sha256)
    return target


def provided(name: str, entry: str) -> Path:
    """The path of `entry`, a folder or file of the data set called `name`, in SFUMATO_DATA. Raises DataError if it is missing."""
    folder = os.environ.get("SFUMATO_DATA")
    place = Path(folder).expanduser() / entry if folder else None
    if place is None or not place.exists():
        reason = f"there is no {place}" if place else "SFUMATO_DATA is not set"
        wanted = f"set this environment variable to the folder that holds {entry}"
        raise DataError(f"{name} is read from SFUMATO_DATA/{entry}, and {reason}; {wanted}")
    return place


def remark_on_namesake(name: str) -> None:
    """Remarks if something in the working directory has the name of a data set, which is loaded in its place."""
    folder = os.environ.get("SFUMATO_DATA")
    own = os.path.join(os.path.expanduser(folder), name) if folder else ""
    if os.path.exists(name) and not (os.path.exists(own) and os.path.samefile(name, own)):
        words = f"{name} is taken for the data set of that name; to load the {'folder' if os.path.isdir(name) else 'file'}, write"
        remark(f"{words} {os.path.join(os.curdir, name)}")


def _read_idx(paths: list[Path], test: bool) -> tuple[Bytes, Labels]:
    images, labels = paths[2:] if test else paths[:2]
    return idx.read_images(images), idx.read_labels(labels)


def _read_cifar(paths: list[Path], test: bool) -> tuple[Bytes, Labels]:
    """Images and labels of the binary version: records of a label byte and 3 x 32 x 32 colour bytes. Nothing is unpacked to disk."""
    wanted = [f"cifar-10-batches-bin/{f}.bin" for f in (["test_batch"] if test else [f"data_batch_{i}" for i in range(1, 6)])]
    batches: dict[str, torch.Tensor] = {}
    with tarfile.open(paths[0], "r|gz") as archive:
        for member in archive:
            if member.name in wanted and (content := archive.extractfile(member)):
                batches[member.name] = torch.frombuffer(bytearray(content.read()), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    records = torch.cat([batches[name] for name in wanted])
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


_IDX_NAMES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def _idx_set(classes: tuple[str, ...], terms: str, mirrors: tuple[str, ...], *facts: tuple[int, str]) -> PublicSet:
    """A data set in the four IDX files of MNIST, with length and SHA-256 of each: images and labels for training, then for testing."""
    files = tuple(File(name=name, bytes=size, sha256=content) for name, (size, content) in zip(_IDX_NAMES, facts, strict=True))
    return PublicSet(classes=classes, terms=terms, mirrors=mirrors, files=files, read=_read_idx)


PUBLIC = {
    "mnist": _idx_set(
        tuple("0123456789"),
        "MNIST, Y. LeCun, C. Cortes and C. Burges; usually given as CC BY-SA 3.0",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": _idx_set(
        ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        "Fashion-MNIST, Zalando SE, MIT licence",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "cifar10": PublicSet(
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        terms="CIFAR-10, A. Krizhevsky, 2009; no licence stated",
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        files=(
            File(
                name="cifar-10-binary.tar.gz",
                bytes=170052171,
                sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        read=_read_cifar,
    ),
}
"""Data sets that are downloaded, by name."""

ARCHIVES = {
    "cats64": "6,000 cat faces from Oxford-IIIT Pet, COCO, Pixabay and Kaggle: research use",
    "eurosat": "12,000 tiles of EuroSAT, P. Helber et al., MIT licence",
}
"""Name to terms of zips that are read from SFUMATO_DATA."""

NAMES = ("glyphs", *PUBLIC, *ARCHIVES)
"""Names of all data sets of `load`; glyphs are drawn."""

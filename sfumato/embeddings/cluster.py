"""Groups of the pictures of an index: found by a spectral method, k-means or a Gaussian mixture, and as many as are stable."""

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.progress import counted, once
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Labels, PerImage, Vectors
from sfumato.core.text import quoted
from sfumato.embeddings.index import Index, load_index
from sfumato.embeddings.nearest import nearest
from sfumato.embeddings.opening import index_embedder
from sfumato.embeddings.spectral import Coordinates, Spectrum, check_installed
from sfumato.io.results import save_files
from sfumato.store.loaded import Model

Method = Literal["spectral", "kmeans", "mixture"]

MOST = 20
"""Largest number of groups that is tried where the number is not given."""
LARGE = 15_000
"""Of more pictures, so many are grouped, drawn at random; the others join the group of most of their nearest neighbours."""
TIE = 0.02
"""Numbers of groups whose agreements differ by less are equally stable."""
_HALVES, _VOTERS, _STARTS = 3, 20, 5
Grouping = Callable[[int, np.ndarray], Int64[np.ndarray, " n"]]
"""Groups of all points for a number of groups, fitted to some of the points, whose numbers are given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """The pictures of an index in groups, the largest group first."""

    index: Index
    labels: Labels
    """Number of the group of each picture, from 0."""
    count: int
    """Number of groups."""
    method: Method
    stability: dict[int, float] = field(default_factory=dict)
    """For each number of groups that was tried, the agreement of groupings of random parts: 1 for the same groups, about 0 by chance."""

    @cached_property
    def typicality(self) -> PerImage:
        """The similarity of each picture to the mean of its group, from -1 to 1."""
        return (self.index.unit * torch.nn.functional.normalize(self._means, dim=1)[self.labels]).sum(dim=1)

    @cached_property
    def centres(self) -> Vectors:
        """The mean vector of each group, (count, d)."""
        return torch.stack([self.index.vectors[self.labels == i].float().mean(dim=0) for i in range(self.count)])

    @property
    def sizes(self) -> list[int]:
        """Number of pictures in each group."""
        return torch.bincount(self.labels, minlength=self.count).tolist()

    @cached_property
    def _means(self) -> Vectors:
        return torch.stack([self.index.unit[self.labels == i].mean(dim=0) for i in range(self.count)])

    def members(self, group: int) -> list[int]:
        """The rows of the index that are in a group, the most typical first: the first is the medoid."""
        rows = (self.labels == group).nonzero().flatten()
        return rows[self.typicality[rows].argsort(descending=True, stable=True)].tolist()

    def save(self, path: str | Path, *, model: Model | None = None, overwrite: bool = False) -> list[Path]:
        """Writes the groups as an .html page; returns its path. With `model`, that of the index, means are shown as images.

        Raises SettingError for another ending, a file that must stay or another model, DataError if the pictures are not at hand.
        """
        from sfumato.embeddings import page  # which draws these groups

        target = Path(path)
        network = None if model is None else index_embedder(self.index, model)
        return save_files(page.output_files(target), lambda: page.write_page(self, target, network), by="cluster", overwrite=overwrite)

    def group(self, number: int) -> Index:
        """The index of one group alone, which `generate --like` takes. Raises SettingError for a group that does not exist."""
        if not 0 <= number < self.count:
            raise SettingError(f"group = {number} is outside [0, {self.count - 1}]")
        rows = (self.labels == number).nonzero().flatten()
        whole = self.index
        paths = tuple(whole.paths[i] for i in rows.tolist())
        chosen = {"vectors": whole.vectors[rows], "ids": whole.ids[rows], "digests": whole.digests[rows], "paths": paths}
        return dataclasses.replace(whole, **chosen, changes=None)


def number_of_groups(text: str) -> int | Literal["auto"]:
    """A number of groups as it is typed: auto or a whole number. Raises SettingError for anything else.

    >>> number_of_groups("auto"), number_of_groups("12")
    ('auto', 12)
    """
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise SettingError(f"clusters = {quoted(text)} must be auto or a whole number from 2 on")
    return int(text)


def cluster(index: Index | str | Path, clusters: int | Literal["auto"] = "auto", *, method: Method = "spectral", seed: int = 0) -> Clusters:
    """The pictures of `index` in groups of those that are alike.

    `clusters` is the number of groups, or auto: the number up to 20 whose groups are the most stable, which means that groupings of random
    halves of the pictures agree best (adjusted Rand index). `method` is spectral (a graph of neighbours), kmeans or mixture (Gaussian
    mixture). The same seed gives the same groups. Raises SettingError for a number of groups out of range, DataError for too few pictures,
    MissingExtraError without scikit-learn, CheckpointError for a file that is no index.
    """
    check_installed()
    opened = load_index(index) if isinstance(index, str | Path) else index
    most = min(MOST, len(opened) - 1)
    if clusters != "auto" and not 2 <= clusters <= min(1000, len(opened) - 1):
        raise SettingError(f"clusters = {clusters} is outside [2, {min(1000, len(opened) - 1)}] for {len(opened)} pictures")
    rows = torch.arange(len(opened))
    if len(opened) > LARGE:
        rows = torch.randperm(len(opened), generator=seeded_generator(seed, "cluster"))[:LARGE].sort().values
    unit = opened.unit[rows]
    with once():
        grouping = _grouping(unit, method, most if clusters == "auto" else clusters, seed)
    stability = _stability(grouping, len(unit), most, seed) if clusters == "auto" else {}
    count = _stable(stability) if clusters == "auto" else clusters
    labels = torch.from_numpy(grouping(count, np.arange(len(unit)))).long()
    if len(unit) < len(opened):
        labels = _joined(unit, labels, opened.unit)
    order = torch.bincount(labels, minlength=count).argsort(descending=True, stable=True)
    order = order[torch.bincount(labels, minlength=count)[order] > 0]
    places = torch.empty(count, dtype=torch.int64)
    places[order] = torch.arange(len(order))
    return Clusters(index=opened, labels=places[labels], count=len(order), method=method, stability=stability)


def _grouping(unit: Vectors, method: Method, most: int, seed: int) -> Grouping:
    """The function that groups the vectors with `method`."""
    kmeans, mixture = importlib.import_module("sklearn.cluster").KMeans, importlib.import_module("sklearn.mixture").GaussianMixture
    spectrum = Spectrum(unit, most=most, seed=seed) if method == "spectral" else None
    plain: Coordinates = unit.numpy()

    def grouping(count: int, rows: np.ndarray) -> Int64[np.ndarray, " n"]:
        points = plain if spectrum is None else spectrum.coordinates(count)
        if method == "mixture":
            fitted = mixture(count, covariance_type="diag", reg_covar=1e-5, n_init=2, random_state=seed).fit(points[rows])
        else:
            fitted = kmeans(count, n_init=_STARTS, random_state=seed).fit(points[rows])
        return fitted.predict(points).astype(np.int64)

    return grouping


def _stability(grouping: Grouping, n: int, most: int, seed: int) -> dict[int, float]:
    """For each number of groups, the mean adjusted Rand index of groupings that were fitted to random halves, over all vectors."""
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(n), 2) for _ in range(_HALVES)]
    scores = dict[int, float]()
    for count in counted(range(2, min(most, n // 2) + 1), "numbers of groups"):
        agreements = [adjusted_rand_score(grouping(count, first), grouping(count, second)) for first, second in halves]
        scores[count] = round(float(np.mean(agreements)), 4)
    return scores


def _stable(stability: dict[int, float]) -> int:
    """The most stable number of groups; the largest of several that are equally stable."""
    best = max(stability.values())
    return max(count for count, score in stability.items() if score > best - TIE)


def _joined(unit: Vectors, labels: Labels, every: Float[Tensor, "m d"]) -> Int64[Tensor, " m"]:
    """The group of most of the nearest grouped vectors, for each of `every` vector."""
    votes = torch.nn.functional.one_hot(labels)
    voters = nearest(unit, every, min(_VOTERS, len(unit))).indices
    return torch.cat([votes[part].sum(dim=1).argmax(dim=1) for part in voters.split(4096)])

"""The direction from the content of one folder of pictures to the content of another.

A first regression learns from the features of the pictures which folder they are from, and rates generated images. A second regression
predicts the ratings from the styles (after Shen et al. 2020, https://arxiv.org/abs/2005.09635, with a classifier and a support vector
machine).
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.core.device import select_device
from sfumato.core.errors import DataError
from sfumato.core.paths import inside
from sfumato.core.tensors import PerImage, Vectors, to_images
from sfumato.data.load import load as load_data
from sfumato.editing.directions import DRAWS, Directions, finished, many_styles
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import labels_of, sampler, show
from sfumato.metrics.features import Pixels, describe
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store import weights
from sfumato.store.loaded import Model


def from_examples(
    model: Model,
    less: str | Path,
    more: str | Path,
    *,
    name: str | None = None,
    layers: Span | None = None,
    label: str | int | None = None,
    features: str | FeatureExtractor | None = None,
    samples: int = 2000,
    seed: int = 0,
    device: str = "auto",
) -> Directions:
    """The one direction from the content of the pictures in the folder `less` to that in the folder `more`.

    `features` is a network that returns feature vectors, by default 8 x 8 means of the pixels. Raises SettingError for a network without
    feature vectors, DataError for folders without pictures, and if the features show no difference between the folders.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    chosen = span(network, layers)
    named = Pixels(channels=network.channels, side=min(8, *network.size)) if features is None else features
    extractor = weights.opened(named, FeatureExtractor, otherwise="gives no feature vectors").network
    sets = [to_images(load_data(folder, size=network.size, channels=network.channels, part="all").pixels) for folder in (less, more)]
    described = torch.cat([describe(extractor, images) for images in sets])
    truth = torch.cat([torch.full((len(images),), side) for images, side in zip(sets, (-1.0, 1.0), strict=True)])
    styles = many_styles(source, label, seed)
    some, labels = styles[:samples], labels_of(source, range(DRAWS), label)
    images = show(source, some[:, None].expand(-1, network.styles, -1), None if labels is None else labels[:samples])
    ratings = ridge(described, truth)(describe(extractor, images))
    if float(ratings.std()) < 1e-6:
        raise DataError(
            f"{less} and {more} look the same to these features, as far as this model's images go; give more, or other --features"
        )
    vector = ridge(some, ratings).weights[None]
    origin = {"how": "examples", "less": inside(less), "more": inside(more), "samples": samples, "seed": seed}
    result = finished(source, vector, torch.ones(1), styles, method="examples", layers=chosen, label=label, seed=seed, origin=origin)
    return result if name is None else dataclasses.replace(result, names=(name,))


class Regression(NamedTuple):
    """A linear prediction of one number from each vector."""

    weights: Tensor
    mean: Tensor
    middle: Tensor

    def __call__(self, x: Vectors) -> PerImage:
        """The predictions."""
        return (x - self.mean) @ self.weights + self.middle


def ridge(x: Vectors, y: PerImage) -> Regression:
    """Ridge regression of `y` on `x`, its penalty chosen by generalised cross-validation (Golub et al. 1979, Technometrics 21:2)."""
    mean, scale = x.mean(dim=0), x.std(dim=0).clamp_min(1e-6)
    left, values, right = torch.linalg.svd(((x - mean) / scale).double(), full_matrices=False)
    target = (y - y.mean()).double()
    shares = [values.square() / (values.square() + values[0].square() * 10.0**power) for power in range(-8, 3)]

    def error(share: Tensor) -> float:
        rest = target - left @ (share * (left.T @ target))
        return float(rest.square().mean() / (1 - (share.sum() + 1) / len(y)).clamp_min(1e-3).square())

    best = min(shares, key=error)
    return Regression((right.T @ (best / values.clamp_min(1e-12) * (left.T @ target))).float() / scale, mean, y.mean())

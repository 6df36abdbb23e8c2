"""The direction from what the pictures of one folder show to what those of another do.

Pictures teach a regression what is what; it judges generated images; a second one finds the judgement in their styles (after Shen et al.
2020, https://arxiv.org/abs/2005.09635, where a classifier judges and the boundary is a support vector machine's).
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
    """The one direction from what the pictures of the folder `less` show to what those of `more` do.

    `features` describes images, by default by 8 x 8 means of their pixels. Raises SettingError for features that are none, DataError for
    folders without pictures, or between which the features see no difference.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    chosen = span(network, layers)
    eyes = Pixels(channels=network.channels, side=min(8, *network.size)) if features is None else features
    seer = weights.opened(eyes, FeatureExtractor, otherwise="gives no feature vectors").network
    sets = [to_images(load_data(folder, size=network.size, channels=network.channels, part="all").pixels) for folder in (less, more)]
    shown = torch.cat([describe(seer, images) for images in sets])
    truth = torch.cat([torch.full((len(images),), side) for images, side in zip(sets, (-1.0, 1.0), strict=True)])
    styles = many_styles(source, label, seed)
    some, labels = styles[:samples], labels_of(source, range(DRAWS), label)
    images = show(source, some[:, None].expand(-1, network.styles, -1), None if labels is None else labels[:samples])
    judged = ridge(shown, truth)(describe(seer, images))
    if float(judged.std()) < 1e-6:
        raise DataError(
            f"{less} and {more} look the same to these features, as far as this model's images go; give more, or other --features"
        )
    vector = ridge(some, judged).weights[None]
    origin = {"how": "examples", "less": inside(less), "more": inside(more), "samples": samples, "seed": seed}
    found = finished(source, vector, torch.ones(1), styles, "examples", chosen, label, seed, origin)
    return found if name is None else dataclasses.replace(found, names=(name,))


class Regression(NamedTuple):
    """A number expected of each vector."""

    weights: Tensor
    mean: Tensor
    middle: Tensor

    def __call__(self, x: Vectors) -> PerImage:
        """What it expects."""
        return (x - self.mean) @ self.weights + self.middle


def ridge(x: Vectors, y: PerImage) -> Regression:
    """The regression of `y` on `x` whose penalty generalised cross-validation chose (Golub et al. 1979, Technometrics 21:2)."""
    mean, scale = x.mean(dim=0), x.std(dim=0).clamp_min(1e-6)
    left, values, right = torch.linalg.svd(((x - mean) / scale).double(), full_matrices=False)
    target = (y - y.mean()).double()
    shares = [values.square() / (values.square() + values[0].square() * 10.0**power) for power in range(-8, 3)]

    def wrong(share: Tensor) -> float:
        rest = target - left @ (share * (left.T @ target))
        return float(rest.square().mean() / (1 - (share.sum() + 1) / len(y)).clamp_min(1e-3).square())

    best = min(shares, key=wrong)
    return Regression((right.T @ (best / values.clamp_min(1e-12) * (left.T @ target))).float() / scale, mean, y.mean())

"""The network in whose features images are compared: the choice of it, its feature vectors, and its description in protocols."""

from types import SimpleNamespace
from typing import Any

import torch

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Bytes, Vectors, to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation.stages import operations
from sfumato.metrics.base import device_of
from sfumato.metrics.features import Pixels, describe, weights_hash
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store import checkpoint, weights


def choose_features(features: Any, network: Any, train: Dataset) -> FeatureExtractor:
    """The network that `features` names, if that fits the images of `network`; if None, `matching_features`."""
    return matching_features(network, train) if features is None else suited(weights.opened(features), network)


def shape_of(data: Dataset) -> SimpleNamespace:
    """Size and channels of the images of `data`, under the names that networks have for them."""
    return SimpleNamespace(size=tuple(data.pixels.shape[2:]), channels=data.pixels.shape[1])


def suited(extractor: Any, network: Any) -> FeatureExtractor:
    """`extractor`, if it gives features of the images of `network`.

    Raises SettingError if it gives no feature vectors, or takes images of another size or with other channels.
    """
    if not isinstance(extractor, FeatureExtractor):
        raise SettingError(
            f"features: a {type(extractor).__name__} gives no feature vectors; name a classifier, squeezenet or inception with --features"
        )
    if reason := extractor.misfit(tuple(network.size), network.channels):
        raise SettingError(f"features: this network {reason}; name another network with --features")
    return extractor


def matching_features(network: Any, train: Dataset) -> FeatureExtractor:
    """A bundled classifier of images of the same data, size and channels; if there is none, the pixels themselves."""
    for path in weights.bundled().values():
        header = checkpoint.read_header(path)
        if header["model"]["is"] == "classifier" and header["card"]["data"]["name"] == train.name:
            extractor: Any = checkpoint.load(path)
            if (extractor.size, extractor.channels) == (network.size, network.channels):
                return extractor
    return Pixels(channels=network.channels, side=min(8, *network.size))


def feature_vectors(extractor: FeatureExtractor, pixels: Bytes) -> Vectors:
    """The features of all images, on the CPU."""
    return describe(extractor, pixels, batch=extractor.batch)


def feature_operations(extractor: FeatureExtractor, data: Dataset) -> float:
    """The arithmetic operations of the features of one image of `data`."""
    image = to_images(data.pixels[:1]).to(device_of(extractor, torch.device("cpu")))
    return operations(extractor, lambda: extractor.features(image))


def feature_facts(extractor: FeatureExtractor) -> dict[str, str]:
    """The fields `features`, `weights` and `resize` of a protocol, for this network."""
    name = f"{extractor.kind} {getattr(extractor, 'card', {}).get('data', {}).get('name', '')}".strip() or "features"
    return {"features": name, "weights": weights_hash(extractor), "resize": getattr(extractor, "resizing", "none")}


@torch.no_grad()
def class_scores(network: Classifier, pixels: Bytes) -> Vectors:
    """The classifier's scores of all images, a column for each class, on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network.classify(to_images(part.to(device))).cpu() for part in pixels.split(500)])

"""The network in whose features images are compared: the choice of it, its feature vectors, and its description in protocols."""

from typing import NamedTuple, Protocol, TypedDict, cast, runtime_checkable

import torch

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Bytes, Vectors, to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation.stages import operations
from sfumato.metrics.base import device_of
from sfumato.metrics.features import Pixels, describe, weights_hash
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model
from sfumato.store.zoo import list_models


@runtime_checkable
class HasShape(Protocol):
    """Anything with the size and the channels of images, such as a network."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the images."""
        ...


class ImageShape(NamedTuple):
    """The shape of images, under the names that networks have for it."""

    size: tuple[int, int]
    """Height and width."""
    channels: int


def choose_features(features: Model | None, network: HasShape, train: Dataset) -> LoadedModel[FeatureExtractor]:
    """The model that `features` names, if that fits the images of `network`; if None, `matching_features`."""
    return matching_features(network, train) if features is None else suited(features, network)


def shape_of(data: Dataset) -> ImageShape:
    """Size and channels of the images of `data`."""
    return ImageShape(size=(data.pixels.shape[2], data.pixels.shape[3]), channels=data.pixels.shape[1])


def suited(features: Model, network: HasShape) -> LoadedModel[FeatureExtractor]:
    """The model `features`, if it gives features of the images of `network`.

    Raises SettingError if it gives no feature vectors, or takes images of another size or with other channels.
    """
    model = opened_features(features)
    check_fit(model.network, network.size, network.channels)
    return model


def opened_features(features: Model) -> LoadedModel[FeatureExtractor]:
    """The model `features`. Raises SettingError if it gives no feature vectors."""
    model = weights.model_of(features)
    extractor = model.network
    if not isinstance(extractor, FeatureExtractor):
        raise SettingError(
            f"features: a {type(extractor).__name__} gives no feature vectors; name a classifier, squeezenet or inception with --features"
        )
    return cast(LoadedModel[FeatureExtractor], model)


def check_fit(extractor: FeatureExtractor, size: tuple[int, int], channels: int) -> None:
    """Raises SettingError if `extractor` takes no images of this size (height, width) or with so many channels."""
    if reason := extractor.misfit(size, channels):
        raise SettingError(f"features: this network {reason}; name another network with --features")


def matching_features(network: HasShape, train: Dataset) -> LoadedModel[FeatureExtractor]:
    """A bundled classifier of images of the same data, size and channels; if there is none, the pixels themselves."""
    for entry in list_models():
        if entry.family == "classifier" and entry.card.data.name == train.name:
            model = weights.opened(entry.path, Classifier, otherwise="is no classifier")
            if (model.network.size, model.network.channels) == (network.size, network.channels):
                return model
    return LoadedModel(network=Pixels(channels=network.channels, side=min(8, *network.size)))


def feature_vectors(extractor: FeatureExtractor, pixels: Bytes) -> Vectors:
    """The features of all images, on the CPU."""
    return describe(extractor, pixels, batch=extractor.batch)


def feature_operations(extractor: FeatureExtractor, data: Dataset) -> float:
    """The arithmetic operations of the features of one image of `data`."""
    image = to_images(data.pixels[:1]).to(device_of(extractor, torch.device("cpu")))
    return operations(extractor, lambda: extractor.features(image))


class FeatureFacts(TypedDict):
    """The fields of a protocol that name the network whose features are compared."""

    features: str
    weights: str
    resize: str


class ComparisonFacts(FeatureFacts):
    """The fields of a protocol that name that network and the real images."""

    reference: str


def feature_facts(extractor: LoadedModel[FeatureExtractor]) -> FeatureFacts:
    """The fields `features`, `weights` and `resize` of a protocol, for this network."""
    network = extractor.network
    name = f"{network.kind} {extractor.card.data.name}".strip() or "features"
    return {"features": name, "weights": weights_hash(network), "resize": getattr(network, "resizing", "none")}


@torch.no_grad()
def class_scores(network: Classifier, pixels: Bytes) -> Vectors:
    """The classifier's scores of all images, a column for each class, on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network.classify(to_images(part.to(device))).cpu() for part in pixels.split(500)])

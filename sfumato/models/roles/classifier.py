"""Images to class scores."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, Vectors
from sfumato.models.roles.base import FeatureSource
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.models.roles.graph import ExportGraph, GraphInput


class Classifier(FeatureExtractor):
    """Classifies images, and describes them by features."""

    channels: int
    size: tuple[int, int]
    classes: int

    def misfit(self, size: tuple[int, int], channels: int) -> str:
        if (self.size, self.channels) == (size, channels):
            return ""
        return f"takes images of size {self.size} and {self.channels} channels; these have {size} and {channels}"

    def feature_source(self) -> FeatureSource:
        """The network itself, with its scores."""
        return FeatureSource(network=self, run=self.classify, channels=self.channels, size=self.size, classes=self.classes)

    def export_graphs(self) -> dict[str, ExportGraph]:
        images = GraphInput("images", torch.rand(2, self.channels, *self.size), {0: "n"}, about="images in [0, 1]")
        facts: dict[str, Json] = {
            "channels": self.channels, "size": list(self.size), "classes": self.classes, "feature_dim": self.feature_dim, "kind": self.kind
        }  # fmt: skip
        module = _ScoresAndFeatures(self)
        return {"classifier": ExportGraph(role="classifier", module=module, inputs=(images,), outputs=("scores", "features"), facts=facts)}

    @abstractmethod
    def classify(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, one column per class."""

    def forward(self, images: Images) -> Vectors:
        """The main method of this role: `classify`."""
        return self.classify(images)


class _ScoresAndFeatures(nn.Module):
    """Both outputs of a classifier."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> tuple[Vectors, Float[Tensor, "n _features"]]:
        """Scores and features of images."""
        return self.network.classify(images), self.network.features(images)

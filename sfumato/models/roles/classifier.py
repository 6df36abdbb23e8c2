"""Images to class scores."""

from abc import abstractmethod

from sfumato.core.tensors import Images, Vectors
from sfumato.models.roles.base import FeatureSource
from sfumato.models.roles.feature_extractor import FeatureExtractor


class Classifier(FeatureExtractor):
    """Classifies images, and describes them by features."""

    channels: int
    size: tuple[int, int]
    classes: int

    def misfit(self, size: tuple[int, int], channels: int) -> str:
        if (self.size, self.channels) == (size, channels):
            return ""
        return f"takes images of size {self.size} and {self.channels} channels, the model's have {size} and {channels}"

    def feature_source(self) -> FeatureSource:
        """The network itself, with its scores."""
        return FeatureSource(network=self, run=self.classify, channels=self.channels, size=self.size, classes=self.classes)

    @abstractmethod
    def classify(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, one column per class."""

    def forward(self, images: Images) -> Vectors:
        """The main method of this role: `classify`."""
        return self.classify(images)

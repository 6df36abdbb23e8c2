"""Images to class scores."""

from abc import abstractmethod

from sfumato.core.tensors import Images, Vectors
from sfumato.models.roles.feature_extractor import FeatureExtractor


class Classifier(FeatureExtractor):
    """Tells which class an image shows, and describes images by features."""

    channels: int
    size: tuple[int, int]
    classes: int

    @abstractmethod
    def classify(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, one column per class."""

    def forward(self, images: Images) -> Vectors:
        """The main answer of this role: `classify`."""
        return self.classify(images)

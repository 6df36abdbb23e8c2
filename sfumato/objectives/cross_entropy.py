"""Cross-entropy: minus the log-probability that the classifier gives to the right class."""

from typing import Annotated

import torch
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.models.roles.classifier import Classifier
from sfumato.objectives.base import Batch, Losses, Objective, Phase


@settings
class Config(Objective[Classifier]):
    """Settings of the training of a classifier by cross entropy."""

    id = "cross_entropy"
    smoothing: Annotated[float, Range(0, 0.9)] = 0.0
    """Share of the target spread evenly over all classes."""

    def phases(self, model: Classifier) -> list[Phase]:
        """One phase, which also reports the accuracy in [0, 1]."""

        def classify(batch: Batch) -> Losses:
            assert batch.labels is not None
            scores = model.classify(batch.degraded)
            accuracy = (scores.argmax(1) == batch.labels).float().mean()
            return {"total": F.cross_entropy(scores, batch.labels, label_smoothing=self.smoothing), "accuracy": accuracy}

        return [Phase(name="classify", weights=list(model.parameters()), loss=classify)]

    def validate(self, model: Classifier, batch: Batch) -> Losses:
        """Cross-entropy in nats and accuracy in [0, 1] on held-out images."""
        assert batch.labels is not None
        with torch.no_grad():
            scores = model.classify(batch.clean)
        accuracy = (scores.argmax(1) == batch.labels).float().mean()
        return {"cross_entropy": F.cross_entropy(scores, batch.labels), "accuracy": accuracy}

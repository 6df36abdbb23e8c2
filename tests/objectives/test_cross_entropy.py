"""Cross-entropy, against torch's own and against its definition."""

import pytest
import torch

from sfumato.models.roles.classifier import Classifier
from sfumato.objectives.base import Batch
from sfumato.objectives.cross_entropy import Config

SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.4, 0.0], [0.0, 3.0, 0.0], [1.0, 1.5, 2.0]])
LABELS = torch.tensor([0, 1, 1, 2])


class Table(Classifier):
    """Gives out SCORES, whatever it sees."""

    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Parameter(SCORES.clone())

    def features(self, images):
        return self.scores

    classify = features


@pytest.fixture
def batch():
    clean = torch.zeros(4, 1, 2, 2)
    return Batch(clean=clean, degraded=clean, labels=LABELS, rng=torch.Generator(), images_seen=0, progress=0.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothing_spreads_a_share_of_the_target_over_all_classes(batch, smoothing):
    (phase,) = Config(smoothing=smoothing).phases(Table())
    target = torch.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    expected = -(target * SCORES.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(phase.loss(batch)["total"], expected)


def test_accuracy_is_the_share_of_right_answers(batch):
    (phase,) = Config().phases(Table())
    assert phase.loss(batch)["accuracy"].item() == 0.75


def test_held_out_images_are_measured_without_smoothing(batch):
    said = Config(smoothing=0.5).validate(Table(), batch)
    torch.testing.assert_close(said["cross_entropy"], torch.nn.functional.cross_entropy(SCORES, LABELS))
    assert said["accuracy"].item() == 0.75

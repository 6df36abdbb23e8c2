"""Accuracy, per class and in a matrix, against scikit-learn."""

import math

import pytest
import torch

from sfumato.core.errors import DataError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.base import Protocol
from sfumato.metrics.classification import accuracy, class_accuracy, classification_report, confusion_matrix
from sfumato.metrics.interval import wilson

SCORES = torch.randn(200, 4, generator=seeded_generator(0))
LABELS = torch.randint(0, 3, (200,), generator=seeded_generator(1))
"""No image is of the fourth class."""


def test_the_matrix_is_scikit_learns():
    from sklearn.metrics import accuracy_score
    from sklearn.metrics import confusion_matrix as theirs

    found = SCORES.argmax(1)
    assert confusion_matrix(SCORES, LABELS).tolist() == theirs(LABELS, found, labels=range(4)).tolist()
    assert accuracy(confusion_matrix(SCORES, LABELS)) == pytest.approx(accuracy_score(LABELS, found))


def test_rows_are_the_truth():
    matrix = confusion_matrix(torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0, 0]))
    assert matrix.tolist() == [[1, 2], [0, 0]]
    assert class_accuracy(matrix)[0].item() == pytest.approx(1 / 3)
    assert math.isnan(class_accuracy(matrix)[1].item())


def test_the_report_covers_all_and_then_each_class_that_is_there():
    report = classification_report(SCORES, LABELS, classes=("cat", "dog", "bird", "none"), protocol=Protocol(reference="toy"))
    assert [m.name for m in report] == ["accuracy", "accuracy of cat", "accuracy of dog", "accuracy of bird"]
    first, matrix = report[0], confusion_matrix(SCORES, LABELS)
    assert first.value == accuracy(matrix)
    assert first.interval == wilson(int(matrix.trace()), 200)
    assert (first.protocol.reference, first.protocol.generated) == ("toy", 200)
    assert sum(m.protocol.generated for m in report[1:]) == 200
    assert [m.value for m in report[1:]] == pytest.approx(class_accuracy(matrix)[:3].tolist())


def test_classes_without_names_are_numbered():
    assert classification_report(SCORES, LABELS, protocol=Protocol())[1].name == "accuracy of 0"


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(DataError, match="classes 0 to 3"):
        confusion_matrix(SCORES, LABELS + 2)
    with pytest.raises(DataError, match="NaN"):
        confusion_matrix(torch.full((2, 3), math.nan), torch.zeros(2, dtype=torch.long))
    with pytest.raises(DataError, match="no images"):
        accuracy(torch.zeros(3, 3, dtype=torch.long))

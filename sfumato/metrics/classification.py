"""The accuracy of a classifier: over all images, of each class, and as a confusion matrix."""

import dataclasses

from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import DataError
from sfumato.core.tensors import Labels, Vectors
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.interval import wilson

Confusion = Int64[Tensor, "k k"]
"""Numbers of images by true class (row) and by predicted class (column)."""


def confusion_matrix(scores: Vectors, labels: Labels) -> Confusion:
    """The confusion matrix of `scores`, which hold a column for each class. The highest score is the prediction (the first of equals).

    Raises DataError for a label without a column, and for a score that is NaN.
    """
    classes = scores.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"labels range over [{labels.min()}, {labels.max()}], but the scores are of classes 0 to {classes - 1}")
    if scores.isnan().any():
        broken = int(scores.isnan().any(dim=1).sum())
        raise DataError(f"{broken} of {len(scores)} images have NaN among their scores; check the images and the classifier")
    cells = labels.to(scores.device) * classes + scores.argmax(dim=1)
    return cells.bincount(minlength=classes**2).view(classes, classes)


def accuracy(confusion: Confusion) -> float:
    """The share of images whose predicted class is the true one, in [0, 1]. Raises DataError if there are no images.

    >>> import torch
    >>> accuracy(torch.tensor([[3, 1], [0, 4]]))
    0.875
    """
    if not confusion.sum():
        raise DataError("there are no images to classify; give at least 1")
    return int(confusion.trace()) / int(confusion.sum())


def class_accuracy(confusion: Confusion) -> Float[Tensor, " k"]:
    """The recall of each class: the share of its images that are predicted as such, in [0, 1]; NaN for a class without images."""
    return confusion.diagonal().double() / confusion.sum(dim=1)


def classification_report(scores: Vectors, labels: Labels, *, classes: tuple[str, ...] = (), protocol: Protocol) -> list[Measurement]:
    """Accuracy over all images, then the recall of each class that has images, with Wilson intervals. `classes` are their names.

    `protocol` describes the images and the classifier. Raises DataError like `confusion_matrix`, and if there are no images.
    """
    confusion = confusion_matrix(scores, labels)
    accuracy(confusion)
    rows = [("accuracy", confusion.trace(), confusion.sum())]
    for index, row in enumerate(confusion):
        rows.append((f"accuracy of {classes[index] if classes else index}", row[index], row.sum()))
    return [_accuracy_of(name, int(correct), int(count), protocol) for name, correct, count in rows if count]


def _accuracy_of(name: str, correct: int, count: int, protocol: Protocol) -> Measurement:
    """The share of `correct` predictions among `count` images."""
    method = "95 %, other images of the same kind, Wilson"
    return Measurement(
        name=name,
        value=correct / count,
        interval=wilson(correct, count),
        higher_is_better=True,
        protocol=dataclasses.replace(protocol, generated=count, interval=method),
    )

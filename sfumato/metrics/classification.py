"""How often a classifier is right: over all images, for each class, and which class it takes for which."""

import dataclasses

from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import DataError
from sfumato.core.tensors import Labels, Vectors
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.interval import wilson

Confusion = Int64[Tensor, "k k"]
"""Images by true class (row) and by the class they were given (column)."""


def confusion_matrix(scores: Vectors, labels: Labels) -> Confusion:
    """Counts from class `scores`, one column a class, of which the highest wins (the first of equals).

    Raises DataError for a label that has no column, or a score that is NaN.
    """
    classes = scores.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"labels range over [{labels.min()}, {labels.max()}], but the scores are of classes 0 to {classes - 1}")
    if scores.isnan().any():
        raise DataError(f"{int(scores.isnan().any(dim=1).sum())} of {len(scores)} images have NaN among their scores")
    cells = labels.to(scores.device) * classes + scores.argmax(dim=1)
    return cells.bincount(minlength=classes**2).view(classes, classes)


def accuracy(confusion: Confusion) -> float:
    """Share of images given their own class, in [0, 1]. Raises DataError if there are none.

    >>> import torch
    >>> accuracy(torch.tensor([[3, 1], [0, 4]]))
    0.875
    """
    if not confusion.sum():
        raise DataError("there are no images to be right about")
    return int(confusion.trace()) / int(confusion.sum())


def class_accuracy(confusion: Confusion) -> Float[Tensor, " k"]:
    """Share of each class's images given that class (its recall), in [0, 1]; NaN for a class without images."""
    return confusion.diagonal().double() / confusion.sum(dim=1)


def classification_report(scores: Vectors, labels: Labels, *, classes: tuple[str, ...] = (), protocol: Protocol) -> list[Measurement]:
    """Accuracy over all images, then of each class that has any, with Wilson intervals; `classes` are their names.

    Raises DataError like `confusion_matrix`, or if there are no images.
    """
    confusion = confusion_matrix(scores, labels)
    accuracy(confusion)
    rows = [("accuracy", confusion.trace(), confusion.sum())]
    for index, row in enumerate(confusion):
        rows.append((f"accuracy of {classes[index] if classes else index}", row[index], row.sum()))
    return [_share(name, int(right), int(seen), protocol) for name, right, seen in rows if seen]


def _share(name: str, right: int, count: int, protocol: Protocol) -> Measurement:
    how = "95 %, other images of the same kind, Wilson"
    return Measurement(
        name=name,
        value=right / count,
        interval=wilson(right, count),
        higher_is_better=True,
        protocol=dataclasses.replace(protocol, generated=count, interval=how),
    )

"""Measurements while training: a sheet of samples, figures of held-out images, and those of generated ones for the training monitor."""

import torch
from torch import nn

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream, center_crops
from sfumato.objectives.base import portions, still_batch
from sfumato.train.proxy_metrics import COUNT, proxy_metrics
from sfumato.train.settings import TrainSettings, class_count
from sfumato.train.step import Trainee


@torch.no_grad()
def sheet(model: nn.Module, stream: Stream, settings: TrainSettings) -> Images | None:
    """The preview of the objective, in [0, 1]: the same inputs at every call. None if the objective has none."""
    images = settings.objective.preview(model, stream, settings)
    return None if images is None else images.clamp(0, 1)


def health(trainee: Trainee) -> dict[str, torch.Tensor]:
    """The proxy metrics of the generator that the objective lets the training monitor watch; nothing without one."""
    generator = trainee.settings.objective.monitored(trainee.best())
    return {} if generator is None else proxy_metrics(generator, trainee.stream, batch=trainee.settings.batch)


def sheet_cost(model: nn.Module, settings: TrainSettings) -> float:
    """A guess of the time of a sheet and of its figures, in units of the time that training on one image takes.

    To generate an image takes a sixth of the time of training on one, or less.
    """
    monitored = settings.objective.monitored(model) is not None
    return (settings.objective.preview_count() + COUNT * monitored) / 6


def held_out_pixels(held_out: Dataset | Scenes, settings: TrainSettings, *, most: int | None = None) -> torch.Tensor:
    """The pixels of held-out images, or of the first `most` of them where squares are cut out. Raises SettingError if one is too small."""
    return held_out.pixels if isinstance(held_out, Dataset) and not settings.patch else center_crops(held_out, settings.patch, most=most)


@torch.no_grad()
def measure(settings: TrainSettings, model: nn.Module, held_out: Dataset | Scenes | None, device: torch.device) -> dict[str, torch.Tensor]:
    """The objective's own figures of held-out images, averaged over batches; nothing without such images or figures."""
    objective = settings.objective
    if held_out is None or not objective.validates or not len(held_out):
        return {}
    pixels, labels = held_out_pixels(held_out, settings), held_out.labels if class_count(settings) else None
    sums: dict[str, torch.Tensor] = {}
    for part in portions(len(held_out), min(settings.batch, objective.validation_batch())):
        clean = to_images(pixels[part].to(device))
        rng = seeded_generator(settings.seed, "validation", part.start)
        batch = still_batch(clean, rng, None if labels is None else labels[part].to(device))
        for name, value in objective.validate(model, objective.prepare(batch, settings)).items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * len(clean) / len(held_out)
    return {f"validation/{name}": value for name, value in sums.items()}

"""What to look at while training: a sheet of samples from fixed latents, and figures on held-out images."""

import torch
from torch import nn

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream, center_crops
from sfumato.models.roles.generator import latents
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.restorer import Restorer
from sfumato.models.roles.style_generator import AdversarialGenerator, StyleGenerator
from sfumato.nn.resample import resize
from sfumato.objectives.base import Batch
from sfumato.objectives.restoration import repaired
from sfumato.train.proxy_metrics import COUNT as PULSE
from sfumato.train.proxy_metrics import portions, proxy_metrics
from sfumato.train.settings import TrainSettings
from sfumato.train.step import Trainee, damaged

COUNT = 64
"""Images on a sheet."""


@torch.no_grad()
def sheet(model: nn.Module, stream: Stream, settings: TrainSettings) -> Images | None:
    """The same 64 samples at every call, each of the next class; for an encoder, 32 pairs of image and reconstruction follow.

    For a network that repairs, 16 times damaged, repaired and clean. None if it makes no images.
    """
    if isinstance(model, Restorer):
        return _repairs(model, stream, settings)
    if not isinstance(model, StyleGenerator):
        return None
    device = stream.device
    z = latents(model, COUNT, seeded_generator(0, "sheet")).to(device)
    labels = columns_of_labels(model.classes, COUNT, device)
    pictures = [model.sample(z[part], None if labels is None else labels[part]) for part in portions(COUNT, settings.batch)]
    if isinstance(model, LatentVariableModel):
        images = to_images(stream.pixels[: COUNT // 2])
        own = None if not model.classes or stream.labels is None else stream.labels[: COUNT // 2]
        for part in portions(len(images), settings.batch):
            told = None if own is None else own[part]
            rebuilt = model.decode(model.posterior(images[part], told)[0], told)
            pictures.append(torch.stack([images[part], rebuilt], dim=1).flatten(0, 1))
    return torch.cat(pictures).clamp(0, 1)


def health(trainee: Trainee) -> dict[str, torch.Tensor]:
    """The pulse of a network that is trained against a discriminator; nothing for others."""
    model = trainee.best()
    return proxy_metrics(model, trainee.stream, batch=trainee.settings.batch) if isinstance(model, AdversarialGenerator) else {}


def sheet_cost(model: nn.Module) -> float:
    """The time of a sheet and of its figures, guessed, in units of the time that training on one image takes.

    To draw an image takes a sixth of what it takes to train on one, or less.
    """
    return (COUNT * isinstance(model, StyleGenerator) + PULSE * isinstance(model, AdversarialGenerator)) / 6


def _repairs(model: Restorer, stream: Stream, settings: TrainSettings) -> Images:
    batch = damaged(still(to_images(stream.pixels[: COUNT // 4]), seeded_generator(0, "sheet")), settings)
    h, w = batch.clean.shape[2:]
    made = repaired(model, batch)
    return torch.stack([resize(batch.degraded, (h, w), method="nearest"), made, batch.clean], dim=1).flatten(0, 1).clamp(0, 1)


def still(clean: Images, rng: torch.Generator, labels: Labels | None = None) -> Batch:
    """Images that nobody trains on, as a batch."""
    return Batch(clean=clean, degraded=clean, labels=labels, rng=rng, images_seen=0, progress=1.0)


def columns_of_labels(classes: int, count: int, device: torch.device) -> Labels | None:
    """Labels 0, 1, 2, ... over and over, or None without classes."""
    return torch.arange(count, device=device) % classes if classes else None


def measure(settings: TrainSettings, model: nn.Module, held_out: Dataset | Scenes | None, device: torch.device) -> dict[str, torch.Tensor]:
    """The objective's own figures on held-out images, averaged over batches; nothing if there are none or it has none."""
    validate = getattr(settings.objective, "validate", None)
    if held_out is None or validate is None or not len(held_out):
        return {}
    pixels = held_out.pixels if isinstance(held_out, Dataset) and not settings.patch else center_crops(held_out, settings.patch)
    sums: dict[str, torch.Tensor] = {}
    for part in portions(len(held_out), min(settings.batch, 32 if isinstance(model, Restorer) else 512)):
        clean = to_images(pixels[part].to(device))
        told = held_out.labels if getattr(settings.model, "classes", 0) else None
        labels = None if told is None else told[part].to(device)
        batch = still(clean, seeded_generator(settings.seed, "validation", part.start), labels)
        batch = damaged(batch, settings) if isinstance(model, Restorer) else batch
        for name, value in validate(model, batch).items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * len(clean) / len(held_out)
    return {f"validation/{name}": value for name, value in sums.items()}

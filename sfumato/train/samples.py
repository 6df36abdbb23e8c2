"""What to look at while training: a sheet of samples from fixed latents, and figures on held-out images."""

import torch
from torch import nn

from sfumato.core import chance
from sfumato.core.image import Images, Labels, to_images
from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream
from sfumato.models.base import Encodes, Samples, latents
from sfumato.objectives.base import Batch
from sfumato.train.settings import TrainSettings

COUNT = 64
"""Images on a sheet."""


@torch.no_grad()
def sheet(model: nn.Module, stream: Stream) -> Images | None:
    """The same 64 samples at every call, each of the next class; for an encoder, 32 pairs of image and reconstruction follow.

    None if it makes no images.
    """
    if not isinstance(model, Samples):
        return None
    device = stream.device
    z = latents(model, COUNT, chance.generator(0, "sheet")).to(device)
    labels = columns_of_labels(model.classes, COUNT, device)
    pictures = [model.sample(z, labels)]
    if isinstance(model, Encodes):
        pixels = stream.pixels[: COUNT // 2]
        images = to_images(pixels)
        own = None if not model.classes or stream.labels is None else stream.labels[: COUNT // 2]
        rebuilt = model.decode(model.posterior(images, own)[0], own)
        pictures.append(torch.stack([images, rebuilt], dim=1).flatten(0, 1))
    return torch.cat(pictures).clamp(0, 1)


def columns_of_labels(classes: int, count: int, device: torch.device) -> Labels | None:
    """Labels 0, 1, 2, ... over and over, or None without classes."""
    return torch.arange(count, device=device) % classes if classes else None


def measure(settings: TrainSettings, model: nn.Module, held_out: Dataset | None, device: torch.device) -> dict[str, torch.Tensor]:
    """The objective's own figures on held-out images, averaged over batches; nothing if there are none or it has none."""
    validate = getattr(settings.objective, "validate", None)
    if held_out is None or validate is None or not len(held_out):
        return {}
    sums: dict[str, torch.Tensor] = {}
    for start in range(0, len(held_out), 512):
        clean = to_images(held_out.pixels[start : start + 512].to(device))
        labels = held_out.labels[start : start + 512].to(device) if held_out.labels is not None and settings.model.classes else None
        rng = chance.generator(settings.seed, "validation", start)
        batch = Batch(clean=clean, degraded=clean, labels=labels, rng=rng, seen=0, progress=1.0)
        for name, value in validate(model, batch).items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * len(clean) / len(held_out)
    return {f"validation/{name}": value for name, value in sums.items()}

"""A translator as a plug-in of one file: role, network, objective and recipe, trained on pairs from two folders A/ and B/."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Annotated, Any, final

import torch
from torch import nn

import sfumato as sf
from sfumato.core.config import Range, settings
from sfumato.core.errors import DataError
from sfumato.core.tensors import Images, Maps, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.load import part_of
from sfumato.data.stream import Stream
from sfumato.objectives.base import Batch, ImageSource, Losses, Objective, Phase, RunSettings, still_batch
from sfumato.train.settings import TrainSettings


class Translator(nn.Module, ABC):
    """Translates images of one kind into images of another."""

    channels: int

    @abstractmethod
    def translate(self, images: Images) -> Maps:
        """The same images of the other kind."""

    def forward(self, images: Images) -> Maps:
        """The main method of the role: `translate`."""
        return self.translate(images)


@sf.register
@settings
class ToyTranslatorConfig:
    id = "toy_translator"
    channels: Annotated[int | None, Range(1, 3, "channels")] = None
    """1 for grey, 3 for RGB; taken from the data if not set."""
    width: Annotated[int, Range(1, 64, "channels")] = 8
    """Channels of the hidden maps."""

    def build(self) -> "ToyTranslator":
        return ToyTranslator(self)


@final
class ToyTranslator(Translator):
    def __init__(self, config: ToyTranslatorConfig) -> None:
        super().__init__()
        self.channels = config.channels or 1
        wide = nn.Conv2d(self.channels, config.width, 3, 1, 1)
        self.layers = nn.Sequential(wide, nn.ReLU(), nn.Conv2d(config.width, self.channels, 3, 1, 1))

    def translate(self, images: Images) -> Maps:
        return self.layers(images)


@sf.register
@settings
class Pairs(Objective):
    """Absolute error of the translation of an image of A from its partner of B. A pair is one image with the channels of both."""

    id = "toy_pairs"

    def load(self, source: ImageSource) -> Dataset:
        # The pair, and not each of its images, decides what is held out.
        a, b = source.images("A", whole=True), source.images("B", whole=True)
        if a.pixels.shape != b.pixels.shape:
            raise DataError(f"{source.path}: A and B are no pairs of images of one size")
        pixels = torch.cat([a.pixels, b.pixels], dim=1)
        return part_of(Dataset(name="pairs", pixels=pixels, terms=a.terms, skipped=(*a.skipped, *b.skipped)), "train")

    def complete_model(self, model: Any, data: Dataset | Scenes) -> Any:
        return dataclasses.replace(model, channels=data.pictures[0].shape[0] // 2)

    def prepare(self, batch: Batch, settings: RunSettings) -> Batch:
        degraded, clean = batch.clean.chunk(2, dim=1)
        return dataclasses.replace(batch, degraded=degraded, clean=clean)

    def phases(self, model: Translator) -> list[Phase]:
        def loss(batch: Batch) -> Losses:
            return {"total": (model.translate(batch.degraded) - batch.clean).abs().mean()}

        return [Phase(name="translate", weights=list(model.parameters()), loss=loss)]

    def preview(self, model: Translator, stream: Stream, settings: RunSettings) -> Images:
        batch = self.prepare(still_batch(to_images(stream.pixels[:4]), torch.Generator()), settings)
        return torch.stack([batch.degraded, model.translate(batch.degraded), batch.clean], dim=1).flatten(0, 1)

    def validate(self, model: Translator, batch: Batch) -> Losses:
        return {"error": (model.translate(batch.degraded).clamp(0, 1) - batch.clean).abs().mean()}


@sf.register_recipe
def toy_translator() -> TrainSettings:
    """Negatives of grey images."""
    return TrainSettings(
        model=ToyTranslatorConfig(),
        objective=Pairs(),
        data="kinds",
        validation=0.25,
        images=640,
        batch=8,
        lr=1e-2,
        ema=40,
        precision="fp32",
        log_every=80,
        sample_every=160,
        save_every=80,
    )

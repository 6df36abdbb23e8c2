"""Generators: latents to images."""

from abc import abstractmethod
from collections.abc import Sequence

import torch

from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, Labels, Maps, Vectors
from sfumato.models.roles.base import Role
from sfumato.models.roles.graph import ExportGraph, GraphInput


class Generator(Role):
    """Generates images from latents."""

    latent_dim: int
    """Length of a latent."""
    channels: int
    size: tuple[int, int]
    """Height and width of the images."""
    classes: int
    """Number of classes that the network was trained with; 0 if it takes no labels."""
    styles: int = 0
    """Number of styles of an image; 0 for a network that makes images of latents in one step, without styles."""

    @abstractmethod
    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        """Images, in [0, 1] up to a small overshoot, from latents of unit variance. `labels` are needed exactly if `classes` > 0."""

    def noise_shapes(self) -> list[tuple[int, int]]:
        """Heights and widths of the planes of noise that the network adds to its maps, coarse to fine."""
        return []

    def sample_with(self, z: Vectors, labels: Labels | None = None, *, truncation: float = 1.0, noise: Sequence[Maps] = ()) -> Images:
        """As `sample`, with the truncation of the styles, and with a plane of noise for each of the `noise_shapes`.

        Raises SettingError for a truncation other than 1 of a network that takes none.
        """
        if truncation != 1:
            kind = type(self).__name__
            raise SettingError(f"truncation = {truncation:g} needs a network with styles, and a {kind} has none; leave it at 1")
        return self.sample(z, labels)

    def infer_latents(self, images: Images, labels: Labels | None = None) -> Vectors | None:
        """A guess of the latents of images; None for a network without an encoder."""
        return None

    def image_vectors(self, images: Images) -> Vectors | None:
        """The latents of images; None without an encoder, and for a network with classes, whose encoder needs the class of each image."""
        return None if self.classes else self.infer_latents(images)

    def export_graphs(self) -> dict[str, ExportGraph]:
        inputs = [self._latent_input(), *self._label_input()]
        return {
            "generator": ExportGraph(role="generator", module=self, inputs=tuple(inputs), outputs=("images",), facts=self._export_facts())
        }

    def _latent_input(self) -> GraphInput:
        return GraphInput("z", torch.randn(2, self.latent_dim), {0: "n"}, about="latents of unit variance")

    def _label_input(self) -> list[GraphInput]:
        """The labels as an input, for a network that takes them."""
        labels = torch.arange(2) % max(1, self.classes)
        return [GraphInput("labels", labels, {0: "n"}, about=f"number of the class, 0 to {self.classes - 1}")] if self.classes else []

    def _export_facts(self) -> dict[str, Json]:
        return {"channels": self.channels, "size": list(self.size), "latent_dim": self.latent_dim, "classes": self.classes}

    @torch.no_grad()
    def implausible(self) -> str:
        images = self.sample(torch.zeros(1, self.latent_dim), torch.zeros(1, dtype=torch.long) if self.classes else None)
        return "" if torch.isfinite(images).all() else "the image of its mean latent is not finite"

    def forward(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The main method of this role: `sample`."""
        return self.sample(z, labels)


def latents(model: Generator, n: int, rng: torch.Generator) -> Vectors:
    """`n` standard normal latents for `model`, drawn on the CPU."""
    return torch.randn(n, model.latent_dim, generator=rng)

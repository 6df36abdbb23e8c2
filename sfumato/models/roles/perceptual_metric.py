"""Two images to their perceptual distance."""

from abc import abstractmethod

import torch

from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, PerImage
from sfumato.models.roles.base import Role
from sfumato.models.roles.graph import ExportGraph, GraphInput


class PerceptualMetric(Role):
    """A perceptual distance between two images."""

    channels: int
    min_side: int
    """No side of an image may be shorter."""

    @abstractmethod
    def distance(self, images: Images, reference: Images) -> PerImage:
        """Distance of each pair of images: 0 for equal ones, larger for others; differentiable in both."""

    def export_graphs(self) -> dict[str, ExportGraph]:
        free = {0: "n", 2: "h", 3: "w"}
        side = max(64, 2 * self.min_side)
        inputs = [
            GraphInput(name, torch.rand(2, self.channels, side, side + 16), free, about="images in [0, 1], sRGB")
            for name in ("images", "reference")
        ]
        facts: dict[str, Json] = {"channels": self.channels, "min_side": self.min_side}
        return {"distance": ExportGraph(role="perceptual_metric", module=self, inputs=tuple(inputs), outputs=("distance",), facts=facts)}

    def forward(self, images: Images, reference: Images) -> PerImage:
        """The main method of this role: `distance`."""
        return self.distance(images, reference)

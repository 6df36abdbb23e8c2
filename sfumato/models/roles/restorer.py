"""Degraded images to clean ones."""

import itertools
import math
from abc import abstractmethod
from typing import Literal, final

import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, Kernels, Maps, PerImage, Planes
from sfumato.models.roles.base import Role
from sfumato.models.roles.graph import ExportGraph, GraphInput
from sfumato.nn.channels import luma

Plane = Literal["noise", "observed", "quality"]
"""Standard deviation of the noise, as a share of full scale; 1 for an observed pixel and 0 for a missing one; JPEG quality over 100."""


class Restorer(Role):
    """Restores images of any size."""

    channels: int
    """1 for a network of grey images, 3 of RGB."""
    scale: int
    """Sides of the output over sides of the input."""
    pad_multiple: int
    """The sides of the input must be multiples of this number of pixels. The caller pads the input and crops the output."""
    receptive_radius: int | None
    """Distance, in pixels of the input, beyond which no pixel changes the output at a pixel; None if every pixel can."""
    conditioning: tuple[Plane, ...]
    """Planes that the network takes beside the image, in the order of their channels."""
    has_grey_path: bool = False
    """Whether the network also takes images of one channel, and restores them by a path of its own."""
    takes_kernels: bool = False
    """Whether the network deblurs with kernels that it is given (`with_kernels`)."""
    has_discriminator: bool = False
    """Whether the network has a discriminator, which only an adversarial objective trains."""
    output_part: str = ""
    """The part whose weights depend on `scale`, where no other does."""
    core: str = ""
    """The part that restores, where the network has others beside it, and that can begin with the weights of a network without them."""

    @property
    def kernels(self) -> Kernels | None:
        """The kernels that the network was given; None without."""
        return None

    @property
    def base(self) -> "Restorer":
        """The network without kernels, which stays the same from picture to picture."""
        return self

    @property
    def tile_multiple(self) -> int:
        """Tiles must begin at multiples of this number of pixels, which is itself a multiple of `pad_multiple`."""
        return self.pad_multiple

    @property
    def plane_channels(self) -> int:
        """Channels of the planes that `restore` takes: one for each name in `conditioning`, unless the network has further guides."""
        return len(self.conditioning)

    def export_graphs(self) -> dict[str, ExportGraph]:
        multiple = self.pad_multiple
        free, h, w = {0: "n", 2: "h", 3: "w"}, *(multiple * math.ceil(side / multiple) for side in (48, 64))
        about = "picture in [0, 1], sRGB" if self.channels == 3 else "picture in [0, 1]"
        inputs = [GraphInput("degraded", torch.rand(2, self.channels, h, w), free, multiple, about)]
        if self.plane_channels:
            named = self.conditioning if self.plane_channels == len(self.conditioning) else ("guides", *self.conditioning)
            inputs.append(GraphInput("planes", torch.rand(2, self.plane_channels, h, w), free, multiple, ", ".join(named) + " in [0, 1]"))
        facts: dict[str, Json] = {
            "channels": self.channels,
            "scale": self.scale,
            "pad_multiple": multiple,
            "tile_multiple": self.tile_multiple,
            "receptive_radius": self.receptive_radius,
            "conditioning": list(self.conditioning),
            "plane_channels": self.plane_channels,
            "bytes_per_pixel": self.largest_tensors() * 4,
        }
        return {"restorer": ExportGraph(role="restorer", module=self, inputs=tuple(inputs), outputs=("restored",), facts=facts)}

    @torch.no_grad()
    def largest_tensors(self) -> float:
        """Numbers, for each pixel of the input, in the inputs and outputs of the layer that has most of them."""
        side, sizes = math.ceil(32 / self.pad_multiple) * self.pad_multiple, [0]
        device = next(self.parameters()).device

        def note(module: object, inputs: tuple[object, ...], output: object) -> None:
            sizes.append(sum(t.numel() for t in (*inputs, output) if isinstance(t, torch.Tensor)))

        hooks = [module.register_forward_hook(note) for module in self.modules() if not list(module.children())]
        try:
            planes = torch.zeros(1, self.plane_channels, side, side, device=device) if self.plane_channels else None
            for channels in {self.channels, 1} if self.has_grey_path else {self.channels}:
                self.restore(torch.zeros(1, channels, side, side, device=device), planes)
        finally:
            for hook in hooks:
                hook.remove()
        return max(sizes) / side**2

    @abstractmethod
    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        """Clean images, in [0, 1] up to a small overshoot. `planes` holds a channel for each name in `conditioning`."""

    @torch.no_grad()
    def implausible(self) -> str:
        side = math.ceil(32 / self.pad_multiple) * self.pad_multiple
        image = torch.full((1, self.channels, side, side), 0.5)
        image[:, :, :, side // 2 :] = 0.8
        # No noise, and nothing is missing.
        planes = torch.tensor([float(name == "observed") for name in self.conditioning])[None, :, None, None]
        output = self.restore(image, planes.expand(1, -1, side, side))
        difference = (output - image).abs().mean().item() if self.scale == 1 else 0.0
        finite = bool(torch.isfinite(output).all())
        return "" if finite and difference <= 0.25 else "an edge comes back as something else; it is another network"

    def forward(self, degraded: Images, planes: Planes | None = None) -> Maps:
        """The main method of this role: `restore`."""
        return self.restore(degraded, planes)

    def with_kernels(self, kernels: Kernels) -> "Restorer":
        """The network with kernels of the blur, one for each image or one for all; itself if it takes none."""
        return self

    def with_luma_apart(self) -> "Restorer":
        """The network with the luma of colour images restored by its path for grey ones; itself if it has none."""
        return self

    def self_ensemble(self, views: int) -> "Restorer":
        """A network that averages the output over `views` orientations of the input, 4 or 8, for as many times the work."""
        return SelfEnsemble(self, views)


@final
class SelfEnsemble(Restorer):
    """The geometric self-ensemble: outputs for mirrored (4 views) and also transposed inputs (8 views), undone and averaged.

    Timofte et al. 2016, https://arxiv.org/abs/1511.02228, section 4.2.
    """

    def __init__(self, network: Restorer, views: int) -> None:
        super().__init__()
        if views not in (4, 8):
            raise SettingError(f"views = {views} must be 4 (mirrored) or 8 (mirrored and transposed)")
        self.network = network
        self.orientations = list(itertools.product((False, True)[: views // 4], ((), (2,), (3,), (2, 3))))
        self.channels, self.scale, self.receptive_radius = network.channels, network.scale, network.receptive_radius
        self.conditioning, self.has_grey_path = network.conditioning, network.has_grey_path
        # Mirrored, tiles must still begin where the network's own grid does.
        self.pad_multiple = network.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        def oriented(x: Maps) -> Maps:
            return (x.transpose(2, 3) if transposed else x).flip(flips)

        total = degraded.new_zeros(())
        for transposed, flips in self.orientations:
            output = self.network(oriented(degraded), None if planes is None else oriented(planes)).float().flip(flips)
            total = total + (output.transpose(2, 3) if transposed else output)
        return total / len(self.orientations)


@final
class InSequence(Restorer):
    """Two restorers as one: the second restores the output of the first, clamped to [0, 1], such as a repair before an enlargement.

    Raises SettingError for networks that take conditioning or kernels, or images with different numbers of channels.
    """

    def __init__(self, first: Restorer, second: Restorer) -> None:
        super().__init__()
        for each in (first, second):
            if each.conditioning or each.takes_kernels or each.kernels is not None:
                raise SettingError(f"{type(each).__name__} takes more than images, and cannot be one of several networks in sequence")
        if first.channels != second.channels:
            raise SettingError(f"networks in sequence must take as many channels; these take {first.channels} and {second.channels}")
        self.first, self.second = first, second
        self.channels, self.scale, self.conditioning = first.channels, first.scale * second.scale, ()
        self.has_grey_path = first.has_grey_path or second.has_grey_path
        # A multiple of both: enlarged, the input of the second must be a multiple of its own.
        self.pad_multiple = math.lcm(first.pad_multiple, second.pad_multiple)
        radii = (first.receptive_radius, second.receptive_radius)
        self.receptive_radius = None if radii[0] is None or radii[1] is None else radii[0] + math.ceil(radii[1] / first.scale)

    @property
    def tile_multiple(self) -> int:
        return math.lcm(self.first.tile_multiple, self.second.tile_multiple)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return _restored(self.second, _restored(self.first, degraded).clamp(0, 1))


@final
class LumaApart(Restorer):
    """Two restorers as one: the luma of colour images and grey images go to the network `grey`, the colours come from `colour`.

    A JPEG stores the luma by itself and most of its detail there, at the full resolution: for luma a network for grey images knows more.
    Raises SettingError if the two differ in scale or conditioning.
    """

    channels, has_grey_path = 3, True

    def __init__(self, grey: Restorer, colour: Restorer) -> None:
        super().__init__()
        check_alike(grey, colour)
        self.grey, self.colour = grey, colour
        self.scale, self.conditioning = grey.scale, grey.conditioning
        self.pad_multiple = math.lcm(grey.pad_multiple, colour.pad_multiple)
        radii = (grey.receptive_radius, colour.receptive_radius)
        self.receptive_radius = None if radii[0] is None or radii[1] is None else max(radii[0], radii[1])

    @property
    def tile_multiple(self) -> int:
        return math.lcm(self.grey.tile_multiple, self.colour.tile_multiple)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        if degraded.shape[1] == 1:
            return self.grey.restore(degraded, planes)
        output = self.colour.restore(degraded, planes)
        # The same number added to all channels changes the luma alone.
        return output + self.grey.restore(luma(degraded), planes) - luma(output)


@final
class GreyInColour(Restorer):
    """A restorer of colour images that takes grey ones too, in all channels: the result is the mean of the channels."""

    channels, has_grey_path = 3, True

    def __init__(self, network: Restorer) -> None:
        super().__init__()
        self.network = network
        self.scale, self.conditioning = network.scale, network.conditioning
        self.pad_multiple, self.receptive_radius = network.pad_multiple, network.receptive_radius

    @property
    def tile_multiple(self) -> int:
        return self.network.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        if degraded.shape[1] > 1:
            return self.network.restore(degraded, planes)
        return self.network.restore(degraded.expand(-1, 3, -1, -1), planes).mean(dim=1, keepdim=True)


def check_alike(grey: Restorer, colour: Restorer) -> None:
    """Raises SettingError if two networks, for grey and for colour images, differ in scale or conditioning."""
    facts = [f"scale {part.scale} with planes {', '.join(part.conditioning) or 'none'}" for part in (grey, colour)]
    if facts[0] != facts[1]:
        raise SettingError(f"the networks for grey and colour have {' and '.join(facts)}; both must have the same scale and planes")


def _restored(network: Restorer, images: Images) -> Maps:
    """The output of one of several networks; grey images go through a network without a path for them in all channels."""
    if images.shape[1] == network.channels or network.has_grey_path:
        return network.restore(images)
    return network.restore(images.expand(-1, network.channels, -1, -1)).mean(dim=1, keepdim=True)


class Deblurrer(Restorer):
    """Restores images whose blur is given as kernels. Without kernels it takes images for sharp."""

    takes_kernels = True

    @abstractmethod
    def deblur(self, degraded: Images, planes: Planes | None, kernels: Kernels) -> Maps:
        """Clean images, like `restore`, of images that were blurred with `kernels`, one for each image."""

    def with_kernels(self, kernels: Kernels) -> "WithKernel":
        return WithKernel(self, kernels)

    @abstractmethod
    def self_ensemble(self, views: int) -> "Deblurrer":
        """The self-ensemble of any restorer; the kernels are mirrored and transposed with the images."""

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return self.deblur(degraded, planes, degraded.new_ones(len(degraded), 1, 1))


@final
class WithKernel(Restorer):
    """A deblurrer with its kernels: one for all images, or one for each."""

    def __init__(self, network: Deblurrer, kernels: Kernels) -> None:
        super().__init__()
        self.network, self._kernels = network, kernels
        self.channels, self.scale, self.pad_multiple = network.channels, network.scale, network.pad_multiple
        self.receptive_radius, self.conditioning, self.has_grey_path = network.receptive_radius, network.conditioning, network.has_grey_path

    @property
    def kernels(self) -> Kernels:
        return self._kernels

    @property
    def base(self) -> Deblurrer:
        return self.network

    @property
    def tile_multiple(self) -> int:
        return self.network.tile_multiple

    def self_ensemble(self, views: int) -> "WithKernel":
        return WithKernel(self.network.self_ensemble(views), self.kernels)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        kernels = self.kernels.to(degraded.device)
        return self.network.deblur(degraded, planes, kernels.expand(len(degraded), -1, -1) if len(kernels) == 1 else kernels)


class AdversarialRestorer(Restorer):
    """A restorer with a discriminator, which is needed in training alone."""

    restorer: Restorer
    discriminator: nn.Module
    has_discriminator = True
    core = "restorer"

    @abstractmethod
    def discriminate(self, images: Images) -> PerImage:
        """Logit that each image is clean and not restored."""

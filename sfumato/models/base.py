"""What a network can be asked to do. Every concrete network is final and fills one or more roles.

Samples       latents (and labels) to images
├─ Adversarial  ... with a discriminator to train against
└─ Encodes      ... and images to latents, with a likelihood
Restores      degraded images to clean ones
├─ Judged       ... with a discriminator to train against
└─ Deblurs      ... whose blur it is told
Describes     images to feature vectors, for metrics
└─ Classifies   ... and to class scores
Layered       images to maps of features, fine to coarse, for losses that compare what is seen
└─ Named        ... by the names of the layers, and to class scores
Compares      two images to how different they look
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, final, runtime_checkable

import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Kernels, Labels, Maps, PerImage, Planes, Styles, Vectors

Plane = Literal["noise", "known", "quality"]
"""Standard deviation of the noise as a share of full scale; 1 where a pixel is seen and 0 where it is missing; JPEG quality over 100."""


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """What one may give a generator beside styles, and take from it beside images."""

    noise: list[Maps] | None = None
    """A plane for each of the `noise_shapes`, instead of the network's own."""
    feature_maps: list[Maps] | None = None
    """Filled with the maps of each layer, coarse to fine."""


class StyleGenerator(nn.Module, ABC):
    """Makes images from latents, in two steps between which one can edit: latents to styles, styles to images.

    A network without styles of its own has one, the latent itself.
    """

    latent_dim: int
    channels: int
    size: tuple[int, int]
    classes: int
    """Number of classes it was trained to tell apart; 0 if it takes no labels."""
    styles: int = 1
    """Styles of an image."""
    style_dim: int
    """Length of a style."""

    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        """Images, in [0, 1] up to a small overshoot, from latents of unit variance. `labels` are needed exactly if `classes` > 0."""
        return self.synthesize(self.map_latent(z, labels), labels)

    def map_latent(self, z: Vectors, labels: Labels | None = None) -> Styles:
        """The styles of latents: `styles` vectors each."""
        return z[:, None]

    @abstractmethod
    def synthesize(self, styles: Styles, labels: Labels | None = None, steering: SynthesisOptions | None = None) -> Images:
        """The images of styles."""

    def mean_style(self, labels: Labels | None = None) -> Styles:
        """The mean style, to which truncation pulls: of each label, or one of all."""
        return torch.zeros(1 if labels is None else len(labels), 1, self.style_dim, device=next(self.parameters()).device)

    def noise_shapes(self) -> list[tuple[int, int]]:
        """Heights and widths of the planes of noise that the network adds to its maps, coarse to fine."""
        return []

    def noise(self) -> list[Maps]:
        """The planes that it adds if it is given none, one of each of the `noise_shapes`, for one image."""
        return []

    def style_affines(self) -> list[tuple[int, torch.Tensor]]:
        """Of each layer that listens to a style: which one, and the matrix (outputs, style_dim) by which it does."""
        return []


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of images."""

    logit: PerImage
    """Of each image, that it is real (and of its class)."""
    scores: Vectors | None
    """Unnormalised log-probability of each class, a column each; None without classes."""


class AdversarialGenerator(StyleGenerator):
    """A sampler with a discriminator to train it against."""

    generator: nn.Module
    discriminator: nn.Module

    @abstractmethod
    def discriminate(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        """Whether each image is real (and of its class), and which class it shows."""


class LatentVariableModel(StyleGenerator):
    """A sampler that can also find latents, and say how likely an image is."""

    discrete: bool
    """Whether the likelihood is a probability (of bits, of grey levels) and not a density, so that it can be told in bits."""

    @abstractmethod
    def posterior(self, images: Images, labels: Labels | None = None) -> tuple[Vectors, Vectors]:
        """Mean and log-variance of q(z|x)."""

    @abstractmethod
    def log_likelihood(self, images: Images, z: Vectors, labels: Labels | None = None) -> PerImage:
        """Log p(x|z) of each image under its own latent, in nats."""

    @abstractmethod
    def decode(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The most likely image of each latent, in [0, 1]. `sample` may warp z towards a better prior first; this never does."""

    def fit_prior(self, z: Vectors, rng: torch.Generator) -> None:
        """Called once after training with latents of real images; a network with a prior of its own fits it to them."""

    @abstractmethod
    def observe(self, images: Images, uniform: Images) -> Images:
        """`images` as the likelihood sees them: bits drawn with the help of `uniform` in [0, 1), or grey levels, or unchanged."""


class Restorer(nn.Module, ABC):
    """Repairs images of any size."""

    channels: int
    """1 for a network of grey images, 3 of RGB."""
    scale: int
    """How many times longer the sides of its result are."""
    pad_multiple: int
    """The sides of what it is given must be multiples of this; whoever asks pads and cuts."""
    receptive_radius: int | None
    """How far from a pixel, in pixels of the input, all lies that its result depends on; None if that is the whole image."""
    conditioning: tuple[Plane, ...]
    """What it wants to know beside the image."""
    has_grey_path: bool = False
    """Whether it has a way of its own for grey images, of one channel, beside those of `channels`."""

    @property
    def tile_multiple(self) -> int:
        """Tiles must begin at multiples of this, itself one of `multiple`."""
        return self.pad_multiple

    @abstractmethod
    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        """Clean images, in [0, 1] up to a small overshoot. `planes` holds a channel for each name in `takes`."""

    def self_ensemble(self, views: int) -> "Restorer":
        """The mean of what this network makes of images seen in so many `views`, 4 or 8, for as many times the work."""
        return SelfEnsemble(self, views)


@final
class SelfEnsemble(Restorer):
    """A network that sees images also mirrored (4 ways) and turned (8), and whose answers are averaged: the geometric self-ensemble.

    Timofte et al. 2016, https://arxiv.org/abs/1511.02228, section 4.2.
    """

    def __init__(self, network: Restorer, views: int) -> None:
        super().__init__()
        if views not in (4, 8):
            raise SettingError(f"images are seen in 4 ways, mirrored, or 8, turned as well; not in {views}")
        self.network = network
        self.ways = list(itertools.product((False, True)[: views // 4], ((), (2,), (3,), (2, 3))))
        self.channels, self.scale, self.receptive_radius = network.channels, network.scale, network.receptive_radius
        self.conditioning, self.has_grey_path = network.conditioning, network.has_grey_path
        # Mirrored, tiles must still begin where the network's own grid does.
        self.pad_multiple = network.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        def seen(x: Maps) -> Maps:
            return (x.transpose(2, 3) if across else x).flip(flips)

        total = degraded.new_zeros(())
        for across, flips in self.ways:
            made = self.network.restore(seen(degraded), None if planes is None else seen(planes)).float().flip(flips)
            total = total + (made.transpose(2, 3) if across else made)
        return total / len(self.ways)


class Deblurrer(Restorer):
    """Repairs images whose blur it is told. Not told, it takes them for sharp."""

    @abstractmethod
    def deblur(self, degraded: Images, planes: Planes | None, kernels: Kernels) -> Maps:
        """As `restore`, for images each of which was blurred with its own of `kernels`."""

    @abstractmethod
    def self_ensemble(self, views: int) -> "Deblurrer":
        """As of any network that repairs, the blur being the same."""

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return self.deblur(degraded, planes, degraded.new_ones(len(degraded), 1, 1))


@final
class WithKernel(Restorer):
    """A network that is told a blur, for images that all have this one."""

    def __init__(self, network: Deblurrer, kernels: Kernels) -> None:
        super().__init__()
        self.network, self.kernels = network, kernels
        self.channels, self.scale, self.pad_multiple = network.channels, network.scale, network.pad_multiple
        self.receptive_radius, self.conditioning, self.has_grey_path = network.receptive_radius, network.conditioning, network.has_grey_path

    @property
    def tile_multiple(self) -> int:
        return self.network.tile_multiple

    def self_ensemble(self, views: int) -> "WithKernel":
        return WithKernel(self.network.self_ensemble(views), self.kernels)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        kernels = self.kernels.to(degraded.device)
        return self.network.deblur(degraded, planes, kernels.expand(len(degraded), -1, -1) if len(kernels) == 1 else kernels)


class AdversarialRestorer(Restorer):
    """A restorer, and a discriminator that tells what it makes from clean images. Only the restorer is needed once it is trained."""

    restorer: Restorer
    discriminator: nn.Module

    @abstractmethod
    def discriminate(self, images: Images) -> PerImage:
        """The logit that each image is a clean one and not repaired."""


class FeatureExtractor(nn.Module, ABC):
    """Turns images into feature vectors in which distances mean something."""

    feature_dim: int

    @abstractmethod
    def features(self, images: Images) -> Vectors:
        """One vector of `feature_dim` numbers per image."""


class Classifier(FeatureExtractor):
    """Says which class an image shows."""

    channels: int
    size: tuple[int, int]
    classes: int

    @abstractmethod
    def classify(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, one column per class."""


class FeaturePyramid(nn.Module, ABC):
    """Shows what it sees of images of any size on the way to its answer."""

    channels: int
    """1 for a network of grey images, 3 of RGB."""
    layer_widths: tuple[int, ...]
    """Channels of each layer, finest first."""
    reduction: int
    """How many times smaller the coarsest maps are than the images; no side may be shorter."""

    @property
    def min_side(self) -> int:
        """No side of an image may be shorter."""
        return self.reduction

    @abstractmethod
    def layers(self, images: Images) -> list[Maps]:
        """Feature maps of each layer, finest first."""


class Layer(NamedTuple):
    """What one layer of a network looks at."""

    name: str
    width: int
    """Channels of its maps."""
    stride: int
    """Pixels of the image from one place of its maps to the next."""
    receptive_field: int
    """Side of the square of pixels that one place depends on."""
    start: int | None = 0
    """First pixel of the first place's square; below 0 where the image is padded. None if a place sees more than was looked for."""


class Backbone(FeaturePyramid):
    """A network all of whose layers can be asked for, by names; it was trained to tell classes apart."""

    named: dict[str, Layer]
    """Every layer, finest first."""
    classes: int
    """0 if it was left without what tells them apart."""

    @abstractmethod
    def layers(self, images: Images, names: Sequence[str] = ()) -> list[Maps]:
        """Feature maps of the layers called `names`, in that order; without names, those of `layer_widths`.

        Raises SettingError for a name that is not in `named`, and for images with a side shorter than `least`.
        """

    @abstractmethod
    def scores(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, a column a class. Raises SettingError without classes."""


class PerceptualMetric(nn.Module, ABC):
    """Says how different two images look."""

    channels: int
    min_side: int
    """No side of an image may be shorter."""

    @abstractmethod
    def distance(self, images: Images, reference: Images) -> PerImage:
        """0 for equal images and more for others, differentiable in both."""


@runtime_checkable
class ModelConfig(Protocol):
    """Settings of a network family. `size`, `channels` and `classes` left at None are taken from the data."""

    @property
    def size(self) -> tuple[int, int] | None: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def classes(self) -> int | None: ...

    def build(self) -> nn.Module:
        """A fresh network; the same settings and seed give the same weights."""
        ...


def latents(model: StyleGenerator, n: int, rng: torch.Generator) -> Vectors:
    """`n` standard normal latents for `model`, drawn on the CPU."""
    return torch.randn(n, model.latent_dim, generator=rng)


def data_shape(config: ModelConfig) -> tuple[tuple[int, int], int, int]:
    """Size, channels and classes of `config`. Raises SettingError if the data has not filled them in yet."""
    if config.size is None or config.channels is None or config.classes is None:
        raise SettingError("size, channels and classes must be known before a network is built; set them or let the data fill them in")
    return config.size, config.channels, config.classes

"""Adaptive discriminator augmentation (ADA; Karras et al. 2020, https://arxiv.org/abs/2006.06676, section 2 and appendix B).

Real and generated images are transformed with a probability below 1 before the discriminator. As long as most images stay unchanged, a
generator that matches the transformed distribution matches the original one, and the transforms do not appear in generated images. The
probability is controlled by `objectives/adversarial.py`. Each image is transformed independently, in this order:

    flip, turn, shift              exact, by whole pixels         scale, rotate, stretch, rotate, slide   one warp (nn/warp.py)
    brightness, contrast, invert, hue, saturation   one matrix    cutout

Differentiable to any order, for gradient penalties.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sfumato.core.config import Range, family, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, PerImage, Scalar
from sfumato.nn.resample import mirrored
from sfumato.nn.warp import linear_map, warp

EXACT = ("flip", "turn", "shift")
WARPED = ("scale", "rotate", "stretch", "rotate again", "slide")
COLOURED = ("brightness", "contrast", "invert", "hue", "saturation")
GATES = (*EXACT, *WARPED, *COLOURED, "cutout")
"""Names of the transforms that are switched on or off for each image, in the order of their random numbers."""
AMOUNTS = 17
"""Random numbers for the strengths of the transforms of one image."""
Share = Range(0, 1, "of the probability")


@settings
class Config:
    """Settings of adaptive discriminator augmentation."""

    id = "adaptive"
    target: Annotated[float, Range(0, 1)] = 0.0
    """Target of the mean sign of the discriminator's logits for real images, from 0 (random guesses) to 1 (always right). The probability
    is controlled to reach the target, up to 0.8, beyond which transforms leak into generated images. 0.6 is usual; 0 keeps the probability
    constant."""
    probability: Annotated[float, Range(0, 1)] = 0.0
    """Probability of each transform; the initial value if target is set."""
    over: Annotated[int, Range(1, 10**12, "images")] = 500_000
    """Number of images in which the controller can raise the probability from 0 to 1."""
    every: Annotated[int, Range(1, 1024, "steps")] = 4
    """Interval between updates of the probability."""
    flip: Annotated[float, Share] = 1.0
    """Mirrors the image horizontally in half of the cases."""
    turn: Annotated[float, Share] = 1.0
    """Rotates by a random multiple of 90 degrees; of 180 degrees if the image is not square."""
    shift: Annotated[float, Share] = 1.0
    """Translates by up to an eighth of each side, in whole pixels."""
    scale: Annotated[float, Share] = 1.0
    """Scales by 2^(0.2 N), with N a standard normal number."""
    rotate: Annotated[float, Share] = 1.0
    """Rotates by a random angle, before the stretching, after the stretching or both."""
    stretch: Annotated[float, Share] = 1.0
    """Scales the width by 2^(0.2 N) and the height by the inverse."""
    slide: Annotated[float, Share] = 1.0
    """Translates by N eighths of each side, in fractions of a pixel."""
    brightness: Annotated[float, Share] = 1.0
    """Adds 0.1 N to all channels."""
    contrast: Annotated[float, Share] = 1.0
    """Multiplies the distance from mid-grey by 2^(0.5 N)."""
    invert: Annotated[float, Share] = 1.0
    """Mirrors the brightness at mid-grey and keeps the colour, in half of the cases; inverts a grey image."""
    hue: Annotated[float, Share] = 1.0
    """Rotates the hue by a random angle. Colour images only."""
    saturation: Annotated[float, Share] = 1.0
    """Multiplies the distance from grey by 2^N. Colour images only."""
    cutout: Annotated[float, Share] = 0.0
    """Sets a rectangle of half of each side to mid-grey."""

    def check(self) -> None:
        unused = () if self.target else ("over", "every")
        unused = unused if self.active else tuple(field.name for field in dataclasses.fields(self))
        for field in dataclasses.fields(self):
            if field.name in unused and getattr(self, field.name) != field.default:
                missing = "target is 0" if self.active else "target and probability are 0"
                raise SettingError(f"{family(self)}: {field.name} = {getattr(self, field.name)} has no effect, because {missing}")
        if not self._has(GATES):
            names = ", ".join(dict.fromkeys(map(_field, GATES)))
            raise SettingError(f"{family(self)}: all transforms are 0; set at least one above 0: {names}")

    @property
    def active(self) -> bool:
        """Whether images can be changed: target or probability is above 0."""
        return bool(self.target or self.probability)

    @property
    def draws(self) -> int:
        """Number of uniform random numbers for one image."""
        return len(GATES) + AMOUNTS

    def __call__(self, images: Images, uniform: Float[Tensor, "n u"], probability: Scalar) -> Images:
        """`images` transformed by their rows of `uniform` numbers in [0, 1), `draws` in each row; in float32.

        With a `probability` of 0, images are unchanged. Raises SettingError for colour transforms of images with more than 4 channels.
        """
        with torch.autocast(images.device.type, enabled=False):
            x = images if images.dtype == torch.float64 else images.float()
            u = uniform.to(x)
            on = _Gates(u[:, : len(GATES)] < self._chances(probability.to(x)), dict(zip(GATES, range(len(GATES)), strict=True)))
            amounts = u[:, len(GATES) :].unbind(1)
            if self._has(EXACT):
                x = _changed(x, on.any(EXACT), _source(x, on, amounts[:4]), _gather)
            if self._has(WARPED):
                x = _changed(x, on.any(WARPED), _maps(x, on, amounts[4:10]), warp)
            if self._has(COLOURED):
                x = _changed(x, on.any(COLOURED), _colours(x, on, amounts[10:15]), _recolour)
            return torch.where(_hole(x, on, amounts[15:]), 0.5, x) if self.cutout else x

    def _chances(self, probability: Scalar) -> Float[Tensor, " g"]:
        """The probability of each transform. The two rotations are scaled so that at least one has the probability of other transforms."""
        chances = probability * probability.new_tensor([self._share(gate) for gate in GATES])
        twice = torch.tensor([_field(gate) == "rotate" for gate in GATES], device=chances.device)
        return torch.where(twice, 1 - (1 - chances).clamp_min(0).sqrt(), chances)

    def _has(self, gates: tuple[str, ...]) -> bool:
        return any(map(self._share, gates))

    def _share(self, gate: str) -> float:
        return getattr(self, _field(gate))


def _field(gate: str) -> str:
    """Name of the setting of a transform."""
    return gate.removesuffix(" again")


@dataclasses.dataclass(frozen=True)
class _Gates:
    """The transforms that are applied to each image."""

    open: Bool[Tensor, "n g"]
    place: dict[str, int]

    def any(self, names: tuple[str, ...]) -> Bool[Tensor, " n"]:
        """For each image, whether any of the transforms called `names` is applied."""
        return self.open[:, [self.place[name] for name in names]].any(dim=1)

    def __call__(self, name: str, value: PerImage, *, otherwise: float = 0.0) -> PerImage:
        """`value` for images to which the transform called `name` is applied, the neutral value `otherwise` for others."""
        return torch.where(self.open[:, self.place[name]], value, otherwise)


def _changed(images: Images, chosen: Bool[Tensor, " n"], matrix: Tensor, change: Callable[[Images, Tensor], Images]) -> Images:
    """`images` with `change` applied to the `chosen` ones; the others are not computed and stay bit-identical."""
    which = chosen.nonzero().squeeze(1)
    if not len(which):
        return images
    return images.index_copy(0, which, change(images[which], matrix[which]))


def _source(images: Images, on: _Gates, u: tuple[PerImage, ...]) -> Int64[Tensor, "n p"]:
    """For each output pixel, the index of its source pixel after flip, rotation by multiples of 90 degrees and shift."""
    h, w = images.shape[2:]
    quarters = on("turn", (4 * u[1]).floor() if h == w else 2 * (2 * u[1]).floor()).long()[:, None, None]
    down, right = (on("shift", ((2 * v - 1) * side / 8).round()).long() for v, side in ((u[2], h), (u[3], w)))
    y, x = (mirrored(torch.arange(side, device=images.device) - offset[:, None], side) for side, offset in ((h, down), (w, right)))
    y, x = y[:, :, None].expand(-1, h, w), x[:, None, :].expand(-1, h, w)
    odd = quarters % 2 == 1
    row, column = torch.where(odd, x, y), torch.where(odd, y, x)
    row = torch.where(quarters >= 2, h - 1 - row, row)
    over = ((quarters == 1) | (quarters == 2)) ^ (on("flip", u[0]) >= 0.5)[:, None, None]
    return (torch.where(over, w - 1 - column, column) + w * row).flatten(1)


def _gather(images: Images, source: Int64[Tensor, "n p"]) -> Images:
    return images.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1)).reshape(images.shape)


def _maps(images: Images, on: _Gates, u: tuple[PerImage, ...]) -> Float[Tensor, "n 2 3"]:
    """The inverse affine maps of scaling, rotating, stretching, rotating and sliding: output pixel to source pixel."""
    h, w = images.shape[2:]
    scale, wide = (on(gate, 2 ** (0.2 * _normal(v)), otherwise=1.0) for gate, v in (("scale", u[0]), ("stretch", u[2])))
    first, second = (on(gate, math.pi * (2 * v - 1)) for gate, v in (("rotate", u[1]), ("rotate again", u[3])))
    right, down = (on("slide", _normal(v) * side / 8) for v, side in ((u[4], w), (u[5], h)))
    squeeze = torch.stack([1 / (scale * wide), wide / scale], dim=1).diag_embed()
    stretched = _rotation(-first) @ squeeze @ _rotation(-second)
    return torch.cat([stretched, -stretched @ torch.stack([right, down], dim=1)[:, :, None]], dim=2)


def _rotation(angle: PerImage) -> Float[Tensor, "n 2 2"]:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)


def _colours(images: Images, on: _Gates, u: tuple[PerImage, ...]) -> Float[Tensor, "n k _k"]:
    """Colour matrix and offset of each image, over 3 channels or 1 for grey; opacity is unchanged.

    With v the grey axis: contrast * (invert v vT + saturation (cos hue (1 - v vT) + sin hue [v]x)), around mid-grey.
    """
    light = on("brightness", 0.1 * _normal(u[0]))
    contrast = on("contrast", 2 ** (0.5 * _normal(u[1])), otherwise=1.0)
    sign = on("invert", 1 - 2 * (u[2] >= 0.5).to(images), otherwise=1.0)
    angle, vivid = on("hue", math.pi * (2 * u[3] - 1)), on("saturation", 2 ** _normal(u[4]), otherwise=1.0)
    count = _coloured(images)
    grey = images.new_full((count, count), 1 / count)
    rest = torch.eye(count).to(images) - grey
    cross = images.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3) if count == 3 else torch.zeros_like(grey)
    sign_, cos, sin, vivid_, contrast_ = (v[:, None, None] for v in (sign, angle.cos(), angle.sin(), vivid, contrast))
    matrix = contrast_ * (sign_ * grey + vivid_ * (cos * rest + sin * cross))
    offset = 0.5 + contrast * sign * (light - 0.5)
    return torch.cat([matrix, offset[:, None, None].expand(-1, count, 1)], dim=2)


def _recolour(images: Images, colours: Float[Tensor, "n k _k"]) -> Images:
    matrix, offset = colours[:, :, :-1], colours[:, :, -1:, None]
    count = len(matrix[0])
    painted = linear_map(
        images[:, :count],
        lambda x: (matrix @ x.flatten(2)).reshape(x.shape),
        lambda x: (matrix.mT @ x.flatten(2)).reshape(x.shape),
    )
    return torch.cat([painted + offset, images[:, count:]], dim=1)


def _coloured(images: Images) -> int:
    """Number of colour channels, without opacity. Raises SettingError for more than 4 channels."""
    channels = images.shape[1]
    if channels > 4:
        raise SettingError(
            f"adaptive: the colours of {channels} channels are unknown; set brightness, contrast, invert, hue and saturation to 0"
        )
    return 3 if channels >= 3 else 1


def _hole(images: Images, on: _Gates, u: tuple[PerImage, ...]) -> Bool[Tensor, "n 1 h w"]:
    """Mask of the pixels that cutout replaces."""
    inside = []
    for centre, length in zip(u, images.shape[2:], strict=True):
        place = (torch.arange(length).to(images) + 0.5) / length
        inside.append((place - centre[:, None]).abs() < 0.25)
    return (inside[0][:, :, None] & inside[1][:, None, :] & on.any(("cutout",))[:, None, None])[:, None]


def _normal(uniform: PerImage) -> PerImage:
    """Standard normal numbers from uniform ones, limited to 5 standard deviations."""
    return math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6))

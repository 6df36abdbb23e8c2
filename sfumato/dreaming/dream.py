"""DeepDream and feature visualisation: a picture, or noise, is changed to raise the activation of a network's layers.

pixels    picture ─ octaves, small to large ─ [jitter ─ slope ─ bands evened ─ step] x steps ─ the change is carried to the next
          (Mordvintsev et al. 2015, https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
fourier   spectrum ─ image ─ turned, enlarged and shifted at random ─ slope ─ Adam on the spectrum
          (Olah et al. 2017, https://doi.org/10.23915/distill.00007)

Every image is dreamed alone, so it does not depend on the others of a batch.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from torch.nn import functional as F

from sfumato.core import atomic_io
from sfumato.core.config import Range, settings
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import Precision, select_precision
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.finite_output import finite
from sfumato.core.json_value import Facts
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Other, Planes, Scalar, size_text
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.dreaming.gradient import Ascent
from sfumato.dreaming.objective import WHOLE, check_fits, guided, parse_objective
from sfumato.io.inputs import PictureInput, brightness, images_of, input_facts
from sfumato.nn.bands import equalize_bands_
from sfumato.nn.resample import resize
from sfumato.nn.spectrum import Spectrum
from sfumato.store.loaded import Model

RATE = 1.5 / 255
"""Mean change of a pixel in a step, as a share of full scale: that of the first DeepDream."""
LEARN = 0.05
"""Learning rate of Adam on a spectrum."""
PIECE = 384
"""Side of the tiles of large pictures, in pixels."""
SMALLEST = 32
"""Least side of an octave, in pixels, unless the picture itself is smaller."""
PULL = 0.05
"""Share of the distance to the picture by which each step returns to it, with `alpha`."""
TURN, GROW, SHIFT = 10.0, 0.1, 8.0
"""Greatest angle in degrees, enlargement and shift in pixels of the random transformations of an image from its spectrum."""


@settings
class Dream:
    """Settings of a dream."""

    layers: tuple[str, ...] = ()
    """What to show more of: fire7, fire7=0.5 (a weight), fire8:12,40 (channels), fire8:12@3,4 (a place); by default one in the middle."""
    label: str = ""
    """A class to show, by name or number, instead of layers or beside them."""
    space: Literal["auto", "pixels", "fourier"] = "auto"
    """What moves: the pixels, in octaves, or the spectrum, which stays smooth; auto is the first for a picture, the second from noise."""
    strength: Annotated[float, Range(0, 100)] = 1.0
    """Size of the steps; 1 changes a pixel by 1.5 of 255 on average."""
    steps: Annotated[int, Range(0, 100_000, "steps")] = 0
    """Steps in each octave, or in all of a spectrum; 0 for 10 or 256."""
    octaves: Annotated[int, Range(1, 16, "sizes")] = 4
    """How many sizes are dreamed in, small to large: large forms first, then details."""
    ratio: Annotated[float, Range(1.05, 4)] = 1.4
    """From one size to the next."""
    jitter: Annotated[int, Range(0, 1024, "pixels")] = 32
    """The picture is shifted by up to so many before each step, so that no grid shows."""
    bands: Annotated[int, Range(1, 10, "octaves")] = 4
    """Frequency bands of the slope that are made equally strong: 1 leaves it rough, more gives larger, smoother forms."""
    variation: Annotated[float, Range(0, 10)] = 0.0
    """Weight of total variation, which makes neighbours equal, as a share of the slope."""
    alpha: Annotated[float, Range(0, 1000)] = 0.0
    """Stay as near to the picture as can be, with so many times its own activation; 0 for as far as the steps lead."""
    tile: Annotated[int, Range(0, 100_000, "pixels")] = 0
    """About how many pixels a side are computed at once; 0 for as many as fit."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """Of the jitter, and of the noise where there is no picture."""
    precision: Precision = "auto"
    """bf16 takes about half the time where the hardware has it."""


class Moment(NamedTuple):
    """The state of a dream after a step."""

    step: int
    steps: int
    amount: float
    """Value of the objectives before the step."""
    image: Images
    """The image after the step; the next step may change it in place."""


Tell = Callable[[Moment], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dreamt:
    """The result of dreams."""

    images: Images
    """In [0, 1], on the CPU."""
    before: tuple[float, ...]
    """Value of the objectives for each image at the start."""
    after: tuple[float, ...]
    """Value of the objectives for each image at the end."""
    network: DreamNetwork | None = dataclasses.field(default=None, repr=False, compare=False)
    options: Dream | None = None
    """The settings, all of them decided; the seed is that of the first image."""
    facts: Facts = dataclasses.field(default_factory=dict)
    """The inputs of the dream, for its recipe: picture, size, guide, mask, generator."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes one image as a picture, or each image into a folder, with its recipe as .json beside it. Returns the paths.

        Raises SettingError for the ending of another kind of file, and for a file that is not to be replaced.
        """
        from sfumato.dreaming.saving import save_dreams  # which reads recipes that name the settings above

        return save_dreams(self, Path(path), overwrite=overwrite)


@renamed_arguments(tell="on_progress")
def dream(
    pictures: PictureInput | None = None,
    network: Model | DreamNetwork | None = None,
    options: Dream | None = None,
    *,
    size: tuple[int, int] = (224, 224),
    n: int = 1,
    guide: PictureInput | None = None,
    mask: PictureInput | None = None,
    device: str = "auto",
    on_progress: Tell = lambda _: None,
) -> Dreamt:
    """Dreams of pictures, each alone, or of `n` images of `size` from noise, with seeds from `options.seed` on.

    The result has `save(path)`. `pictures` is a path, bytes, an open file, a PIL image, an array, or a tensor (c, h, w) or (n, c, h, w) in
    [0, 1]; `guide` and `mask` are pictures of any of these kinds. `network` is a name such as squeezenet or vgg16, a model file, or a
    module that takes images in [0, 1].
    With a `guide`, the activations of that picture are the goal; with a `mask`, only bright places change. `on_progress` is called after
    each step. `device` is for a network given by name; a module stays where it is. Raises SettingError for an unknown layer, channel or
    class, ImageError for pictures, guides or masks that do not fit.
    """
    options = options or Dream()
    facts = _facts(pictures, size) | input_facts(guide=guide, mask=mask)
    images = None if pictures is None else _checked(pictures)
    guide = None if guide is None else images_of(guide, noun="guide")
    mask = None if mask is None else brightness(mask)
    seeing = network if isinstance(network, DreamNetwork) else dream_network(network, device=device)
    _check_start(images, n, options, mask)
    seeds = [options.seed + i for i in range(n)] if images is None else [options.seed] * len(images)
    starts = [noise(size, seeing.channels, seed) for seed in seeds] if images is None else list(images.split(1))
    size = size if images is None else (images.shape[2], images.shape[3])
    options = resolved(options, seeing, fresh=images is None)
    _check_mask(mask, size, options)
    ascent = layer_ascent(seeing, options, size, guide)
    plane = None if mask is None else mask.reshape(1, 1, *size).float().to(seeing.device)
    pairs = counted(list(zip(starts, seeds, strict=True)), "images")
    dreams = [_one(start, ascent, options, seed, plane, fresh=images is None, on_progress=on_progress) for start, seed in pairs]
    results, before, after = zip(*dreams, strict=True)
    whole = torch.cat(results) if len(dreams) > 1 else dreams[0][0]
    return Dreamt(images=whole, before=before, after=after, network=seeing, options=options, facts=facts)


def _check_start(images: Images | None, n: int, options: Dream, mask: Other | None) -> None:
    """Raises SettingError for a dream from noise with a mask or `alpha`, or of no image."""
    if images is None and (mask is not None or options.alpha):
        raise SettingError("mask and alpha are about a picture; give one")
    if images is None and n < 1:
        raise SettingError(f"n = {n} dreams must be at least 1")


def _check_mask(mask: Other | None, size: tuple[int, int], options: Dream) -> None:
    """Raises ImageError for a mask of another size, SettingError for options that have no effect on a spectrum."""
    if mask is not None and (mask.shape[-2:] != size or mask.numel() != math.prod(size)):
        planes = mask.numel() // max(1, math.prod(mask.shape[-2:]))
        its = f"{size_text(mask.shape[-2:])} pixels{f' in {planes} planes' if planes != 1 else ''}"
        raise ImageError(f"the mask is {its}, the picture {size_text(size)} pixels; they must be one plane of the same size")
    if options.space == "fourier" and (options.variation or options.alpha):
        raise SettingError("variation and alpha have no effect on a spectrum; leave them at 0, or take space = 'pixels'")


def _one(
    start: Images, ascent: Ascent, options: Dream, seed: int, mask: Planes | None, *, fresh: bool, on_progress: Tell
) -> tuple[Images, float, float]:
    """The dream of one image, on the CPU, and the value of its objective before and after. Raises ImageError if it is not finite."""
    x = start.to(ascent.network.device)
    before = ascent.amount(x)
    if options.space == "fourier":
        image = _in_waves(x, ascent, options, seed, mask, fresh=fresh, on_progress=on_progress)
    else:
        image = in_octaves(x, ascent, options, seed, mask=mask, on_progress=on_progress)
    return finite(image.cpu(), ascent.network.name), before, ascent.amount(image)


def resolved(options: Dream, seeing: DreamNetwork, *, fresh: bool) -> Dream:
    """`options` with all automatic choices made, for dreams from noise (`fresh`) or from pictures."""
    space = ("fourier" if fresh else "pixels") if options.space == "auto" else options.space
    return dataclasses.replace(options, space=space, precision=select_precision(options.precision, seeing.device))


def layer_ascent(seeing: DreamNetwork, options: Dream, size: tuple[int, int], guide: Other | None = None) -> Ascent:
    """The objectives of a dream of images of `size`, with their gradient.

    Raises SettingError for an unknown layer, channel or class, ImageError for a size that a layer cannot take.
    """
    label = seeing.class_number(options.label) if options.label else None
    named = options.layers or (() if options.label else (seeing.usual,))
    wishes = [parse_objective(each, seeing) for each in named]
    check_fits(wishes, size, seeing)
    if guide is not None:
        if guide.shape[1] not in (1, seeing.channels) or (seeing.channels == 1 and guide.shape[1] != 1):
            raise ImageError(f"the guide has {guide.shape[1]} channels, {seeing.name} looks at {seeing.channels}; convert it first")
        if not wishes:
            raise SettingError("a guide is compared in a layer; name one beside the class")
        if len(guide) != 1:
            raise ImageError(f"one guide is compared with, not {len(guide)}")
        check_fits(wishes, (guide.shape[2], guide.shape[3]), seeing, noun="the guide")
        wishes = guided(wishes, guide.to(seeing.device), seeing)
    # Tiles let 12 megapixels fit into 2 GB with SqueezeNet; a layer that depends on the whole image takes it whole.
    pieces = max(size) > WHOLE and all(each.layer.start is not None for each in wishes)
    ascent = Ascent(
        network=seeing, objectives=wishes, label=label, tile=options.tile or (PIECE if pieces else None), precision=options.precision
    )
    ascent.check(size)
    if max(size) <= WHOLE and (why := ascent.refused(size)):
        raise ImageError(f"{seeing.name} cannot be shown a picture of {size_text(size)} pixels ({why})")
    return ascent


def noise(size: tuple[int, int], channels: int, seed: int) -> Images:
    """The start of a dream without a picture: faint noise with the spectrum of photographs."""
    return Spectrum(size, channels, seeded_generator(seed, "dream"))().detach()


def in_octaves(
    picture: Images,
    ascent: Ascent,
    options: Dream,
    seed: int,
    *,
    mask: Planes | None = None,
    carried: Images | None = None,
    on_progress: Tell = lambda _: None,
) -> Images:
    """The picture after a dream in pixels. `carried` is the change by an earlier dream, from which this one continues.

    Raises SettingError for an `alpha` with a picture that has no activation.
    """
    if any(each.place is not None for each in ascent.objectives):
        # A place has fixed coordinates: in another size, or shifted, another part of the picture would lie there.
        options = dataclasses.replace(options, octaves=1, jitter=0)
    if options.alpha and (there := ascent.amount(picture)) <= 0:
        raise SettingError(f"alpha = {options.alpha:g} multiplies the activation of the picture, which is {there:.3g}; leave alpha at 0")
    rng, steps = seeded_generator(seed, "jitter"), options.steps or 10
    sizes = list(octaves((picture.shape[2], picture.shape[3]), options, lambda small: not ascent.refused(small)))
    detail, x = None, picture
    for number, size in enumerate(sizes):
        whole = size == tuple(picture.shape[2:])
        base = picture if whole else resize(picture, size).clamp_(0, 1)
        begun = base if carried is None else base + (carried if whole else resize(carried, size))
        x = (begun.clone() if detail is None else resize(detail, size).add_(begun)).clamp_(0, 1)
        own = None if mask is None else mask if whole else resize(mask, size).clamp_(0, 1)
        if detail is not None and own is not None:
            x = begun + (x - begun) * own
        detail = None  # of a large picture it is large
        for step, amount in enumerate(_climb(x, base, ascent, options, rng, own, steps), number * steps + 1):
            on_progress(Moment(step, steps * len(sizes), amount, x))
        detail = None if whole else x - begun
    return x


def _climb(
    x: Images, base: Images, ascent: Ascent, options: Dream, rng: torch.Generator, mask: Planes | None, steps: int
) -> Iterator[float]:
    """Changes `x` in place in so many steps, and yields after each the value of the objectives before it.

    With `alpha`, `x` ends as the image nearest to `base` whose value is high enough, if there was one.
    """
    enough = options.alpha * ascent.amount(base) if options.alpha else math.inf
    nearest: tuple[float, Images] | None = None
    for _ in range(steps):
        amount, step = _step(x, ascent, options, rng, mask)
        if options.alpha:
            if amount >= enough and (nearest is None or _distance(x, base) < nearest[0]):
                nearest = _distance(x, base), x.clone()
            # The slope of a penalty on distance, and that of one on falling short: the second vanishes where there is enough.
            x.lerp_(base, PULL)
        if amount < enough:
            x.add_(step).clamp_(0, 1)
        yield amount
    if nearest:
        x.copy_(nearest[1])


def octaves(size: tuple[int, int], options: Dream, possible: Callable[[tuple[int, int]], bool]) -> Iterator[tuple[int, int]]:
    """The sizes of the octaves, small to large, without those that are tiny or that the network cannot take."""
    begun = False
    for i in reversed(range(options.octaves)):
        small = max(1, round(size[0] / options.ratio**i)), max(1, round(size[1] / options.ratio**i))
        begun = begun or i == 0 or (min(small) >= SMALLEST and possible(small))
        if begun:
            yield small


def _step(x: Images, ascent: Ascent, options: Dream, rng: torch.Generator, mask: Planes | None) -> tuple[float, Images]:
    """The value of the objectives, and the change of the pixels that raises it."""
    shift = torch.randint(-options.jitter, options.jitter + 1, (2,), generator=rng).tolist() if options.jitter else [0, 0]
    amount, slope = ascent.slope(x.roll(shift, (2, 3)) if any(shift) else x)
    if not slope.any():
        return amount, slope
    # In place where possible: each copy of a large picture is large.
    slope = equalize_bands_(slope, options.bands) if options.bands > 1 else slope
    slope /= _size(slope)
    if any(shift):
        for plane in slope.unbind(dim=1):
            plane.copy_(plane.roll([-each for each in shift], (1, 2)))
    if options.variation:
        rough = roughness(x)
        slope -= rough.mul_(options.variation / _size(rough).clamp_min(1e-9))
    slope *= RATE * options.strength
    return amount, slope if mask is None else slope.mul_(mask)


def _size(x: Images) -> Scalar:
    """The mean of the absolute values."""
    return torch.linalg.vector_norm(x, 1) / x.numel()


def roughness(x: Images) -> Images:
    """The slope of the total variation, sum sqrt(dx^2 + dy^2), of each image."""
    right, below = F.pad(x.diff(dim=3), (0, 1)), F.pad(x.diff(dim=2), (0, 0, 0, 1))
    length = (right.square() + below.square() + 1e-6).sqrt_()
    right, below = right.div_(length), below.div_(length)
    return F.pad(right, (1, 0))[..., :-1] - right + F.pad(below, (0, 0, 1, 0))[..., :-1, :] - below


def _in_waves(start: Images, ascent: Ascent, options: Dream, seed: int, mask: Planes | None, *, fresh: bool, on_progress: Tell) -> Images:
    """The image after a dream in its spectrum."""
    rng, steps = seeded_generator(seed, "robust"), options.steps or 256
    size = (start.shape[2], start.shape[3])
    spectrum = Spectrum(size, start.shape[1], seeded_generator(seed, "dream")).to(start.device)
    if not fresh:
        spectrum = spectrum.set_image(start)
    # Adam's step is relative to the size of a weight, and the weights of a picture's spectrum differ in size.
    optimiser = torch.optim.Adam(spectrum.parameters(), lr=LEARN * options.strength * (1.0 if fresh else 0.2))
    x = start
    for done in range(1, steps + 1):
        with torch.enable_grad():
            x = spectrum()
            if mask is not None:
                x = torch.lerp(start, x, mask)
            shown = shaken(x, rng)
            amount, slope = ascent.slope(shown.detach())
            optimiser.zero_grad()
            shown.backward(-slope)
        optimiser.step()
        on_progress(Moment(done, steps, amount, x.detach()))
    with torch.no_grad():
        x = spectrum()
        return x if mask is None else torch.lerp(start, x, mask)


def shaken(images: Images, rng: torch.Generator) -> Images:
    """All images turned, enlarged and shifted by one random transformation, so that no pattern of single pixels survives."""
    turn, grow, dx, dy = (torch.rand(4, generator=rng) * 2 - 1).tolist()
    angle, scale = math.radians(TURN * turn), 1 + GROW * grow
    h, w = images.shape[2:]
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = [[cos, -sin * h / w, 2 * SHIFT * dx / w], [sin * w / h, cos, 2 * SHIFT * dy / h]]
    grid = F.affine_grid(torch.tensor([matrix], device=images.device).expand(len(images), -1, -1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _facts(pictures: PictureInput | None, size: tuple[int, int]) -> Facts:
    """The start of a dream, for its recipe: a picture, with name and SHA-256 if it is a file, or the size of the noise."""
    if pictures is None:
        return {"size": size}
    if not isinstance(pictures, str | Path):
        return {"picture": ""}
    return {"picture": Path(pictures).name, "sha256": atomic_io.digest(Path(pictures).expanduser())}


def _checked(pictures: PictureInput) -> Images:
    images = images_of(pictures)
    if images.shape[1] not in (1, 3):
        raise ImageError(f"{tuple(images.shape)} is not pictures (n, c, h, w) in [0, 1], grey or coloured")
    return images


def _distance(x: Images, base: Images) -> float:
    """Mean squared difference."""
    return (x - base).square().mean().item()

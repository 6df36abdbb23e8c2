"""DeepDream and feature visualisation: a picture, or noise, made to show more of what a network's layers respond to.

pixels    picture ─ octaves, small to large ─ [jitter ─ slope ─ bands evened ─ step] x steps ─ what was added is carried to the next
          (Mordvintsev et al. 2015, https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
fourier   spectrum ─ image ─ turned, enlarged and shifted at random ─ slope ─ Adam on the spectrum
          (Olah et al. 2017, https://doi.org/10.23915/distill.00007)

Every image is dreamed by itself, so it is the same in any company.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import Precision, select_precision
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.finite_output import finite
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Other, Planes, Scalar, size_text
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.dreaming.gradient import Ascent
from sfumato.dreaming.objective import WHOLE, check_fits, guided, parse_objective
from sfumato.nn.bands import evened_
from sfumato.nn.resample import resize
from sfumato.nn.spectrum import Spectrum
from sfumato.store.loaded import Model

RATE = 1.5 / 255
"""Mean change of a pixel in a step, as a share of full scale: the first DeepDream's."""
LEARN = 0.05
"""Adam's step on a spectrum."""
PIECE = 384
"""Side of the pieces in which large pictures are taken."""
SMALLEST = 32
"""Shortest side that is dreamed in, but for pictures that are smaller."""
PULL = 0.05
"""Share of the way back to the picture that is gone in each step of a dream that is to stay near it."""
TURN, GROW, SHIFT = 10.0, 0.1, 8.0
"""Degrees, share and pixels by which an image that is made from its spectrum is turned, enlarged and shifted at most."""


@settings
class Dream:
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
    """Where a dream is."""

    step: int
    steps: int
    amount: float
    """How far the wishes are fulfilled."""
    image: Images
    """As it is now; the next step may change it in place."""


Tell = Callable[[Moment], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dreamt:
    """What came of it."""

    images: Images
    """In [0, 1], on the CPU."""
    before: tuple[float, ...]
    """Of each image, how far the wishes were fulfilled at the start."""
    after: tuple[float, ...]


@renamed_arguments(tell="on_progress")
def dream(
    pictures: Images | None = None,
    network: Model | DreamNetwork | None = None,
    options: Dream | None = None,
    *,
    size: tuple[int, int] = (224, 224),
    n: int = 1,
    guide: Other | None = None,
    mask: Other | None = None,
    device: str = "auto",
    on_progress: Tell = lambda _: None,
) -> Dreamt:
    """Dreams of pictures (n, c, h, w) in [0, 1], each by itself, or of `n` images of `size` from noise of the seeds from `how.seed` on.

    `network` is a name such as squeezenet or vgg16, a model file, or a module that takes images in [0, 1]. With a `guide` picture its
    layers decide what is shown; with a `mask`, 1 where to dream, the rest stays. `on_progress` is called after each step. Raises
    SettingError for a wish that the network cannot see, ImageError for pictures, guides or masks that do not fit. `device` is for a network
    that is named; others are asked where they are.
    """
    options = options or Dream()
    seeing = network if isinstance(network, DreamNetwork) else dream_network(network, device=device)
    if pictures is None:
        if mask is not None or options.alpha:
            raise SettingError("mask and alpha are about a picture; give one")
        if n < 1:
            raise SettingError(f"n = {n} dreams must be at least 1")
        starts = [noise(size, seeing.channels, options.seed + i) for i in range(n)]
        seeds = [options.seed + i for i in range(n)]
    else:
        starts, seeds = list(_checked(pictures).split(1)), [options.seed] * len(pictures)
        size = (pictures.shape[2], pictures.shape[3])
    options = resolved(options, seeing, fresh=pictures is None)
    if mask is not None and (mask.shape[-2:] != size or mask.numel() != math.prod(size)):
        raise ImageError(f"the mask is {tuple(mask.shape)}, the picture {size_text(size)} pixels; they must be the same")
    if options.space == "fourier" and (options.variation or options.alpha):
        raise SettingError("variation and alpha have no effect on a spectrum; leave them at 0, or take space = 'pixels'")
    ascent = layer_ascent(seeing, options, size, guide)
    where, made, before, after = seeing.device, [], [], []
    for start, seed in counted(list(zip(starts, seeds, strict=True)), "images"):
        x = start.to(where)
        own = None if mask is None else mask.reshape(1, 1, *size).float().to(where)
        before.append(ascent.amount(x))
        if options.space == "fourier":
            done = _in_waves(x, ascent, options, seed, own, fresh=pictures is None, on_progress=on_progress)
        else:
            done = in_octaves(x, ascent, options, seed, mask=own, on_progress=on_progress)
        after.append(ascent.amount(done))
        made.append(finite(done.cpu(), seeing.name))
    return Dreamt(images=torch.cat(made) if len(made) > 1 else made[0], before=tuple(before), after=tuple(after))


def resolved(options: Dream, seeing: DreamNetwork, *, fresh: bool) -> Dream:
    """`options` with what it leaves open decided, for dreams from noise if `fresh`."""
    space = ("fourier" if fresh else "pixels") if options.space == "auto" else options.space
    return dataclasses.replace(options, space=space, precision=select_precision(options.precision, seeing.device))


def layer_ascent(seeing: DreamNetwork, options: Dream, size: tuple[int, int], guide: Other | None = None) -> Ascent:
    """What a dream of images of `size` climbs.

    Raises SettingError for what the network cannot see, ImageError for what the size cannot show.
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
    # So that 12 megapixels fit into 2 GB with SqueezeNet; a layer that sees all is shown all.
    pieces = max(size) > WHOLE and all(each.layer.start is not None for each in wishes)
    ascent = Ascent(
        network=seeing, objectives=wishes, label=label, tile=options.tile or (PIECE if pieces else None), precision=options.precision
    )
    ascent.check(size)
    if max(size) <= WHOLE and (why := ascent.refused(size)):
        raise ImageError(f"{seeing.name} cannot be shown a picture of {size_text(size)} pixels ({why})")
    return ascent


def noise(size: tuple[int, int], channels: int, seed: int) -> Images:
    """What a dream begins with where there is no picture: faint noise with the spectrum of photographs."""
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
    """The picture after a dream in pixels. `carried` is what an earlier dream has added to it, from which this one goes on.

    Raises SettingError where `alpha` asks for a multiple of what is not there.
    """
    if any(each.place is not None for each in ascent.objectives):
        # A place is where it is: in another size, or shifted, another part of the picture would lie there.
        options = dataclasses.replace(options, octaves=1, jitter=0)
    if options.alpha and (there := ascent.amount(picture)) <= 0:
        raise SettingError(f"alpha asks for {options.alpha:g} times what is there, and that is {there:.3g}; leave it at 0")
    rng, steps, done = seeded_generator(seed, "jitter"), options.steps or 10, 0
    sizes = list(octaves((picture.shape[2], picture.shape[3]), options, lambda small: not ascent.refused(small)))
    detail, x = None, picture
    for size in sizes:
        whole = size == tuple(picture.shape[2:])
        base = picture if whole else resize(picture, size).clamp_(0, 1)
        begun = base if carried is None else base + (carried if whole else resize(carried, size))
        x = (begun.clone() if detail is None else resize(detail, size).add_(begun)).clamp_(0, 1)
        where = None if mask is None else mask if whole else resize(mask, size).clamp_(0, 1)
        if detail is not None and where is not None:
            x = begun + (x - begun) * where
        detail = None
        enough = options.alpha * ascent.amount(base) if options.alpha else math.inf
        nearest: tuple[float, Images] | None = None
        for _ in range(steps):
            amount, step = _step(x, ascent, options, rng, where)
            if options.alpha:
                if amount >= enough and (nearest is None or _far(x, base) < nearest[0]):
                    nearest = _far(x, base), x.clone()
                # The slope of a penalty on distance, and that of one on falling short: the second vanishes where there is enough.
                x.lerp_(base, PULL)
            if amount < enough:
                x.add_(step).clamp_(0, 1)
            done += 1
            on_progress(Moment(done, steps * len(sizes), amount, x))
        x = nearest[1] if nearest else x
        detail = None if whole else x - begun
    return x


def octaves(size: tuple[int, int], options: Dream, possible: Callable[[tuple[int, int]], bool]) -> Iterator[tuple[int, int]]:
    """The sizes that are dreamed in, small to large; those that are tiny, or not possible, are left out."""
    begun = False
    for i in reversed(range(options.octaves)):
        small = max(1, round(size[0] / options.ratio**i)), max(1, round(size[1] / options.ratio**i))
        begun = begun or i == 0 or (min(small) >= SMALLEST and possible(small))
        if begun:
            yield small


def _step(x: Images, ascent: Ascent, options: Dream, rng: torch.Generator, mask: Planes | None) -> tuple[float, Images]:
    """How far the wishes are fulfilled, and the change of the pixels that leads farther."""
    shift = torch.randint(-options.jitter, options.jitter + 1, (2,), generator=rng).tolist() if options.jitter else [0, 0]
    amount, slope = ascent.slope(x.roll(shift, (2, 3)) if any(shift) else x)
    if not slope.any():
        return amount, slope
    # From here on in place where it can be: of a large picture each copy is large.
    slope = evened_(slope, options.bands) if options.bands > 1 else slope
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
        spectrum = spectrum.become(start)
    # Adam's step is a share of the size of a weight, which of a picture's spectrum is another for each.
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
    """Turned, enlarged and shifted a little, at random and all the same: what stays then is no trick of single pixels."""
    turn, grow, dx, dy = (torch.rand(4, generator=rng) * 2 - 1).tolist()
    angle, scale = math.radians(TURN * turn), 1 + GROW * grow
    h, w = images.shape[2:]
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = [[cos, -sin * h / w, 2 * SHIFT * dx / w], [sin * w / h, cos, 2 * SHIFT * dy / h]]
    grid = F.affine_grid(torch.tensor([matrix], device=images.device).expand(len(images), -1, -1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _checked(pictures: object) -> Images:
    if (
        not isinstance(pictures, Tensor)
        or pictures.ndim != 4
        or not pictures.numel()
        or not pictures.is_floating_point()
        or pictures.shape[1] not in (1, 3)
    ):
        shape = tuple(pictures.shape) if isinstance(pictures, Tensor) else type(pictures).__name__
        raise ImageError(f"{shape} is not pictures (n, c, h, w) in [0, 1], grey or coloured; read files with sfumato.read")
    return pictures.detach().float()


def _far(x: Images, base: Images) -> float:
    return (x - base).square().mean().item()

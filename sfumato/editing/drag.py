"""Points of an image dragged to where they should be, by a search among the styles: what comes out is still an image of the generator.

Pan et al. 2023 (https://arxiv.org/abs/2305.10973): the features around each point are asked to be one step nearer to its target (eq. 1);
then the point is looked for by its features in the first image (eq. 2). With many styles only the early ones move; all are pulled
towards the start.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core import outputs
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Maps, Planes, Styles, size_text, to_pixels
from sfumato.editing import latent_image as subjects
from sfumato.editing.inversion import Spread, spread_of
from sfumato.editing.latent_image import LatentImage, render
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import sampler, styled
from sfumato.io import decode, files
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store.loaded import LoadedModel, Model

Point = tuple[float, float]
"""Column and row in pixels, from the middle of the upper left one."""
Points = Float[Tensor, "points 2"]

RATE = 0.03
"""Step size, in deviations of the network's own styles."""
NEAR = 1.0
"""Points at most so many pixels from their targets have arrived."""
PULL, KEEP = 0.002, 10.0
"""Weights of the distance from the start, and of changes outside the mask."""
DRAWS = 1024
PATCH = 2
"""A point is known by the features at most so many pixels from it."""


@dataclass(frozen=True, kw_only=True)
class Dragged:
    subject: LatentImage
    images: Images
    """Before and after, in [0, 1]."""
    points: tuple[Point, ...]
    """Where the points are in the end."""
    distance: float
    """Of the farthest point from its target, in pixels."""
    steps: int


@renamed_arguments(tell="on_progress")
def drag(
    model: Model,
    subject: LatentImage,
    points: Sequence[Point],
    targets: Sequence[Point],
    *,
    mask: Planes | None = None,
    layers: Span | None = None,
    steps: int = 100,
    device: str = "auto",
    on_progress: Callable[[int, float], None] = lambda *_: None,
) -> Dragged:
    """The image of `subject` with what is at each of the `points` moved to its target, as far as the network has such images.

    What is dark in `mask`, of the images' size, should stay as it is. `layers` are the styles that move, by default the coarser half.
    `on_progress` is called with each step and the distance of the farthest point. Raises SettingError for points outside the image, or not
    as many targets, a mask of another size, layers that are not there, or a network that shows no maps.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    _check(network, points, targets, mask, steps)
    before = render(source, subject)
    chosen = span(network, layers or (0, max(0, network.styles // 2 - 1)))
    pull = _Pull(source, subject, chosen, mask)
    at, goal = (torch.tensor(pairs, dtype=torch.float32) for pairs in (list(points), list(targets)))
    templates = patches(pull.first, at)
    optimiser, far, done = torch.optim.Adam([pull.x], lr=RATE), float("inf"), 0
    for step in range(steps + 1):
        maps = pull.maps()
        at = at if step == 0 else tracked(maps.detach(), templates, at, reach=max(3, round(network.size[0] * 12 / 512)))
        far, done = float((goal - at).norm(dim=1).max()), step
        on_progress(step, far)
        if far <= NEAR or step == steps:
            break
        loss = motion(maps, at, goal, radius=max(3, round(network.size[0] * 3 / 512))) + pull.held(maps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = dataclasses.replace(subject, styles=pull.styles().detach().cpu())
    images = torch.cat([before, render(source, after)])
    ends = tuple((float(x), float(y)) for x, y in at)
    return Dragged(subject=after, images=images, points=ends, distance=far, steps=done)


def parse_moves(texts: Sequence[str]) -> tuple[list[Point], list[Point]]:
    """The points and targets that `20,30:30,30` asks for. Raises SettingError for other words."""
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    found = [re.fullmatch(f"{number},{number}:{number},{number}", word) for word in texts]
    for word, match in zip(texts, found, strict=True):
        if match is None:
            raise SettingError(
                f"{word!r} cannot be read as a point and its target; write 20,30:30,30 to bring column 20 of row 30 to column 30"
            )
    numbers = [tuple(map(float, match.groups())) for match in found if match]
    return [(x, y) for x, y, _, _ in numbers], [(x, y) for _, _, x, y in numbers]


def mask_of(path: Path, model: Model) -> Planes:
    """The picture at `path` as a mask of the network's size. Raises ImageError."""
    pixels = decode.decode(path, str(path), channels=1, size=sampler(model).network.size)
    return (torch.from_numpy(pixels[None, None, :, :, 0].copy()) > 127).float()


def save(result: Dragged, out: Path, model: Model) -> list[Path]:
    """Writes a picture of before and after to `out`, and the styles after beside it. Returns the paths."""
    _, styles = output_files(out)
    files.save_image(out, to_pixels(result.images, columns=2))
    return [out, subjects.save(styles, result.subject, model)]


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out, out.with_suffix(".safetensors")]


class _Pull:
    """Styles that move, in deviations, and what the network shows of them."""

    def __init__(self, source: LoadedModel[StyleGenerator], subject: LatentImage, layers: Span, mask: Planes | None) -> None:
        network = source.network
        where = next(network.parameters()).device
        self.network, self.layers = network, layers
        self.begin: Styles = subject.styles.to(where)
        self.labels: Labels | None = None if subject.labels is None else subject.labels.to(where)
        self.noise = None if subject.noise is None else [plane.to(where) for plane in subject.noise]
        self.spread = _spread(source, subject, where)
        self.mask = None if mask is None else mask.to(where)
        self.x = torch.zeros_like(self.begin[:, layers[0] : layers[1] + 1]).requires_grad_()
        self.units: list[Tensor] | None = None
        with torch.no_grad():
            self.first = self.maps()

    def styles(self) -> Styles:
        """All of them, with those that move where they are."""
        first, last = self.layers
        inner = self.begin[:, first : last + 1] + self.spread.deviation * self.x
        return torch.cat([self.begin[:, :first], inner, self.begin[:, last + 1 :]], dim=1)

    def maps(self) -> Maps:
        """Features at the image's size, of all layers from a quarter of it to a half, each in units of its own mean size."""
        options = SynthesisOptions(noise=self.noise, feature_maps=[])
        self.network.synthesize(self.styles(), self.labels, options)
        seen, (h, w) = options.feature_maps or [], self.network.size
        if not seen:
            raise SettingError("this model shows no maps on the way to its image, so no point can be followed")
        fit = [maps for maps in seen if maps.shape[2] <= (h + 1) // 2 and 4 * maps.shape[2] >= h] or seen[-1:]
        large = [F.interpolate(maps.float(), (h, w), mode="bilinear", align_corners=False) for maps in fit]
        units = [maps.abs().mean().detach().clamp_min(1e-6) for maps in large] if self.units is None else self.units
        self.units = units
        return torch.cat([maps / unit for maps, unit in zip(large, units, strict=True)], dim=1)

    def held(self, maps: Maps) -> Tensor:
        """What it costs to be away from the start, and to change where the mask is dark."""
        cost = PULL * self.x.square().mean()
        if self.mask is None:
            return cost
        return cost + KEEP * ((maps - self.first).abs() * (1 - self.mask)).mean() / self.first.abs().mean().clamp_min(1e-6)


def motion(maps: Maps, at: Points, goal: Points, *, radius: int) -> Tensor:
    """How much the features one pixel nearer to each goal differ from those around its point, which stay as they are."""
    side = torch.arange(-radius, radius + 1.0)
    disc = torch.cartesian_prod(side, side)
    disc = disc[disc.norm(dim=1) <= radius]
    total = maps.new_zeros(())
    for here, there in zip(at, goal, strict=True):
        way = there - here
        step = way / way.norm().clamp_min(1.0)
        with torch.no_grad():
            now = sampled(maps, here + disc)
        total = total + (sampled(maps, here + disc + step) - now).abs().mean() / now.abs().mean().clamp_min(1e-6)
    return total


def patches(maps: Maps, places: Points) -> Float[Tensor, "points _c"]:
    """The features at each place and around it, one after another."""
    side = torch.arange(-PATCH, PATCH + 1.0)
    around = places[:, None] + torch.cartesian_prod(side, side)
    return sampled(maps, around.flatten(0, 1)).reshape(len(places), -1)


def tracked(maps: Maps, templates: Float[Tensor, "points _c"], at: Points, *, reach: int) -> Points:
    """The place near each point, at most `reach` pixels away either way, whose features are nearest to its template."""
    h, w = maps.shape[2:]
    side = torch.arange(-reach, reach + 1.0)
    square, found = torch.cartesian_prod(side, side), []
    for here, template in zip(at, templates, strict=True):
        places = (here + square).clamp_min(0).minimum(torch.tensor([w - 1.0, h - 1.0]))
        apart = (patches(maps, places) - template).abs().sum(dim=1)
        found.append(places[int(apart.argmin())])
    return torch.stack(found)


def sampled(maps: Maps, places: Points) -> Float[Tensor, "points _c"]:
    """The features at places of one image, between pixels by bilinear weights."""
    h, w = maps.shape[2:]
    grid = (2 * places + 1) / torch.tensor([w, h], dtype=torch.float32) - 1
    return F.grid_sample(maps, grid[None, None].to(maps), padding_mode="border", align_corners=False)[0, :, 0].T


def _spread(source: LoadedModel[StyleGenerator], subject: LatentImage, device: torch.device) -> Spread:
    z = latents(source.network, DRAWS, seeded_generator(0, "drag"))
    return spread_of(styled(source, z, None if subject.labels is None else subject.labels.expand(DRAWS))[:, :1], device)


def _check(network: StyleGenerator, points: Sequence[Point], targets: Sequence[Point], mask: Planes | None, steps: int) -> None:
    h, w = network.size
    if not points or len(points) != len(targets) or steps < 1:
        raise SettingError(f"{len(points)} points, {len(targets)} targets and {steps} steps: give a target for each of at least one point")
    for x, y in [*points, *targets]:
        if not (0 <= x <= w - 1 and 0 <= y <= h - 1):
            raise SettingError(f"the point {x:g},{y:g} is outside the image of {size_text((h, w))} pixels")
    if mask is not None and mask.shape[2:] != (h, w):
        raise SettingError(f"the mask is {size_text(mask.shape[2:])} pixels, the image {size_text((h, w))}; they must be the same")

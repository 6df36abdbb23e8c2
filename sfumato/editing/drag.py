"""Points of an image dragged to targets by a search among the styles; the result is an image of the generator.

Pan et al. 2023 (https://arxiv.org/abs/2305.10973): a loss moves the features around each point one step towards its target (eq. 1); then
the point is tracked by its features in the first image (eq. 2). Of many styles only the coarse ones move; a penalty keeps the styles near
the start.
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
from sfumato.core.deprecation import renamed_arguments, renamed_attribute
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Maps, Planes, Styles, size_text, to_pixels
from sfumato.editing import latent_image as subjects
from sfumato.editing.inversion import Spread, spread_of
from sfumato.editing.latent_image import LatentImage, render
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import sampler, styled
from sfumato.io import files
from sfumato.io.fitting import fit
from sfumato.io.inputs import PictureInput, brightness
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store.loaded import LoadedModel, Model

Point = tuple[float, float]
"""Column and row in pixels, from the middle of the upper left one."""
Points = Float[Tensor, "points 2"]

RATE = 0.03
"""Step size, in deviations of the network's own styles."""
NEAR = 1.0
"""A point has arrived if it is at most so many pixels from its target."""
PULL, KEEP = 0.002, 10.0
"""Weights of the penalties on the distance from the start and on changes outside the mask."""
DRAWS = 1024
PATCH = 2
"""A point is tracked by the features at most so many pixels from it."""


@dataclass(frozen=True, kw_only=True)
class Dragged:
    """The result of a drag."""

    latent_image: LatentImage
    """After the drag."""
    images: Images
    """Before and after, in [0, 1], (2, c, h, w)."""
    points: tuple[Point, ...]
    """The points after the drag."""
    distance: float
    """Distance of the farthest point from its target, in pixels."""
    steps: int

    subject = renamed_attribute("subject", "latent_image")

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes a picture of before and after, and the latents after beside it as .safetensors. Returns the paths.

        Raises SettingError for the ending of another kind of file, and for a file that is not to be replaced.
        """
        paths = output_files(Path(path))
        return save_files(paths, lambda: _write(self, self.latent_image, paths), by="drag", overwrite=overwrite)


@renamed_arguments(tell="on_progress", subject="latent_image")
def drag(
    model: Model,
    latent_image: LatentImage | int | str | Path,
    points: Sequence[Point],
    targets: Sequence[Point],
    *,
    mask: PictureInput | None = None,
    layers: Span | None = None,
    steps: int = 100,
    device: str = "auto",
    on_progress: Callable[[int, float], None] = lambda *_: None,
) -> Dragged:
    """An image with the content at each of the `points` moved to its target, as far as the network has such images.

    The result has `save(path)`. `latent_image` is latents, the file of such, or a seed. Dark parts of `mask`, a picture of any kind, should
    stay unchanged. `layers` are the styles that move, by default the coarser half. `on_progress` is called with each step and the
    distance of the farthest point. Raises SettingError for points outside the image, another number of targets, a tensor as mask of
    another size, layers that the network does not have, or a network without feature maps.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    plane = mask if mask is None or (isinstance(mask, Tensor) and mask.ndim == 4) else mask_of(mask, source)
    _check(network, points, targets, plane, steps)
    start = subjects.latent_image(source, latent_image)
    before = render(source, start)
    pull = _Pull(source, start, span(network, layers or (0, max(0, network.styles // 2 - 1))), plane)
    goal = torch.tensor(list(targets), dtype=torch.float32)
    ends, distance, count = _moved(pull, torch.tensor(list(points), dtype=torch.float32), goal, steps, on_progress)
    after = start.moved(pull.styles().detach().cpu())
    images = torch.cat([before, render(source, after)])
    places = tuple((float(x), float(y)) for x, y in ends)
    return Dragged(latent_image=after, images=images, points=places, distance=distance, steps=count)


def _moved(pull: "_Pull", points: Points, goal: Points, steps: int, on_progress: Callable[[int, float], None]) -> tuple[Points, float, int]:
    """The points after at most `steps` steps, the distance of the farthest from its goal, and the number of steps."""
    side = pull.network.size[0]
    templates = patches(pull.first, points)
    optimizer, distance = torch.optim.Adam([pull.x], lr=RATE), float("inf")
    for step in range(steps + 1):
        maps = pull.maps()
        points = points if step == 0 else tracked(maps.detach(), templates, points, reach=max(3, round(side * 12 / 512)))
        distance = float((goal - points).norm(dim=1).max())
        on_progress(step, distance)
        if distance <= NEAR or step == steps:
            return points, distance, step
        loss = motion(maps, points, goal, radius=max(3, round(side * 3 / 512))) + pull.penalty(maps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return points, distance, steps


def parse_moves(texts: Sequence[str]) -> tuple[list[Point], list[Point]]:
    """The points and targets of texts such as `20,30:30,30`. Raises SettingError for other texts."""
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    matches = [re.fullmatch(f"{number},{number}:{number},{number}", word) for word in texts]
    for word, match in zip(texts, matches, strict=True):
        if match is None:
            raise SettingError(
                f"{word!r} cannot be read as a point and its target; write 20,30:30,30 to bring column 20 of row 30 to column 30"
            )
    numbers = [tuple(map(float, match.groups())) for match in matches if match]
    return [(x, y) for x, y, _, _ in numbers], [(x, y) for _, _, x, y in numbers]


def mask_of(mask: PictureInput, model: Model) -> Planes:
    """A picture as a mask of the network's size, 1 where it is bright. Raises ImageError for a picture that cannot be used."""
    return (fit(brightness(mask), channels=1, size=sampler(model).network.size) * 255 > 127.5).float()


def save(result: Dragged, out: Path, model: Model) -> list[Path]:
    """Writes a picture of before and after to `out`, and the styles after beside it. Returns the paths."""
    paths = output_files(out)
    _write(result, dataclasses.replace(result.latent_image, weights=weights_hash(sampler(model).network)), paths)
    return paths


def _write(result: Dragged, latents: LatentImage, paths: list[Path]) -> None:
    out, styles = paths
    files.save_image(out, to_pixels(result.images, columns=2))
    latents.write(styles)


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out, out.with_suffix(".safetensors")]


class _Pull:
    """The styles that move, in deviations, and the network's feature maps for them."""

    def __init__(self, source: LoadedModel[StyleGenerator], start: LatentImage, layers: Span, mask: Planes | None) -> None:
        network = source.network
        device = next(network.parameters()).device
        self.network, self.layers = network, layers
        self.begin: Styles = start.styles.to(device)
        self.labels: Labels | None = None if start.labels is None else start.labels.to(device)
        self.noise = None if start.noise is None else [plane.to(device) for plane in start.noise]
        self.spread = _spread(source, start, device)
        self.mask = None if mask is None else mask.to(device)
        self.x = torch.zeros_like(self.begin[:, layers[0] : layers[1] + 1]).requires_grad_()
        self.units: list[Tensor] | None = None
        with torch.no_grad():
            self.first = self.maps()

    def styles(self) -> Styles:
        """All styles, with those that move at their present place."""
        first, last = self.layers
        inner = self.begin[:, first : last + 1] + self.spread.deviation * self.x
        return torch.cat([self.begin[:, :first], inner, self.begin[:, last + 1 :]], dim=1)

    def maps(self) -> Maps:
        """Feature maps of all layers with a quarter to a half of the image's size, resized to it, each in units of its own mean size."""
        options = SynthesisOptions(noise=self.noise, feature_maps=[])
        self.network.synthesize(self.styles(), self.labels, options)
        layers, (h, w) = options.feature_maps or [], self.network.size
        if not layers:
            raise SettingError("this model returns no feature maps, so no point can be tracked")
        chosen = [maps for maps in layers if maps.shape[2] <= (h + 1) // 2 and 4 * maps.shape[2] >= h] or layers[-1:]
        large = [F.interpolate(maps.float(), (h, w), mode="bilinear", align_corners=False) for maps in chosen]
        units = [maps.abs().mean().detach().clamp_min(1e-6) for maps in large] if self.units is None else self.units
        self.units = units
        return torch.cat([maps / unit for maps, unit in zip(large, units, strict=True)], dim=1)

    def penalty(self, maps: Maps) -> Tensor:
        """The penalty on the distance from the start, and on changes where the mask is dark."""
        cost = PULL * self.x.square().mean()
        if self.mask is None:
            return cost
        return cost + KEEP * ((maps - self.first).abs() * (1 - self.mask)).mean() / self.first.abs().mean().clamp_min(1e-6)


def motion(maps: Maps, at: Points, goal: Points, *, radius: int) -> Tensor:
    """Mean difference of the features one pixel nearer to each goal from those around its point, which get no gradient."""
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
    """The features at each place and around it, concatenated."""
    side = torch.arange(-PATCH, PATCH + 1.0)
    around = places[:, None] + torch.cartesian_prod(side, side)
    return sampled(maps, around.flatten(0, 1)).reshape(len(places), -1)


def tracked(maps: Maps, templates: Float[Tensor, "points _c"], at: Points, *, reach: int) -> Points:
    """The place at most `reach` pixels away from each point along each axis whose features are nearest to its template."""
    h, w = maps.shape[2:]
    side = torch.arange(-reach, reach + 1.0)
    square, nearest = torch.cartesian_prod(side, side), []
    for here, template in zip(at, templates, strict=True):
        places = (here + square).clamp_min(0).minimum(torch.tensor([w - 1.0, h - 1.0]))
        apart = (patches(maps, places) - template).abs().sum(dim=1)
        nearest.append(places[int(apart.argmin())])
    return torch.stack(nearest)


def sampled(maps: Maps, places: Points) -> Float[Tensor, "points _c"]:
    """The features at places of one image, with bilinear interpolation between pixels."""
    h, w = maps.shape[2:]
    grid = (2 * places + 1) / torch.tensor([w, h], dtype=torch.float32) - 1
    return F.grid_sample(maps, grid[None, None].to(maps), padding_mode="border", align_corners=False)[0, :, 0].T


def _spread(source: LoadedModel[StyleGenerator], start: LatentImage, device: torch.device) -> Spread:
    z = latents(source.network, DRAWS, seeded_generator(0, "drag"))
    return spread_of(styled(source, z, None if start.labels is None else start.labels.expand(DRAWS))[:, :1], device)


def _check(network: StyleGenerator, points: Sequence[Point], targets: Sequence[Point], mask: Planes | None, steps: int) -> None:
    h, w = network.size
    if not points or len(points) != len(targets) or steps < 1:
        raise SettingError(f"{len(points)} points, {len(targets)} targets and {steps} steps: give a target for each of at least one point")
    for x, y in [*points, *targets]:
        if not (0 <= x <= w - 1 and 0 <= y <= h - 1):
            raise SettingError(f"the point {x:g},{y:g} is outside the image of {size_text((h, w))} pixels")
    if mask is not None and mask.shape[2:] != (h, w):
        raise SettingError(f"the mask is {size_text(mask.shape[2:])} pixels, the image {size_text((h, w))}; they must be the same")

"""A walk through latent space: from one seed's image to the next, and back to the first.

Latents are normally distributed, so nearly all of them lie close to a sphere. A walk among latents follows great circles (White 2016,
https://arxiv.org/abs/1609.04468); a straight line would pass through the washed-out middle. Styles lie on no sphere: a walk among styles
follows straight lines.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Labels, Styles, Vectors
from sfumato.generation.generate import Grain, grain, labels_of, latent, opened_generator, sampler, show, styled, synthesize
from sfumato.generation.result import Frames, check_film, save_film
from sfumato.models.roles.generator import Generator
from sfumato.store.loaded import LoadedModel, Model

Space = Literal["z", "w"]
Places = Float[Tensor, " _n"]
Gaps = Float[Tensor, " _gaps"]

_ROUNDS = 8
"""Number of corrections of the places of an even walk; each costs as much as the walk itself."""


def interpolate(
    model: Model,
    seeds: Sequence[int] = (0, 1, 2, 3),
    *,
    steps: int = 24,
    label: str | int | None = None,
    truncation: float = 1.0,
    space: Space = "z",
    even: bool = False,
    loop: bool = True,
    device: str = "auto",
) -> Frames:
    """Frames (n, c, h, w) in [0, 1]: `steps` from each seed to the next, and with `loop` from the last seed to the first.

    The result is a tensor with `save(path)`. `space` is z, with great circles among latents, or w, with straight lines among styles.
    With `even`, neighbouring frames all differ by the same distance; seeds other than the first and the last then lie between frames. A
    model with classes shows one class: `label`, or the class of the first seed. All frames have the noise of the first seed. Raises
    SettingError for fewer than two seeds or one step, for another space, and as `generate`.
    """
    _check(seeds, steps, space)
    source = opened_generator(model).to(select_device(device))
    network = source.network
    if space == "w" and not network.styles:
        raise SettingError(f"space = w needs a network with styles, and a {type(network).__name__} has none; use z")
    noise = grain(sampler(source).network, seeds[:1]) if network.styles else None
    stops = torch.cat([latent(network, s) for s in [*seeds, *(seeds[:1] if loop else [])]])
    frames = _walk(source, stops, labels_of(source, seeds[:1], label), space, truncation=truncation, noise=noise)
    places = torch.arange((len(stops) - 1) * steps + 1, dtype=torch.float64) / steps
    if even:
        places = evened(places, lambda positions: distances(frames(positions)))
    return frames(places[:-1] if loop else places).as_subclass(Frames)


def _check(seeds: Sequence[int], steps: int, space: str) -> None:
    if len(seeds) < 2 or steps < 1:
        raise SettingError(f"{len(seeds)} seeds and {steps} steps make no walk; give at least 2 seeds and 1 step")
    if space not in ("z", "w"):
        raise SettingError(f"space = {space!r} is none of z (great circles), w (straight lines)")


def _walk(
    source: LoadedModel[Generator],
    stops: Vectors,
    label: Tensor | None,
    space: Space,
    *,
    truncation: float,
    noise: list[Grain] | None,
) -> Callable[[Places], Images]:
    """A function from places on the walk through `stops` to images of the class `label`, all with the same `noise`."""

    def labels(count: int) -> Labels | None:
        return None if label is None else label.expand(count)

    if space == "w":
        corners = styled(source, stops, labels(len(stops)), truncation=truncation)
        return lambda places: show(source, _along(corners, places, _lerp), labels(len(places)), noise)
    return lambda places: synthesize(source, _along(stops, places, slerp), labels(len(places)), truncation=truncation, noise=noise)


def evened(places: Places, distance: Callable[[Places], Gaps]) -> Places:
    """As many places between the same ends, whose neighbours all have the same `distance`; for n places that returns n - 1 numbers."""
    for _ in range(_ROUNDS):
        gaps = distance(places).double().clamp_min(1e-12)
        covered = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)])
        target = torch.linspace(0, 1, len(places), dtype=torch.float64) * covered[-1]
        after = torch.searchsorted(covered, target).clamp(1, len(places) - 1)
        share = ((target - covered[after - 1]) / gaps[after - 1]).clamp(0, 1)
        places = torch.lerp(places[after - 1], places[after], share)
    return places


def distances(frames: Images) -> Gaps:
    """Root mean squared difference of each frame but the first from the one before: the mean over sizes halved down to 8 pixels."""
    sizes, x = [], frames
    while True:
        sizes.append((x[1:] - x[:-1]).square().mean(dim=(1, 2, 3)).sqrt())
        if min(x.shape[2:]) < 16:
            return torch.stack(sizes).mean(dim=0)
        x = F.avg_pool2d(x, 2)


def slerp(a: Vectors, b: Vectors, t: float | Float[Tensor, "n 1"]) -> Vectors:
    """The vector a share `t` of the way from `a` to `b` along the great circle through both; its length changes geometrically.

    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> [round(x, 3) for x in slerp(a, b, 0.5)[0].tolist()]
    [0.707, 0.707]
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    cosine = ((a / length_a) * (b / length_b)).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    straight = angle.sin().abs() < 1e-4
    safe = torch.where(straight, torch.ones_like(angle), angle)
    direction = (((1 - t) * safe).sin() * a / length_a + (t * safe).sin() * b / length_b) / safe.sin()
    return torch.where(straight, a + t * (b - a), direction * length_a ** (1 - t) * length_b**t)


def _lerp(a: Styles, b: Styles, t: Float[Tensor, "n 1"]) -> Styles:
    return torch.lerp(a, b, t[:, :, None])


def _along(stops: Tensor, places: Places, between: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """The point at each of the `places`; the place i is stop number i."""
    leg = places.floor().long().clamp(0, len(stops) - 2)
    return between(stops[leg], stops[leg + 1], (places - leg)[:, None].float())


def save(frames: Images, out: Path, *, fps: float = 24.0, enlarge: int = 1) -> Path:
    """Writes `frames` as a .gif, .webp or .mp4, each pixel `enlarge` pixels wide. Returns the path. Raises like `output_files`."""
    save_film(frames.as_subclass(Tensor), out, fps=fps, enlarge=enlarge)
    return out


def output_files(out: Path, *, fps: float = 24.0, enlarge: int = 1) -> list[Path]:
    """The file that `save` will write. Raises as `check_film`."""
    check_film(out, fps=fps, enlarge=enlarge)
    return [out]

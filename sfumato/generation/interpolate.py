"""A walk through latent space: from one seed's image to the next, and back to the first.

Latents are normal, so nearly all of them lie on a sphere; among them the walk follows great circles (White 2016,
https://arxiv.org/abs/1609.04468), where a straight line would pass through the washed-out middle. Styles lie on no sphere: among them it
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
from sfumato.core.tensors import Images, Styles, Vectors, to_pixels
from sfumato.generation.generate import grain, labels_of, latent, sampler, show, styled
from sfumato.io import files
from sfumato.store.loaded import Model

Space = Literal["z", "w"]
Places = Float[Tensor, " _n"]
Gaps = Float[Tensor, " _gaps"]

_ROUNDS = 8
"""How often the places of an even walk are corrected; each time costs as much as the walk itself."""


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
) -> Images:
    """Frames in [0, 1]: `steps` from each seed to the next, and with `loop` from the last to the first.

    `space` is z, where the walk follows great circles, or w, the styles, where it is straight. With `even` frames are so placed that
    each differs from the one before by as much; seeds but the first (and the last) then lie between frames. A model that knows classes
    keeps to one: `label`, or that of the first seed; noise is that of the first seed throughout. Raises SettingError for fewer than two
    seeds or one step, for another space, and like `generate`.
    """
    if len(seeds) < 2 or steps < 1:
        raise SettingError(f"{len(seeds)} seeds and {steps} steps make no walk; give at least 2 seeds and 1 step")
    if space not in ("z", "w"):
        raise SettingError(f"space = {space!r} is none of z (great circles), w (straight lines)")
    source = sampler(model).to(select_device(device))
    network = source.network
    first = labels_of(source, seeds[:1], label)
    stops = torch.cat([latent(network, s) for s in [*seeds, *(seeds[:1] if loop else [])]])

    def styles(z: Vectors) -> Styles:
        return styled(source, z, None if first is None else first.expand(len(z)), truncation=truncation)

    still = grain(network, seeds[:1])
    corners = styles(stops) if space == "w" else None

    def frames(places: Places) -> Images:
        found = styles(_along(stops, places, slerp)) if corners is None else _along(corners, places, _lerp)
        return show(source, found, None if first is None else first.expand(len(found)), still)

    legs = len(stops) - 1
    places = torch.arange(legs * steps + 1, dtype=torch.float64) / steps
    if even:
        places = evened(places, lambda where: distances(frames(where)))
    return frames(places[:-1] if loop else places)


def evened(places: Places, distance: Callable[[Places], Gaps]) -> Places:
    """As many places between the same ends, at which all steps have the same `distance`; that of some places is one fewer number."""
    for _ in range(_ROUNDS):
        far = distance(places).double().clamp_min(1e-12)
        gone = torch.cat([far.new_zeros(1), far.cumsum(0)])
        wanted = torch.linspace(0, 1, len(places), dtype=torch.float64) * gone[-1]
        after = torch.searchsorted(gone, wanted).clamp(1, len(places) - 1)
        share = ((wanted - gone[after - 1]) / far[after - 1]).clamp(0, 1)
        places = torch.lerp(places[after - 1], places[after], share)
    return places


def distances(frames: Images) -> Gaps:
    """How far each frame but the first is from the one before: root mean squared difference, meant over sizes halved down to 8 pixels."""
    found, x = [], frames
    while True:
        found.append((x[1:] - x[:-1]).square().mean(dim=(1, 2, 3)).sqrt())
        if min(x.shape[2:]) < 16:
            return torch.stack(found).mean(dim=0)
        x = F.avg_pool2d(x, 2)


def slerp(a: Vectors, b: Vectors, t: float | Float[Tensor, "n 1"]) -> Vectors:
    """The vector a share `t` of the way from `a` to `b` along the great circle through both; lengths go over geometrically.

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
    """What lies at each of the `places`, of which number i is stop i."""
    leg = places.floor().long().clamp(0, len(stops) - 2)
    return between(stops[leg], stops[leg + 1], (places - leg)[:, None].float())


def save(frames: Images, out: Path, *, fps: float = 24.0, enlarge: int = 1) -> Path:
    """Writes `frames` as a .gif, .webp or .mp4, each pixel `enlarge` pixels wide. Returns the path. Raises like `output_files`."""
    (out,) = output_files(out, fps=fps, enlarge=enlarge)
    big = frames.repeat_interleave(enlarge, dim=2).repeat_interleave(enlarge, dim=3)
    files.save_animation(out, [to_pixels(frame[None]) for frame in big], fps=fps)
    return out


def output_files(out: Path, *, fps: float = 24.0, enlarge: int = 1) -> list[Path]:
    """The file that `save` will write.

    Raises SettingError for an `enlarge` below 1 and for an ending or a rate that cannot be, MissingExtraError for an .mp4 without PyAV.
    """
    if enlarge < 1:
        raise SettingError(f"enlarge = {enlarge} must be at least 1")
    files.check_animation(out, fps)
    return [out]

"""A walk through latent space: from one seed's image to the next, and back to the first.

Latents are normal, so nearly all of them lie on a sphere; the walk follows its great circles (White 2016,
https://arxiv.org/abs/1609.04468), where a straight line would pass through the washed-out middle.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from sfumato.core import runtime
from sfumato.core.errors import SettingError
from sfumato.core.image import Images, Vectors, to_pixels
from sfumato.data import files
from sfumato.jobs.generate import labels_of, latent, paint, sampler


def interpolate(
    model: str | Path | nn.Module,
    seeds: Sequence[int] = (0, 1, 2, 3),
    *,
    steps: int = 24,
    label: str | int | None = None,
    loop: bool = True,
    device: str = "auto",
) -> Images:
    """Frames in [0, 1]: `steps` from each seed to the next, and with `loop` from the last to the first.

    A model that knows classes keeps to one: `label`, or that of the first seed. Raises SettingError for fewer than two seeds or
    one step, and like `generate`.
    """
    if len(seeds) < 2 or steps < 1:
        raise SettingError(f"{len(seeds)} seeds and {steps} steps make no walk; give at least 2 seeds and 1 step")
    network = sampler(model).to(runtime.device(device))
    stops = [latent(network, s) for s in seeds]
    ends = [*stops[1:], stops[0]] if loop else stops[1:]
    legs = [slerp(a, b, t / steps) for a, b in zip(stops, ends, strict=False) for t in range(steps)]
    z = torch.cat(legs if loop else [*legs, stops[-1]])
    first = labels_of(network, seeds[:1], label)
    return paint(network, z, None if first is None else first.expand(len(z)))


def slerp(a: Vectors, b: Vectors, t: float) -> Vectors:
    """The vector a share `t` of the way from `a` to `b` along the great circle through both; lengths go over geometrically.

    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> [round(x, 3) for x in slerp(a, b, 0.5)[0].tolist()]
    [0.707, 0.707]
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    cosine = ((a / length_a) * (b / length_b)).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    if (angle.sin().abs() < 1e-4).any():
        return torch.lerp(a, b, t)
    direction = (((1 - t) * angle).sin() * a / length_a + (t * angle).sin() * b / length_b) / angle.sin()
    return direction * length_a ** (1 - t) * length_b**t


def save(frames: Images, out: Path, *, fps: float = 24.0, enlarge: int = 1) -> Path:
    """Writes `frames` as a .gif, .webp or .mp4, each pixel `enlarge` pixels wide. Returns the path."""
    if enlarge < 1:
        raise SettingError(f"enlarge = {enlarge} must be at least 1")
    big = frames.repeat_interleave(enlarge, dim=2).repeat_interleave(enlarge, dim=3)
    files.save_animation(out, [to_pixels(frame[None]) for frame in big], fps=fps)
    return out

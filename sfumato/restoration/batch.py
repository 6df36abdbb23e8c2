"""Plans carried out on pictures that are held whole: one, or several of one size at once.

Work (images, plan) ─ groups ─ a network, together ─> images, each as if it had been alone
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from sfumato.classical import methods as classical
from sfumato.core.device import select_device
from sfumato.core.errors import ImageError
from sfumato.core.finite_output import finite
from sfumato.core.tensors import Images, Maps
from sfumato.io.channels import blended
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.channels import colourless
from sfumato.restoration import holes, upscaling
from sfumato.restoration.deep_prior import MEMORY, deep_prior
from sfumato.restoration.limits import denoised
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan
from sfumato.restoration.request import PRIOR, RestorationRequest
from sfumato.restoration.tiles import Conditioning, run_network

TOGETHER = 1 << 18
"""Most pixels of a batch of several pictures: larger batches are no faster."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The repair of one picture that is held whole."""

    images: Images
    plan: RestorationPlan
    request: RestorationRequest


class _NetworkInput(NamedTuple):
    """The input of the network of a plan, for one picture."""

    network: Restorer
    images: Images
    conditioning: Conditioning
    """What the network takes beside the picture, by name."""
    key: tuple[object, ...]
    """Equal for pictures that can be in one batch."""


def repaired(images: Images, plan: RestorationPlan, request: RestorationRequest, networks: Networks | None = None) -> Maps:
    """One picture, held whole, after its plan: blended by the strength of the request, and changed only where the plan's mask is 0.

    `networks` are those of a run of many pictures. Raises ImageError if the repair takes more than the memory of the request.
    """
    return run_together([Work(images=images, plan=plan, request=request)], networks or Networks(request.backend))[0]


def run_together(works: Sequence[Work], networks: Networks) -> list[Maps]:
    """`repaired` for each picture of one of the `groups`."""
    first = works[0]
    outputs = _by_method(first).split(1) if first.plan.network is None else _by_network(works, networks)
    return [
        blended(work.images, _as_planned(work, _sized(work, output)), strength=work.request.strength, observed=work.plan.observed)
        for work, output in zip(works, outputs, strict=True)
    ]


def _sized(work: Work, output: Maps) -> Maps:
    """The output in the size of the plan, if a network enlarges more."""
    return upscaling.resampled(output, work.plan.size((work.images.shape[2], work.images.shape[3])))


def _as_planned(work: Work, output: Maps) -> Maps:
    """The output of the network within the limits of the plan, with patches in the holes that the plan leaves to patches."""
    plan = work.plan
    if plan.strengths:
        return denoised(work.images, output, plan.strengths, plan.powers)
    if plan.patches is None or plan.observed is None:
        return output
    return holes.filled(work.images, output, plan.observed, plan.patches)


def groups(works: Sequence[Work], networks: Networks) -> list[list[int]]:
    """Groups of indices into `works`: pictures for one batch of a network within the memory of the request; other pictures alone."""
    rows_by_key: dict[tuple[object, ...], list[list[int]]] = {}
    for i, work in enumerate(works):
        if work.plan.network is None or work.plan.network.receptive_radius is None or work.request.tile is not None:
            rows_by_key[i,] = [[i]]
            continue
        shown, pixels = _network_input(work), math.prod(work.images.shape[2:])
        left = work.request.memory - BASE - sum(each.images.numel() * 12 for each in works)
        most = min(TOGETHER, left / networks.footprint(shown.network)) // pixels
        rows = rows_by_key.setdefault(shown.key, [[]])
        if len(rows[-1]) >= max(1, most):
            rows.append([])
        rows[-1].append(i)
    return [group for rows in rows_by_key.values() for group in rows]


def _network_input(work: Work) -> _NetworkInput:
    plan, images = work.plan, work.images
    assert plan.network is not None
    network, values = plan.network, {"noise": plan.noise or 0.0, "quality": plan.quality, "observed": plan.observed}
    if "observed" in network.conditioning:
        values["observed"] = torch.ones_like(images[:, :1]) if plan.observed is None else plan.observed
        images = images if plan.observed is None else images * plan.observed
    if network.has_grey_path and images.shape[1] > 1 and bool(colourless(images).all()):
        images = images[:, :1]
    conditioning = cast(Conditioning, {name: values[name] for name in network.conditioning})
    weights = (network,) if network.kernels is None else (network.base, network.kernels.numpy().tobytes())
    return _NetworkInput(network, images, conditioning, (*weights, images.shape, work.images.shape))


def _by_network(works: Sequence[Work], networks: Networks) -> list[Maps]:
    """The output of the network, which all share, for each picture. Raises ImageError if it does not fit into the memory."""
    shown, request = [_network_input(work) for work in works], works[0].request
    network, device = shown[0].network, select_device(request.device)
    h, w = works[0].images.shape[2:]
    taken = BASE + sum(work.images.numel() for work in works) * 12
    if network.receptive_radius is None and (need := networks.footprint(network) * h * w + taken) > request.memory:
        raise ImageError(f"the network takes the whole picture at once, which needs {need / 1e9:.1f} GB; give more --memory")
    tile = None
    if network.receptive_radius is not None and len(works) == 1:
        tile = request.tile or networks.tile(network, (h, w), request.memory, lambda allowed: allowed - taken)
    conditioning = cast(Conditioning, {name: _joined([each.conditioning[name] for each in shown], h, w) for name in shown[0].conditioning})
    images = torch.cat([each.images for each in shown]) if len(works) > 1 else shown[0].images
    ready, name = networks.ready(network, device), networks.name(network)
    outputs = run_network(ready, images, device, name=name, tile=tile, precision=request.precision, **conditioning)
    return [each.expand(-1, works[0].images.shape[1], -1, -1) for each in outputs.split(1)]


def _joined(values: Sequence[float | Tensor], h: int, w: int) -> float | Tensor:
    """The value that all share, or a plane for each."""
    if all(value is values[0] for value in values) or (not any(isinstance(value, Tensor) for value in values) and len(set(values)) == 1):
        return values[0]
    return torch.cat([value if isinstance(value, Tensor) else torch.full((1, 1, h, w), value) for value in values])


def _by_method(work: Work) -> Maps:
    plan, request = work.plan, work.request
    assert plan.method is not None
    if (need := _method_memory(plan, plan.method, work.images)) > request.memory:
        raise ImageError(f"{plan.method} would take {need / 1e9:.1f}GB; give more --memory")
    if plan.method == PRIOR:
        return finite(deep_prior(work.images, observed=plan.observed, device=request.device), PRIOR)
    needs = classical.METHODS[plan.method].needs
    options = {"noise": plan.noise, "kernels": plan.kernels, "observed": plan.observed, "scale": plan.scale}
    arguments = {name: value for name, value in options.items() if name in needs and value is not None}
    return finite(classical.apply(plan.method, work.images, **arguments), plan.method)


def _method_memory(plan: RestorationPlan, name: str, images: Images) -> float:
    """Bytes of memory that a method without weights takes for one picture."""
    pixels = images.shape[2] * images.shape[3]
    if name == PRIOR:
        return BASE + MEMORY * pixels
    method, missing = classical.METHODS[name], 0 if plan.observed is None else int((plan.observed == 0).sum())
    return BASE + method.memory * pixels * plan.scale**2 * images.shape[1] / 3 + method.memory_missing * missing

"""Plans carried out on pictures that are held whole: one, or several of one size at once.

Work (images, plan) ─ groups ─ a network, together ─> images, each as if it had been alone
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.classical import methods as classical
from sfumato.core.device import select_device
from sfumato.core.errors import ImageError
from sfumato.core.finite_output import finite
from sfumato.core.tensors import Images, Maps
from sfumato.io.channels import blended
from sfumato.models.roles.restorer import Restorer, WithKernel
from sfumato.restoration.deep_prior import MEMORY, deep_prior
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan
from sfumato.restoration.request import PRIOR, RestorationRequest
from sfumato.restoration.tiles import colourless, run_network

TOGETHER = 1 << 18
"""Pixels that a network is shown at once of several pictures: more of them are no quicker."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be made of one picture that is held whole."""

    images: Images
    plan: RestorationPlan
    request: RestorationRequest


class _NetworkInput(NamedTuple):
    """A picture as the network of its plan is shown it."""

    network: Restorer
    images: Images
    conditioning: dict[str, Any]
    """What the network wants to know beside it."""
    key: tuple[Any, ...]
    """The same for those that can be shown together."""


def repaired(images: Images, plan: RestorationPlan, request: RestorationRequest, networks: Networks | None = None) -> Maps:
    """What the remedy makes of one picture held whole, as strong as asked for and only where there is something to fill in.

    `networks` are those of a run of many pictures. Raises ImageError if it takes more than the memory of the request.
    """
    return run_together([Work(images=images, plan=plan, request=request)], networks or Networks())[0]


def run_together(works: Sequence[Work], networks: Networks) -> list[Maps]:
    """`repaired` of each of one of the `groups`."""
    first = works[0]
    made = _by_method(first).split(1) if first.plan.network is None else _by_network(works, networks)
    return [blended(w.images, m, strength=w.request.strength, observed=w.plan.observed) for w, m in zip(works, made, strict=True)]


def groups(works: Sequence[Work], networks: Networks) -> list[list[int]]:
    """The numbers of `works`, those together that a network can be shown at once within the memory of the request; the rest alone."""
    found: dict[tuple[Any, ...], list[list[int]]] = {}
    for i, work in enumerate(works):
        if work.plan.network is None or work.plan.network.receptive_radius is None or work.request.tile is not None:
            found[i,] = [[i]]
            continue
        shown, pixels = _network_input(work), math.prod(work.images.shape[2:])
        left = work.request.memory - BASE - sum(each.images.numel() * 12 for each in works)
        most = min(TOGETHER, left / networks.footprint(shown.network)) // pixels
        rows = found.setdefault(shown.key, [[]])
        if len(rows[-1]) >= max(1, most):
            rows.append([])
        rows[-1].append(i)
    return [group for rows in found.values() for group in rows]


def _network_input(work: Work) -> _NetworkInput:
    plan, images = work.plan, work.images
    assert plan.network is not None
    network, told = plan.network, {"noise": plan.noise or 0.0, "quality": plan.quality, "observed": plan.observed}
    if "observed" in network.conditioning:
        told["observed"] = torch.ones_like(images[:, :1]) if plan.observed is None else plan.observed
        images = images if plan.observed is None else images * plan.observed
    if network.has_grey_path and images.shape[1] > 1 and bool(colourless(images).all()):
        images = images[:, :1]
    mine = {name: told[name] for name in network.conditioning}
    who = (network.network, network.kernels.numpy().tobytes()) if isinstance(network, WithKernel) else (network,)
    return _NetworkInput(network, images, mine, (*who, images.shape, work.images.shape))


def _by_network(works: Sequence[Work], networks: Networks) -> list[Maps]:
    """What the network of the first, which is that of all, makes of each. Raises ImageError if it does not fit."""
    shown, request = [_network_input(work) for work in works], works[0].request
    network, where = shown[0].network, select_device(request.device)
    h, w = works[0].images.shape[2:]
    taken = BASE + sum(work.images.numel() for work in works) * 12
    if network.receptive_radius is None and (need := networks.footprint(network) * h * w + taken) > request.memory:
        raise ImageError(f"the network looks at the whole picture at once, which takes {need / 1e9:.1f} GB: give more --memory")
    tile = None
    if network.receptive_radius is not None and len(works) == 1:
        tile = request.tile or networks.tile(network, (h, w), request.memory, lambda allowed: allowed - taken)
    told = {name: _joined([each.conditioning[name] for each in shown], h, w) for name in shown[0].conditioning}
    images = torch.cat([each.images for each in shown]) if len(works) > 1 else shown[0].images
    name = networks.name(network)
    made = run_network(networks.ready(network, where), images, where, name=name, tile=tile, precision=request.precision, **told)
    return [each.expand(-1, works[0].images.shape[1], -1, -1) for each in made.split(1)]


def _joined(values: Sequence[Any], h: int, w: int) -> Any:
    """One number for all, or a plane for each."""
    if all(value is values[0] or (not isinstance(value, Tensor) and value == values[0]) for value in values):
        return values[0]
    return torch.cat([value if isinstance(value, Tensor) else torch.full((1, 1, h, w), value) for value in values])


def _by_method(work: Work) -> Maps:
    plan, request = work.plan, work.request
    assert plan.method is not None
    if (need := _method_memory(plan, plan.method, work.images)) > request.memory:
        raise ImageError(f"{plan.method} would take {need / 1e9:.1f}GB for it; give more --memory")
    if plan.method == PRIOR:
        return finite(deep_prior(work.images, observed=plan.observed, device=request.device), PRIOR)
    needs = classical.METHODS[plan.method].needs
    options = {"noise": plan.noise, "kernels": plan.kernels, "observed": plan.observed, "scale": plan.times}
    told = {name: value for name, value in options.items() if name in needs and value is not None}
    return finite(classical.apply(plan.method, work.images, **told), plan.method)


def _method_memory(plan: RestorationPlan, name: str, images: Images) -> float:
    """Bytes that a method without weights takes for one picture."""
    pixels = images.shape[2] * images.shape[3]
    if name == PRIOR:
        return BASE + MEMORY * pixels
    method, missing = classical.METHODS[name], 0 if plan.observed is None else int((plan.observed == 0).sum())
    return BASE + method.memory * pixels * plan.scale**2 * images.shape[1] / 3 + method.memory_missing * missing

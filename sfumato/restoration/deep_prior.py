"""The deep image prior: a network fitted to one picture, without training on others (Ulyanov et al. 2018, arXiv:1711.10925).

A convolutional network that learns to map fixed noise to the picture fits natural structure first and damage last. So the fit stops early:
some observed pixels are held out, and the result is a running average of the outputs at the step with the least error on them
(self-validation, Yeh et al. 2021, arXiv:2112.04693).
"""

from collections.abc import Callable

import torch
from torch import nn

from sfumato.core.device import channels_last, select_device
from sfumato.core.errors import SettingError
from sfumato.core.rng import derive_seed, seeded_generator
from sfumato.core.tensors import Images, Planes
from sfumato.models import MODELS
from sfumato.models.base import build_as
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.resample import mirror

HELD = 0.03
"""Share of the observed pixels that is held out, for early stopping."""
_WIDTH, _LEVELS, _MEMORY = 24, 4, 0.98
_PATIENCE = 0.35
"""Share of the steps without improvement after which the fit ends."""
MEMORY = 12e3
"""Bytes of memory for each pixel, measured."""


def deep_prior(
    images: Images,
    *,
    observed: Planes | None = None,
    steps: int = 1200,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, float], None] = lambda *_: None,
) -> Images:
    """The images, in [0, 1], each as the output of a network that was fitted to its `observed` pixels (1); one after another.

    Needs no weights, and some minutes for each megapixel. `on_progress` is called with the step and the error on the pixels held out.
    Raises SettingError for steps below 1, and if no pixel is observed.
    """
    if steps < 1:
        raise SettingError(f"steps = {steps} must be at least 1")
    observed = torch.ones_like(images[:, :1]) if observed is None else observed
    if bool((observed.flatten(1).amax(dim=1) == 0).any()):
        raise SettingError("no pixel of the picture is observed, so there is nothing to fit; give a mask that is dark somewhere")
    chosen_device = select_device(device)
    pairs = zip(images.split(1), observed.expand(len(images), -1, -1, -1).split(1), strict=True)
    return torch.cat([_fitted(x, mask, steps, seed, chosen_device, on_progress) for x, mask in pairs])


def _fitted(
    image: Images, observed: Planes, steps: int, seed: int, device: torch.device, on_progress: Callable[[int, float], None]
) -> Images:
    h, w = image.shape[2:]
    network, reach = _network(image.shape[1], seed).to(device), 2 ** (_LEVELS + 1)
    rng = seeded_generator(seed, "deep prior")
    padded = mirror(image, reach)
    size = [side // reach * reach for side in padded.shape[2:]]
    target, mask = (mirror(x, reach)[:, :, : size[0], : size[1]].to(device) for x in (image, observed))
    noise = torch.rand(1, image.shape[1], *size, generator=rng).to(device)
    held = (torch.rand(1, 1, *size, generator=rng) < HELD).to(device) & (mask > 0)
    train = (mask > 0) & ~held
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    average, best, best_average, since = None, float("inf"), target.clamp(0, 1), 0
    for step in range(steps):
        output = network.restore(noise + 0.03 * torch.randn(noise.shape, generator=rng).to(device)).sigmoid()
        loss = ((output - target).square() * train).sum() / train.sum().clamp_min(1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average = output.detach() if average is None else average.lerp(output.detach(), 1 - _MEMORY)
        error = (((average - target).square() * held).sum() / held.sum().clamp_min(1)).item() if held.any() else loss.item()
        on_progress(step, error)
        since += 1
        if error < best:
            best, best_average, since = error, average, 0
        elif since > _PATIENCE * steps:
            break
    return best_average[:, :, reach : reach + h, reach : reach + w].float().cpu().clamp(0, 1)


def _network(channels: int, seed: int) -> Restorer:
    """An hourglass network without a skip from input to output, with weights of the seed."""
    blocks = (1,) * _LEVELS
    config = MODELS["gated"](
        channels=channels, width=_WIDTH, encoder=blocks, middle=1, decoder=blocks, residual=False, convolution="depthwise", between="split"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        network = build_as(Restorer, config, name="network")
    for name, weight in network.named_parameters():
        if name.endswith(("beta", "gamma")):  # with gates at 0 only the outermost level would learn at first
            nn.init.constant_(weight, 0.5)
    return channels_last(network).train()

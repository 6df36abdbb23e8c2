"""Undoing a blur that is known: inverse filters first, then a network that corrects what they leave.

    images, kernels, noise ─ inverse filters ─ estimates ─┬─ network ─ + ─ x ─ + ─ clean
    images ───────────────────────────────────────────────┘            │       │
    first estimate ────────────────────────────────────────────────────┘       │
    images - x blurred ─ inverse filter ───────────────────────────────────────┘

The filters bring back what the blur left, whatever its shape, and with it amplified noise and ringing; the network has to know only
what these look like (Schuler et al. 2013, https://doi.org/10.1109/CVPR.2013.142; Dong et al. 2020, https://arxiv.org/abs/2103.09962).
In the end its answer is blurred again: what the image shows beyond that was not explained yet, and a smooth inverse filter adds it.
"""

import copy
import dataclasses
from typing import Annotated, Any, final

import torch

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Kernels, Maps, Planes
from sfumato.models import MODELS
from sfumato.models.roles.restorer import Deblurrer, Restorer
from sfumato.nn.resample import mirror
from sfumato.nn.wiener import filtered, inverse


@settings
class Config:
    id = "deconvolving"
    corrector: Any = MODELS["gated"]()
    """Settings of the network, gated and of scale 1, or of a pair of such. Its planes and guides are what this one gives it."""
    balances: Annotated[tuple[float, ...], Range(0.01, 100)] = (2.0, 0.5)
    """How smooth each estimate is: 1 is the best filter for a photograph of even gradients. The first is the one that is corrected."""
    reach: Annotated[int, Range(1, 256, "pixels")] = 48
    """How far the filters reach; the last one half as far, and only for blurs that spread a point no farther than that."""
    finish: Annotated[float, Range(0, 1000)] = 20.0
    """How smooth the last filter is, by the measure of `balances`; 0 leaves the network's answer as it is."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB: what the corrector takes."""
        return self.corrector.channels

    def check(self) -> None:
        if not self.balances:
            raise SettingError("deconvolving: balances are empty; give at least one")

    def build(self) -> "Deconvolving":
        return Deconvolving(self)


@final
class Deconvolving(Deblurrer):
    def __init__(self, config: Config) -> None:
        super().__init__()
        network: Restorer = _with_noise_plane(config.corrector).build(len(config.balances))
        self.corrector, self.has_grey_path = network, network.has_grey_path
        self.channels, self.scale, self.pad_multiple, self.conditioning = network.channels, 1, 1, network.conditioning
        # The last filter, and a blur of what comes before it.
        last = 2 * (config.reach // 2) if config.finish else 0
        self.receptive_radius = None if network.receptive_radius is None else network.receptive_radius + config.reach + last
        self.balances, self.reach, self.finish = config.balances, config.reach, config.finish

    @property
    def tile_multiple(self) -> int:
        return self.corrector.tile_multiple

    def self_ensemble(self, views: int) -> "Deconvolving":
        # Filters make no difference between one way round and another, so that the corrector alone need see them.
        both = copy.copy(self)
        both._modules = {**self._modules, "corrector": self.corrector.self_ensemble(views)}
        return both

    def deblur(self, degraded: Images, planes: Planes | None, kernels: Kernels) -> Maps:
        assert planes is not None
        h, w = degraded.shape[2:]
        with torch.autocast(degraded.device.type, enabled=False):
            noise = planes.float().mean(dim=(1, 2, 3))
            filters = [inverse(kernels.float(), noise, balance=balance, reach=self.reach) for balance in self.balances]
            first, *others = [filtered(degraded, each) for each in filters]
        # Only now is the image made to fit: a border that is mirrored twice would not be what a blur leaves.
        side = self.corrector.pad_multiple
        down, right = -h % side, -w % side
        seen, planes = (_extended(x, down, right) for x in (first, torch.cat([degraded, *others, planes], dim=1)))
        x = self.corrector.restore(seen, planes)[:, :, :h, :w]
        # What a sharp image shows beyond the answer is noise.
        if not self.finish or not 1 <= kernels.shape[1] // 2 <= self.reach // 2:
            return x
        with torch.autocast(degraded.device.type, enabled=False):
            last = inverse(kernels.float(), noise, balance=self.finish, reach=self.reach // 2)
            return x.float() + filtered(degraded - filtered(x, kernels.float()), last)


def _with_noise_plane(config: Any) -> Any:
    """The settings of a corrector that is told the noise. Raises SettingError for a network of another kind."""
    if isinstance(config, MODELS["paired"]):
        return dataclasses.replace(config, grey=_with_noise_plane(config.grey), colour=_with_noise_plane(config.colour))
    if not isinstance(config, MODELS["gated"]) or config.scale != 1:
        raise SettingError(f"deconvolving: corrector = {config!r} must be the settings of a gated network of scale 1")
    return dataclasses.replace(config, planes=("noise",))


def _extended(images: Maps, down: int, right: int) -> Maps:
    reach = max(down, right)
    if not reach:
        return images
    h, w = images.shape[2:]
    return mirror(images, reach)[:, :, reach : reach + h + down, reach : reach + w + right]

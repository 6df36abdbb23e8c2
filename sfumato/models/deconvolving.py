"""Deconvolution of a known blur: Wiener filters, then a network that corrects their artefacts.

    images, kernels, noise ─ inverse filters ─ estimates ─┬─ network ─ + ─ x ─ + ─ clean
    images ───────────────────────────────────────────────┘            │       │
    first estimate ────────────────────────────────────────────────────┘       │
    images - x blurred ─ inverse filter ───────────────────────────────────────┘

The filters restore frequencies for a kernel of any shape, and leave amplified noise and ringing; the network learns to remove these
(Schuler et al. 2013, https://doi.org/10.1109/CVPR.2013.142; Dong et al. 2020, https://arxiv.org/abs/2103.09962). At the end the estimate
is blurred again, and the residual to the image is added after a smooth inverse filter.
"""

import copy
from typing import Annotated, final

import torch

from sfumato.core.config import Range, changed, family, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Kernels, Maps, Planes
from sfumato.models import MODELS
from sfumato.models.base import NetworkSettings, build_as, channels_of
from sfumato.models.roles.graph import ExportGraph
from sfumato.models.roles.restorer import Deblurrer, Restorer
from sfumato.nn.resample import mirror
from sfumato.nn.wiener import apply_filters, inverse_filters


@settings
class Config:
    """Settings of a deconvolution network for known blurs."""

    id = "deconvolving"
    corrector: NetworkSettings = MODELS["gated"]()
    """Settings of the correcting network: gated with scale 1, or paired of two of them. Its planes and guides are set here."""
    balances: Annotated[tuple[float, ...], Range(0.01, 100)] = (2.0, 0.5)
    """Smoothness of each Wiener estimate; 1 is optimal for photographs with equal gradient power at all frequencies. The network corrects
    the first estimate and takes the others as guides."""
    reach: Annotated[int, Range(1, 256, "pixels")] = 48
    """Radius of the Wiener filters; the last filter has half of it, and is used only for kernels of at most that radius."""
    finish: Annotated[float, Range(0, 1000)] = 20.0
    """Smoothness of the last filter, on the scale of `balances`; 0 leaves the filter out."""

    @property
    def channels(self) -> int:
        """Channels of the corrector: 1 for grey, 3 for RGB."""
        return channels_of(self.corrector)

    def check(self) -> None:
        if not self.balances:
            raise SettingError("deconvolving: balances is empty; give at least one number in [0.01, 100]")

    def build(self) -> "Deconvolving":
        return Deconvolving(self)


@final
class Deconvolving(Deblurrer):
    """Deblurring network for known kernels: Wiener filters and a correcting network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        network = build_as(Restorer, _with_noise_plane(config.corrector), len(config.balances), name="deconvolving: corrector")
        self.corrector, self.has_grey_path = network, network.has_grey_path
        self.channels, self.scale, self.pad_multiple, self.conditioning = network.channels, 1, 1, network.conditioning
        # Radius of the last filter and of the blur before that filter.
        last = 2 * (config.reach // 2) if config.finish else 0
        self.receptive_radius = None if network.receptive_radius is None else network.receptive_radius + config.reach + last
        self.balances, self.reach, self.finish = config.balances, config.reach, config.finish

    @property
    def tile_multiple(self) -> int:
        return self.corrector.tile_multiple

    def self_ensemble(self, views: int) -> "Deconvolving":
        # The filters commute with flips and quarter turns, so that the ensemble needs the corrector only.
        ensemble = copy.copy(self)
        ensemble._modules = {**self._modules, "corrector": self.corrector.self_ensemble(views)}
        return ensemble

    def export_graphs(self) -> dict[str, ExportGraph]:
        # The Wiener filters depend on the size of the picture, and are no part of the graph: a reader computes its inputs with them.
        return self.corrector.export_graphs()

    def deblur(self, degraded: Images, planes: Planes | None, kernels: Kernels) -> Maps:
        assert planes is not None
        h, w = degraded.shape[2:]
        with torch.autocast(degraded.device.type, enabled=False):
            noise = planes.float().mean(dim=(1, 2, 3))
            filters = [inverse_filters(kernels.float(), noise, balance=balance, reach=self.reach) for balance in self.balances]
            first, *others = [apply_filters(degraded, each) for each in filters]
        # The padding follows the filters: mirroring twice would give borders that no blur produces.
        side = self.corrector.pad_multiple
        down, right = -h % side, -w % side
        estimate, planes = (_extended(x, down, right) for x in (first, torch.cat([degraded, *others, planes], dim=1)))
        x = self.corrector.restore(estimate, planes)[:, :, :h, :w]
        # For a kernel of one pixel the residual is noise, and there is nothing to add.
        if not self.finish or not 1 <= kernels.shape[1] // 2 <= self.reach // 2:
            return x
        with torch.autocast(degraded.device.type, enabled=False):
            last = inverse_filters(kernels.float(), noise, balance=self.finish, reach=self.reach // 2)
            return x.float() + apply_filters(degraded - apply_filters(x, kernels.float()), last)


def _with_noise_plane(config: NetworkSettings) -> NetworkSettings:
    """`config` with the noise level as its only plane. Raises SettingError for a network of another family or scale."""
    if family(config) == "paired":
        parts = {name: getattr(config, name) for name in ("grey", "colour")}
        return changed(config, **{name: _with_noise_plane(part) for name, part in parts.items()})
    if family(config) != "gated" or getattr(config, "scale", 0) != 1:
        raise SettingError(f"deconvolving: corrector = {config!r} must be the settings of a gated network of scale 1")
    return changed(config, planes=("noise",))


def _extended(images: Maps, down: int, right: int) -> Maps:
    reach = max(down, right)
    if not reach:
        return images
    h, w = images.shape[2:]
    return mirror(images, reach)[:, :, reach : reach + h + down, reach : reach + w + right]

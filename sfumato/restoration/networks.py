"""The networks of one run: each is loaded once, and what depends on it alone is worked out once."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from sfumato.core.progress import once, remark
from sfumato.models.roles.restorer import Restorer
from sfumato.restoration import memory
from sfumato.restoration.memory import Tiling
from sfumato.restoration.tiles import optimized
from sfumato.store import weights


class Networks:
    """Networks that repair, kept for as long as this object is: make one for a run, and hand it down.

    A model file that is changed meanwhile is not read again.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[str | Path | nn.Module, int], Restorer] = {}
        self._ready: dict[tuple[Restorer, torch.device], Restorer] = {}
        self._footprints: dict[Restorer, float] = {}
        self._tilings: dict[tuple[Restorer, tuple[int, int], float, float], Tiling] = {}
        self._remarks = set[Restorer]()

    def opened(self, which: str | Path | nn.Module, views: int = 1) -> Restorer:
        """The network called `which`, or `which` itself, that sees a picture in so many `views`; each time the same one.

        Raises SettingError if it repairs nothing, and whatever `weights.load` raises.
        """
        if (which, views) not in self._opened:
            with once():
                network: Restorer = weights.opened(which, Restorer, otherwise="repairs nothing")
                self._opened[which, views] = network if views == 1 else network.self_ensemble(views)
        return self._opened[which, views]

    def ready(self, network: Restorer, device: torch.device) -> Restorer:
        """`network` as `tiles.ready` makes it: on the device `device`, and at its fastest."""
        if network.kernels is not None:  # for one picture, of a network that is there for all
            return self.ready(network.base, device).with_kernels(network.kernels)
        if (network, device) not in self._ready:
            with once():
                self._ready[network, device] = optimized(network, device)
        return self._ready[network, device]

    def footprint(self, network: Restorer) -> float:
        """Bytes that repairing one pixel takes, as `memory.footprint` measures it."""
        kept = network.base
        if kept not in self._footprints:
            with once():
                self._footprints[kept] = memory.footprint(network)
        return self._footprints[kept]

    def tile(
        self, network: Restorer, size: tuple[int, int], allowed: float, remaining: Callable[[float], float], *, row: float = 0.0
    ) -> tuple[int, int]:
        """Rows and columns of the tiles in which `network` repairs a picture of this `size`; its context must be known.

        `remaining` says how many of the bytes that are `allowed` in all are left for it, of which each row of a tile takes `row` beside its
        pixels. Whoever listens is told once if there is so little memory that most of the work is done for nothing.
        """

        def within(allowed: float) -> Tiling:
            return memory.tiling(network, size, remaining(allowed), pixel=self.footprint(network), row=row)

        key = (kept := network.base, size, remaining(allowed), row)
        if key not in self._tilings:
            self._tilings[key] = within(allowed)
            if kept not in self._remarks and (words := memory.cost(self._tilings[key], network, allowed, within)):
                self._remarks.add(kept)
                remark(words)
        return self._tilings[key].tile

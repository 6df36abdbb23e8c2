"""The networks of one run: each is loaded once, and what depends on it alone is worked out once."""

from collections.abc import Callable

import torch

from sfumato.core.finite_output import name_of
from sfumato.core.progress import once, remark
from sfumato.models.roles.restorer import Restorer, WithKernel
from sfumato.restoration import memory
from sfumato.restoration.memory import Tiling
from sfumato.restoration.tiles import optimized
from sfumato.store import weights
from sfumato.store.loaded import Model


class Networks:
    """Networks that repair, kept for as long as this object is: make one for a run, and hand it down.

    A model file that is changed meanwhile is not read again.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[Model, int], Restorer] = {}
        self._names: dict[Restorer, str] = {}
        self._ready: dict[tuple[Restorer, torch.device], Restorer] = {}
        self._footprints: dict[Restorer, float] = {}
        self._tilings: dict[tuple[Restorer, tuple[int, int], float, float], Tiling] = {}
        self._remarks = set[Restorer]()

    def opened(self, which: Model, views: int = 1) -> Restorer:
        """The network called `which`, or `which` itself, that sees a picture in so many `views`; each time the same one.

        Raises SettingError if it repairs nothing, and whatever `weights.load` raises.
        """
        if (which, views) not in self._opened:
            with once():
                model = weights.opened(which, Restorer, otherwise="repairs nothing")
                network = model.network if views == 1 else model.network.self_ensemble(views)
                self._opened[which, views], self._names[network] = network, str(model)
        return self._opened[which, views]

    def ready(self, network: Restorer, device: torch.device) -> Restorer:
        """`network` as `tiles.ready` makes it: on the device `device`, and at its fastest."""
        if isinstance(network, WithKernel):  # made for one picture, of a network that is there for all
            return WithKernel(self.ready(network.network, device), network.kernels)  # type: ignore[arg-type]
        if (network, device) not in self._ready:
            with once():
                self._ready[network, device] = optimized(network, device)
        return self._ready[network, device]

    def name(self, network: Restorer) -> str:
        """The name of a network in messages: the file that it was loaded from, or its class."""
        return self._names.get(_base_network(network)) or name_of(network)

    def footprint(self, network: Restorer) -> float:
        """Bytes that repairing one pixel takes, as `memory.footprint` measures it."""
        kept = _base_network(network)
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

        key = (kept := _base_network(network), size, remaining(allowed), row)
        if key not in self._tilings:
            self._tilings[key] = within(allowed)
            if kept not in self._remarks and (words := memory.cost(self._tilings[key], network, allowed, within)):
                self._remarks.add(kept)
                remark(words)
        return self._tilings[key].tile


def _base_network(network: Restorer) -> Restorer:
    """What stays from picture to picture of a network that is told a blur."""
    return network.network if isinstance(network, WithKernel) else network

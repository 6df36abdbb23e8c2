"""The networks of one run: each is loaded once, and values that depend on the network alone are computed once.

Bundled networks are kept for the next runs of the process: to build one takes as long as to repair a small picture.
"""

import copy
import functools
from collections.abc import Callable

import torch

from sfumato.core.finite_output import name_of
from sfumato.core.progress import once, remark
from sfumato.models.roles.restorer import GreyInColour, InSequence, LumaApart, Restorer
from sfumato.restoration import memory
from sfumato.restoration.memory import Tiling
from sfumato.restoration.tiles import optimized
from sfumato.store import weights
from sfumato.store.export.backend import Backend, with_backend
from sfumato.store.loaded import LoadedModel, Model

_KEPT = 6
"""How many bundled networks a process keeps, of 3 to 10 MB each; all computation leaves them as they are."""
_OTHERWISE = "repairs nothing"
"""What is said of a model that is no restorer."""


class Networks:
    """A cache of restorers for one run.

    A model file that changes during the run is not read again; in the next run it is.
    """

    def __init__(self, backend: Backend = "torch") -> None:
        """With another `backend` than PyTorch, its library computes the networks."""
        self._backend: Backend = backend
        self._opened: dict[tuple[Model, int, bool], Restorer] = {}
        self._sequences: dict[tuple[tuple[Restorer, ...], int], Restorer] = {}
        self._apart: dict[tuple[tuple[Restorer, Restorer], int], Restorer] = {}
        self._for_grey: dict[tuple[Restorer, int], Restorer] = {}
        self._names: dict[Restorer, str] = {}
        self._bundled: dict[Restorer, str] = {}
        self._ready: dict[tuple[Restorer, torch.device], Restorer] = {}
        self._footprints: dict[Restorer, float] = {}
        self._tilings: dict[tuple[Restorer, tuple[int, int], float, float], Tiling] = {}
        self._remarks = set[Restorer | str]()

    def opened(self, which: Model, views: int = 1, *, luma_apart: bool = False) -> Restorer:
        """The restorer with the name or path `which`, or `which` itself, as an ensemble over `views`; the same object for each call.

        With `luma_apart`, a pair restores the luma of colour images by its network for grey ones.
        Raises SettingError if it is no restorer, and the errors of `weights.load`.
        """
        if (which, views, luma_apart) not in self._opened:
            with once():
                model = _opened(which)
                if self._backend != "torch":
                    model = weights.opened(with_backend(model, self._backend), Restorer, otherwise=_OTHERWISE)
                network = model.network.with_luma_apart() if luma_apart else model.network
                network = network if views == 1 else network.self_ensemble(views)
                self._opened[which, views, luma_apart], self._names[network.base] = network, str(model)
                if network is model.network and _is_bundled(which) and self._backend == "torch":
                    self._bundled[network] = str(which)
        return self._opened[which, views, luma_apart]

    def luma_apart(self, grey: Model, colour: Model, views: int = 1) -> Restorer:
        """The network `grey` for luma and grey images with `colour` for the colours, averaged over `views`; the same for each call."""
        parts = self.opened(grey), self.opened(colour)
        if (parts, views) not in self._apart:
            joined = LumaApart(*parts)
            network = joined if views == 1 else joined.self_ensemble(views)
            self._apart[parts, views], self._names[network.base] = network, " and ".join(map(self.name, parts))
        return self._apart[parts, views]

    def for_grey_too(self, which: Model, views: int = 1) -> Restorer:
        """The network `which` for colour images, that grey images pass in all channels, averaged over `views`; the same for each call."""
        network = self.opened(which)
        if (network, views) not in self._for_grey:
            wrapped = GreyInColour(network)
            self._for_grey[network, views] = wrapped if views == 1 else wrapped.self_ensemble(views)
            self._names[self._for_grey[network, views].base] = self.name(network)
        return self._for_grey[network, views]

    def in_sequence(self, *networks: Restorer, views: int = 1) -> Restorer:
        """A network that is all `networks` one after another, as an ensemble over `views`; the same object for each call."""
        if len(networks) == 1 and views == 1:
            return networks[0]
        if (networks, views) not in self._sequences:
            joined = functools.reduce(InSequence, networks)
            network = joined if views == 1 else joined.self_ensemble(views)
            self._sequences[networks, views], self._names[network.base] = network, " and ".join(map(self.name, networks))
        return self._sequences[networks, views]

    def remark_once(self, words: str) -> None:
        """Makes a remark, unless it was made before."""
        if words not in self._remarks:
            self._remarks.add(words)
            remark(words)

    def ready(self, network: Restorer, device: torch.device) -> Restorer:
        """`network` after `tiles.optimized`, on the device `device`."""
        if network.kernels is not None:  # the kernels belong to one picture, the network to all
            return self.ready(network.base, device).with_kernels(network.kernels)
        if (network, device) not in self._ready:
            with once():
                self._ready[network, device] = self._optimized(network, device)
        return self._ready[network, device]

    def _optimized(self, network: Restorer, device: torch.device) -> Restorer:
        if device.type != "cpu":  # a bundled network stays where it is, for runs on the processor
            return optimized(copy.deepcopy(network), device)
        return _at_work(self._bundled[network]) if network in self._bundled else optimized(network, device)

    def name(self, network: Restorer) -> str:
        """The name of a network in messages: the file that it was loaded from, or its class."""
        return self._names.get(network.base) or name_of(network)

    def footprint(self, network: Restorer) -> float:
        """Bytes of memory for each pixel by `memory.footprint`."""
        kept = network.base
        if kept not in self._footprints:
            with once():
                self._footprints[kept] = memory.footprint(network)
        return self._footprints[kept]

    def tile(
        self, network: Restorer, size: tuple[int, int], allowed: float, remaining: Callable[[float], float], *, row: float = 0.0
    ) -> tuple[int, int]:
        """Rows and columns of the tiles in which `network`, whose receptive radius must be known, repairs a picture of this `size`.

        `remaining` maps the `allowed` bytes of the run to the bytes left for the network; each row of a tile takes `row` of them beside its
        pixels. One remark is made for each network if the memory is so small that most of the computation is for contexts.
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


def _is_bundled(which: Model) -> bool:
    return isinstance(which, str) and which in weights.bundled()


def _opened(which: Model) -> LoadedModel[Restorer]:
    return _bundled(str(which)) if _is_bundled(which) else weights.opened(which, Restorer, otherwise=_OTHERWISE)


@functools.lru_cache(maxsize=_KEPT)
def _bundled(name: str) -> LoadedModel[Restorer]:
    return weights.opened(name, Restorer, otherwise=_OTHERWISE)


@functools.lru_cache(maxsize=_KEPT)
def _at_work(name: str) -> Restorer:
    """The bundled network `name` after `tiles.optimized`, on the processor."""
    return optimized(_bundled(name).network, torch.device("cpu"))

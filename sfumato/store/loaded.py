"""A network with the facts that its file holds about it."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import torch
from torch import nn

from sfumato.models.base import NetworkSettings
from sfumato.store.cards import ModelCard

Network_co = TypeVar("Network_co", bound=nn.Module, covariant=True)


@dataclass(frozen=True, eq=False)
class LoadedModel(Generic[Network_co]):
    """A network ready for use, its settings and its card. Calling it calls the network.

    Every verb takes a `LoadedModel` where it takes the name of a model. Attributes of the network are under `network`; reading them from
    the `LoadedModel` itself, as in earlier versions, warns (DeprecationWarning) and goes on.
    """

    network: Network_co
    config: NetworkSettings | None = None
    """The settings that build the network; None for a network that comes from no file and no training."""
    card: ModelCard = field(default_factory=ModelCard)
    path: Path | None = None
    """The file of the model, or the name of a published network; None for a network that was never in a file."""

    def __call__(self, *inputs: object, **options: object) -> Any:
        """The main answer of the network: that of its role's `forward`."""
        return self.network(*inputs, **options)

    def __str__(self) -> str:
        """The name of the model in messages: its file, or the class of its network."""
        return str(self.path or type(self.network).__name__)

    @property
    def interrupted(self) -> bool:
        """Whether the training stopped before its last image."""
        return self.card.interrupted

    def to(self, device: torch.device | str) -> "LoadedModel[Network_co]":
        """The same model, whose network was moved to `device`."""
        self.network.to(device)
        return self

    if not TYPE_CHECKING:  # the type checker refuses what warns

        def __getattr__(self, name: str) -> object:
            if name.startswith("__") or "network" not in vars(self):
                raise AttributeError(name)
            value = getattr(self.network, name)
            warnings.warn(f"a loaded model is no network any more: write model.network.{name}", DeprecationWarning, stacklevel=2)
            return value


Model: TypeAlias = str | Path | nn.Module | LoadedModel[nn.Module]
"""A model as verbs take it: a name, a run folder, a file or hf:owner/name; a network; or a model that was loaded or trained."""

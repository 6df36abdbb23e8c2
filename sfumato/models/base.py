"""Settings that every network family has."""

from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import nn

from sfumato.core.config import family
from sfumato.core.errors import SettingError

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class ModelConfig(Protocol):
    """Settings of a network family. `size`, `channels` and `classes` left at None are taken from the data."""

    @property
    def size(self) -> tuple[int, int] | None: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def classes(self) -> int | None: ...

    def build(self) -> nn.Module:
        """A fresh network; the same settings and seed give the same weights."""
        ...


def data_shape(config: ModelConfig) -> tuple[tuple[int, int], int, int]:
    """Size, channels and classes of `config`. Raises SettingError if the data has not filled them in yet."""
    if config.size is None or config.channels is None or config.classes is None:
        raise SettingError("size, channels and classes must be known before a network is built; set them or let the data fill them in")
    return config.size, config.channels, config.classes


def build_as(role: type[Network], config: Any, *arguments: Any, name: str) -> Network:
    """The network of the settings `config`, built with `arguments`, which is a part of another network.

    Raises SettingError, naming the setting `name`, if these are no settings of a network of that `role`.
    """
    network = config.build(*arguments) if hasattr(config, "build") else None
    if not isinstance(network, role):
        raise SettingError(f"{name} = {family(config)} must be the settings of a {role.__name__}, such as gated")
    return network

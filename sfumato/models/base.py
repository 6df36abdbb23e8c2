"""Settings that every family of networks has."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

from sfumato.core.config import family
from sfumato.core.errors import SettingError

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class NetworkSettings(Protocol):
    """Settings that build a network."""

    def build(self) -> nn.Module:
        """A new network; the same settings and seed give the same weights."""
        ...


@runtime_checkable
class ModelConfig(NetworkSettings, Protocol):
    """Settings of a family of networks. `size`, `channels` and `classes` are taken from the data if None."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None until the data sets it, or for networks that take every size."""
        ...

    @property
    def channels(self) -> int | None:
        """Channels of the images."""
        ...

    @property
    def classes(self) -> int | None:
        """Number of classes; 0 for networks without labels."""
        ...

    def build(self) -> nn.Module:
        """A new network; the same settings and seed give the same weights."""
        ...


def data_shape(config: ModelConfig) -> tuple[tuple[int, int], int, int]:
    """Size (height, width), channels and classes of `config`. Raises SettingError if one of them is still None."""
    if config.size is None or config.channels is None or config.classes is None:
        missing = ", ".join(name for name in ("size", "channels", "classes") if getattr(config, name) is None)
        raise SettingError(f"{missing} must be set before a network is built; give a value, or resolve the settings with the data")
    return config.size, config.channels, config.classes


@runtime_checkable
class Growing(NetworkSettings, Protocol):
    """Settings of a family whose networks come in several sizes."""

    def larger(self) -> "Growing | None":
        """The settings of the next larger network; None for the largest."""
        ...


@runtime_checkable
class OfOneSize(Protocol):
    """A network for images of one size, or its settings."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None in settings until the data sets it."""
        ...

    @property
    def channels(self) -> int | None:
        """Channels of the images; None in settings until the data sets it."""
        ...


@runtime_checkable
class RestorerSettings(NetworkSettings, Protocol):
    """Settings of a network for images of a given number of channels and of any size."""

    @property
    def channels(self) -> int:
        """Channels of the images: 1 for grey, 3 for RGB."""
        ...


def channels_of(config: NetworkSettings) -> int:
    """The channels of the images of a restorer. Raises SettingError for settings without them."""
    if not isinstance(config, RestorerSettings):
        raise SettingError(f"{family(config)} is no restorer; give the settings of one, such as gated")
    return config.channels


def build_as(role: type[Network], config: NetworkSettings, *arguments: object, name: str) -> Network:
    """The network of the settings `config`, built with `arguments`, which is a part of another network.

    Raises SettingError, naming the setting `name`, if these are no settings of a network of that `role`.
    """
    build: Callable[..., nn.Module] = config.build
    network = build(*arguments)
    if not isinstance(network, role):
        raise SettingError(f"{name} = {family(config)} must be the settings of a {role.__name__}, such as gated")
    return network

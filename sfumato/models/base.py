"""Settings that every network family has."""

from typing import Protocol, runtime_checkable

from torch import nn

from sfumato.core.errors import SettingError


@runtime_checkable
class NetworkSettings(Protocol):
    """Settings that build a network."""

    def build(self) -> nn.Module:
        """A fresh network; the same settings and seed give the same weights."""
        ...


@runtime_checkable
class ModelConfig(NetworkSettings, Protocol):
    """Settings of a network family. `size`, `channels` and `classes` left at None are taken from the data."""

    @property
    def size(self) -> tuple[int, int] | None: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def classes(self) -> int | None: ...


def data_shape(config: ModelConfig) -> tuple[tuple[int, int], int, int]:
    """Size, channels and classes of `config`. Raises SettingError if the data has not filled them in yet."""
    if config.size is None or config.channels is None or config.classes is None:
        raise SettingError("size, channels and classes must be known before a network is built; set them or let the data fill them in")
    return config.size, config.channels, config.classes

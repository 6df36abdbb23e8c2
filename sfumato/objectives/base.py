"""Base classes of objectives. An objective is the task of a training: its phases, its data, its previews and its figures.

A phase is a group of weights and the loss that moves them: one network and one loss is one phase, a GAN has two, and a third for a lazy
penalty. Everything that differs between tasks is a hook of the objective; the loop knows neither tasks nor roles:

| hook | called | default |
|---|---|---|
| `load` | before the run | images of one size |
| `complete_model`, `complete` | before the network is built | size, channels and classes of the data |
| `check_start`, `check_images` | before the first step | no check |
| `prepare` | on each batch, also of a preview or a validation | the batch as it is |
| `phases` | once; their losses at each step | none: every objective has its own |
| `preview`, `validate`, `monitored` | at each sheet of samples | nothing |
| `finish`, `remedies` | at the end of the run | nothing |
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, get_type_hints, runtime_checkable

import torch
from torch import nn

from sfumato.core.config import changed, family
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws, seeded_generator
from sfumato.core.tensors import Images, Labels, Maps, Scalar, size_text
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream
from sfumato.degradations.base import Degradation, Degraded
from sfumato.models.base import ModelConfig, NetworkSettings
from sfumato.models.roles.generator import Generator, latents

Losses = dict[str, Scalar]
"""Named scalars for the log; "total" is the one that is differentiated."""
SomeObjective = TypeVar("SomeObjective", bound="AnyObjective")
Network = TypeVar("Network", bound=nn.Module)
SomeGenerator = TypeVar("SomeGenerator", bound=Generator)
SHEET = 64
"""Images on a sheet of samples."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of a loss. `degraded` is `clean` itself unless the objective prepares another."""

    clean: Images
    degraded: Maps
    """The images that the network is given: degraded ones for a restorer, those of the other kind for a translator."""
    labels: Labels | None
    rng: torch.Generator
    images_seen: int
    """Images seen before this batch."""
    progress: float
    """`images_seen` as a share of the whole run, in [0, 1]."""
    damage: Degraded | None = None
    """The degradation of `clean`; None without one."""
    part: int = 0
    """Number of the process that has this part of the batch."""
    parts: int = 1
    """Number of processes that share the batch."""

    @property
    def draws(self) -> Draws:
        """Random numbers for the images of the batch, on their device."""
        return Draws(rng=self.rng, count=len(self.clean), part=self.part, parts=self.parts, device=self.clean.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers of `shape` for each image of the batch, on its device."""
        return self.draws.normal(*shape)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) of `shape` for each image of the batch, on its device."""
        return self.draws.uniform(*shape)


def still_batch(clean: Images, rng: torch.Generator, labels: Labels | None = None) -> Batch:
    """A batch of images for a preview or a validation, as after the whole run. `rng` draws its random numbers."""
    return Batch(clean=clean, degraded=clean, labels=labels, rng=rng, images_seen=0, progress=1.0)


class Memory(nn.Module):
    """The state of an objective from step to step, as buffers of float32: a part of the state from which a killed run is resumed.

    After each step of its phase every buffer becomes its mean over the processes that share the batch. A loss may therefore add to a
    buffer only a mean over its own images. Decisions that depend on a buffer are then the same in all processes.
    """

    dials: dict[str, tuple[float, float]]
    """Buffers that the training monitor may change, each with its lowest and highest value."""
    earlier_names: Mapping[str, str] = MappingProxyType({})
    """Names of buffers in states of earlier releases, each with its present name."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A group of weights, the loss that moves them, and how often."""

    name: str
    weights: list[nn.Parameter]
    loss: Callable[[Batch], Losses]
    every: int = 1
    """The phase runs on every k-th step only; for costly penalties."""
    memory: Memory | None = None
    """The state of the loss, in the one phase that changes it."""


@runtime_checkable
class RunSettings(Protocol):
    """The settings of a training that objectives read, of those in `TrainSettings`."""

    @property
    def model(self) -> NetworkSettings:
        """Settings of the network."""
        ...

    @property
    def objective(self) -> "AnyObjective":
        """Settings of the objective."""
        ...

    @property
    def patch(self) -> int:
        """Side of the squares cut out of pictures, in pixels; 0 for whole images."""
        ...

    @property
    def degrade(self) -> Degradation:
        """The degradation of clean images."""
        ...

    @property
    def batch(self) -> int:
        """Images of a step."""
        ...

    @property
    def by_class(self) -> bool:
        """Whether a batch holds as many images of each class."""
        ...

    @property
    def lr(self) -> float:
        """Learning rate at the start."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        ...


@runtime_checkable
class ImageSource(Protocol):
    """The images that the settings of a training name. An objective chooses in which form it loads them."""

    @property
    def path(self) -> str:
        """The name of a data set, or the path of a folder, a zip or an IDX file."""
        ...

    def images(self, folder: str = "", *, whole: bool = False) -> Dataset:
        """Images of one size, with the size and channels of the network's settings, or the data's own where these are open.

        `folder` is a folder inside of the source. The test images are left out, unless `whole` asks for all. Raises DataError.
        """
        ...

    def pictures(self, folder: str = "", *, whole: bool = False) -> Dataset | Scenes:
        """Pictures, each of its own size, with the channels of the network's settings, or 3 where these are open. Raises DataError."""
        ...


class Objective(ABC, Generic[Network]):
    """The task of a training on images of one size. A subclass is a class of settings; only `phases` must be defined.

    `Network` is the role of the networks that the objective trains.
    """

    @abstractmethod
    def phases(self, model: Network) -> list[Phase]:
        """The phases that train `model`; their weights are disjoint or equal, and cover all that is to be trained.

        The type of `model` is the role of the networks that the objective trains.
        """

    @classmethod
    def role(cls) -> type[nn.Module]:
        """The role of the networks that the objective trains: the type of `model` in `phases`; any network for a type that is no role."""
        try:
            hint = get_type_hints(cls.phases).get("model")
        except NameError:  # a name that only type checkers import
            return nn.Module
        return hint if isinstance(hint, type) and issubclass(hint, nn.Module) else nn.Module

    def load(self, source: ImageSource) -> Dataset | Scenes:
        """The data to train on."""
        return source.images()

    def ignored(self) -> dict[str, str]:
        """Settings of a training without effect on this objective, each with the reason. Training refuses them."""
        return {"patch": "images are taken whole", "degrade": "it restores nothing"}

    def complete_model(self, model: NetworkSettings, data: Dataset | Scenes) -> NetworkSettings:
        """The settings `model` of a network, with size, channels and classes of `data` where they are open.

        Raises SettingError if the network is for other images than those of `data`.
        """
        if not isinstance(model, ModelConfig):
            raise SettingError(f"objective = {family(self)} trains networks for images of one size, and {family(model)} has no size")
        if not isinstance(data, Dataset):
            raise SettingError(f"{family(model)} wants images of one size: load them with sfumato.data.load")
        return _with_shape_of(data, model)

    def complete(self: SomeObjective, model: object) -> SomeObjective:
        """The objective with its open settings taken from `model`, the complete settings of the network."""
        return self

    def class_run(self, model: object) -> int:
        """Number of images of one class that lie side by side in a batch, for the network with the settings `model`; 1 for any order."""
        return 1

    def check_start(self, start: str, missing: Sequence[str] = ()) -> None:
        """Raises SettingError if training cannot begin with the weights that `start` names; empty for random ones.

        `missing` lists the parts of the network that these weights do not have.
        """

    def check_images(self, model: Network, stream: Stream, settings: RunSettings) -> None:
        """Raises SettingError if `model` cannot be trained on the images of `stream`."""

    def prepare(self, batch: Batch, settings: RunSettings) -> Batch:
        """The input of the losses and of `validate`, from a batch of augmented images of the data."""
        return batch

    def preview(self, model: Network, stream: Stream, settings: RunSettings) -> Images | None:
        """A sheet of images that shows the state of `model`, in [0, 1] up to a small overshoot; None for no sheet.

        The inputs are the same at every call. It is called without gradients, on the averaged weights, in evaluation mode.
        """
        return None

    def preview_count(self) -> int:
        """Number of images that `preview` generates, from which the time of the first one is guessed; 0 if it takes hardly any time."""
        return 0

    def validate(self, model: Network, batch: Batch) -> Losses:
        """Figures of the prepared `batch` of held-out images, each a mean over its images. None by default."""
        return {}

    @property
    def validates(self) -> bool:
        """Whether `validate` measures anything."""
        return type(self).validate is not Objective.validate

    def validation_batch(self) -> int:
        """The largest number of images that `validate` takes at once."""
        return 512

    def monitored(self, model: Network) -> Generator | None:
        """The generator whose images the training monitor measures against those of the data; None for none."""
        return None

    def remedies(self, fault: str, settings: RunSettings) -> list[str]:
        """Flags of the command line that correct `fault`, a symptom of the training monitor, in another run of `settings`."""
        return []

    def finish(self, model: Network, stream: Stream) -> None:
        """Completes `model`, the trained network, once at the end of the run, such as by fitting a prior."""


AnyObjective: TypeAlias = Objective[Any]
"""An objective whose network is known only when the program runs; `Trainee` compares the network with `role` before the first step."""


class GeneratorObjective(Objective[SomeGenerator]):
    """The task of a generator. Its preview is a sheet of samples."""

    def preview(self, model: SomeGenerator, stream: Stream, settings: RunSettings) -> Images:
        """The same 64 samples at every call, each of the next class."""
        z = latents(model, SHEET, seeded_generator(0, "sheet")).to(stream.device)
        labels = labels_in_turn(model.classes, SHEET, stream.device)
        parts = portions(SHEET, settings.batch)
        return torch.cat([model.sample(z[part], None if labels is None else labels[part]) for part in parts])

    def preview_count(self) -> int:
        return SHEET


class PictureObjective(Objective[Network]):
    """The task of a network for images of any size: training on squares of `patch` pixels out of pictures, or on whole pictures."""

    def load(self, source: ImageSource) -> Dataset | Scenes:
        """Pictures, each of its own size."""
        return source.pictures()

    def ignored(self) -> dict[str, str]:
        return {"crop": "squares are cut out of pictures (patch)", "degrade": "it restores nothing"}

    def complete_model(self, model: NetworkSettings, data: Dataset | Scenes) -> NetworkSettings:
        """`model` as it is: a network for images of any size takes nothing from the data."""
        return model


def portions(count: int, most: int) -> list[slice]:
    """Slices of at most `most` that cover 0 to `count`. With `most` the batch size, a preview needs no more memory than training."""
    return [slice(start, start + most) for start in range(0, count, most)]


def labels_in_turn(classes: int, count: int, device: torch.device) -> Labels | None:
    """`count` labels 0, 1, 2, ... over and over; None without classes."""
    return torch.arange(count, device=device) % classes if classes else None


def _with_shape_of(data: Dataset, model: ModelConfig) -> ModelConfig:
    """The settings `model` of a network with size, channels and classes of `data`. Raises SettingError if they are for others."""
    channels, height, width = data.pixels.shape[1:]
    if model.size not in (None, (height, width)):
        raise SettingError(
            f"model.size is for images of {size_text(model.size)} pixels, but those of {data.name} have {size_text((height, width))}; "
            "leave it unset to take the data's"
        )
    if model.channels not in (None, channels):
        raise SettingError(f"model.channels = {model.channels}, but {data.name} has {channels}; leave it unset to take the data's")
    classes = len(data.classes) if model.classes is None else model.classes
    if classes not in (0, len(data.classes)):
        raise SettingError(f"model.classes = {classes}, but {data.name} has {len(data.classes)}; leave it unset, or 0 to ignore labels")
    return changed(model, size=(height, width), channels=channels, classes=classes)

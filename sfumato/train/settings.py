"""The settings of a training. All durations are counted in images, so that none depends on the batch size."""

import dataclasses
import re
from typing import Annotated, Literal, TypeVar, cast

from sfumato.core.config import Range, changed, family, fields_of, settings
from sfumato.core.device import Precision
from sfumato.core.errors import DataError, SettingError
from sfumato.core.paths import last_name
from sfumato.core.text import quoted
from sfumato.data.augment import Config as Augmentation
from sfumato.data.dataset import Dataset, Scenes
from sfumato.degradations.base import Degradation
from sfumato.degradations.chain import Config as Chain
from sfumato.models.base import Growing, NetworkSettings
from sfumato.objectives.base import AnyObjective

Value = TypeVar("Value")


@settings
class TrainSettings:
    """All settings of a training."""

    id = "training"
    model: NetworkSettings
    """The network."""
    objective: AnyObjective
    """The objective."""
    data: str = "glyphs"
    """A folder, a zip or an IDX file of images, or a known name: glyphs, mnist, fashion-mnist, cifar10, cats64, eurosat;
    for restorers also bsds500, drawings and others, and several as one: bsds500+drawings."""
    start: str = ""
    """A bundled model, a run folder or a model file whose weights training begins with; without it they are drawn at random."""
    crop: Literal["centre", "stretch"] = "centre"
    """Way to give images the shape that the network takes: cut to the middle, or stretched."""
    tolerance: Annotated[float, Range(0, 1, "of the files")] = 0.05
    """Share of the files that may turn out to be unreadable; with more, the run does not begin."""
    without_duplicates: bool = False
    """Whether copies of other images (resized, compressed, mirrored, cropped a little) are left out; `sfumato duplicates` lists them."""
    validation: Annotated[float, Range(0, 0.9, "of the images")] = 0.0
    """Share held out and measured at every sample, for objectives that measure. The choice of images depends on their content alone."""
    patch: Annotated[int, Range(0, 4096, "pixels")] = 0
    """Side of the squares cut out of pictures at random, for networks that take images of any size; 0 takes pictures whole."""
    augment: Augmentation = Augmentation()
    """Random changes to the training images."""
    degrade: Degradation = Chain()
    """The degradation that a restorer learns to undo."""
    images: Annotated[int, Range(1, 10**12, "images")] = 1_000_000
    """Length of the run. Planned from the budget if there is one. More than a run in the folder was given prolongs that run."""
    budget: str = ""
    """Wall-clock time for the run, such as 90s, 20min or 2h: its length is fitted to the speed, again and again while it trains. The start,
    the last samples and saving are included. A continued run has what is left of its budget; a longer one prolongs it."""
    grow: Annotated[int, Range(0, 10**12, "images")] = 0
    """With a budget: the network is taken a size larger for as long as it would see more images than this; 0 leaves it as it is."""
    batch: Annotated[int, Range(1, 65536, "images")] = 64
    """Images a step, over all processes together."""
    by_class: bool = True
    """Whether images of one class lie side by side in each batch, as many as the discriminator compares with one another (its minibatch
    deviation), if the data has classes. Images of different classes differ in any case: without this, a generator may make a single
    image of each class, and the comparison does not show it."""
    optimiser: Literal["adam", "muon"] = "adam"
    """The optimizer. Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) makes all singular values of a
    kernel's step alike; Adam moves all other weights. Fewer images for the same quality, each of them somewhat slower."""
    lr: Annotated[float, Range(0, 1)] = 1e-3
    """Peak step size."""
    lr_end: Annotated[float, Range(0, 1, "of the peak")] = 0.0
    """The step size falls to this share of its peak along a cosine over the run; 1 keeps it."""
    lr_warmup: Annotated[int, Range(0, 10**12, "images")] = 0
    """The step size rises linearly from zero over this many images."""
    beta1: Annotated[float, Range(0, 0.9999)] = 0.9
    """Decay of Adam's mean of the gradient."""
    beta2: Annotated[float, Range(0, 0.99999)] = 0.99
    """Decay of Adam's mean of the squared gradient."""
    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    """Decoupled weight decay of matrices and kernels (AdamW)."""
    clip: Annotated[float, Range(0, 1e6)] = 0.0
    """Gradients longer than this are scaled down to it; 0 leaves them."""
    ema: Annotated[int, Range(0, 10**12, "images")] = 10_000
    """Half-life of the moving average of the weights, which is sampled and saved; 0 uses the weights themselves."""
    ema_rampup: Annotated[float, Range(0, 1, "of the images seen")] = 0.05
    """The half-life is never more than this share of the images seen, so that the first weights are forgotten early."""
    precision: Precision = "auto"
    """bf16 runs convolutions and matrix products in half the bits; auto does so where the hardware is made for it."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """The same seed, settings and data give the same weights."""
    doctor: Literal["watch", "act"] = "watch"
    """Whether the doctor only names faults, or also acts: it changes gamma and augmentation, and after a divergence goes back to the last
    good state with half the step."""
    log_every: Annotated[int, Range(1, 10**12, "images")] = 5_000
    """A line in log.jsonl and TensorBoard; in a short run, every twentieth of it."""
    sample_every: Annotated[int, Range(1, 10**12, "images")] = 50_000
    """A sheet of samples, and the validation. The diversity of images is also measured every twentieth of a short run."""
    save_every: Annotated[int, Range(1, 10**12, "images")] = 50_000
    """The state from which a killed run goes on."""
    keep_paths: bool = False
    """Whether the model file and the run folder keep the whole paths of the images and of the weights that training began with; without it
    they keep the last name of a path alone."""

    def check(self) -> None:
        if self.budget:
            seconds(self.budget)


Config = TrainSettings


def seconds(budget: str) -> float:
    """`90s`, `20min` or `2h` in seconds, also in whole words. Raises SettingError for anything else.

    >>> seconds("1.5min"), seconds("2 hours")
    (90.0, 7200.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\s*", budget)
    if not match or float(match[1]) <= 0:
        raise SettingError(f"budget = {quoted(budget)} is not a length of time; write 90s, 20min or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2][0]]


def shareable(settings: TrainSettings) -> TrainSettings:
    """`settings` in the form for files: only the last names of paths, unless `keep_paths` is set."""
    return settings if settings.keep_paths else named(settings)


def named(value: Value) -> Value:
    """`value`, a text or settings of any depth, with only the last names of paths."""
    if isinstance(value, str):
        return cast(Value, last_name(value))
    if isinstance(value, tuple):
        return cast(Value, tuple(map(named, value)))
    parts = {field.name: getattr(value, field.name) for field in fields_of(value)}
    new = {name: shorter for name, part in parts.items() if (shorter := named(part)) != part}
    return changed(value, **new) if new else value


def class_count(settings: TrainSettings) -> int:
    """Number of classes of the network; 0 if it takes no labels."""
    return getattr(settings.model, "classes", 0) or 0


def often(every: int, settings: TrainSettings) -> int:
    """`every` images, or a twentieth of the run if that is less, and ten steps at least: short runs are logged as often as long ones."""
    return min(every, max(10 * settings.batch, settings.images // 20))


def class_run(settings: TrainSettings) -> int:
    """Number of images of one class that lie side by side in a batch; 1 for any order."""
    return settings.objective.class_run(settings.model) if settings.by_class and class_count(settings) else 1


def resolve(requested: TrainSettings, data: Dataset | Scenes) -> TrainSettings:
    """`requested` with open settings of the network and of the objective taken from `data`.

    Raises SettingError if a setting has no effect, if the network is for other images than those of `data`, or if images would be
    held out without being measured; DataError if there are too few images.
    """
    objective = requested.objective
    if requested.validation and not objective.validates:
        raise SettingError(
            f"validation = {requested.validation:g} has no effect: {family(objective)} measures nothing on held-out images; leave it at 0"
        )
    if requested.grow and not isinstance(requested.model, Growing):
        raise SettingError(f"grow = {requested.grow} has no effect: {family(requested.model)} has only one size; leave it at 0")
    objective.check_start(requested.start)
    if len(data) < 2:
        raise DataError(f"{data.name} has {len(data)} image; training needs at least 2")
    default = {field.name: field.default for field in dataclasses.fields(TrainSettings)}
    for name, reason in objective.ignored().items():
        if getattr(requested, name) != default[name]:
            raise SettingError(f"{name} has no effect with the objective {family(objective)}: {reason}; leave it unset")
    model = objective.complete_model(requested.model, data)
    return dataclasses.replace(requested, model=model, objective=objective.complete(model))

"""The request of a restoration, checked before any picture is opened."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sfumato import __version__
from sfumato.classical import methods as classical
from sfumato.core.atomic_io import digest
from sfumato.core.catalog import suggest
from sfumato.core.device import Precision
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.json_value import JsonObject
from sfumato.core.paths import last_name
from sfumato.io.masks import MaskOptions
from sfumato.metrics.features import weights_hash
from sfumato.nn.blurs import named
from sfumato.restoration import upscaling
from sfumato.store import weights
from sfumato.store.export.backend import Backend
from sfumato.store.loaded import Model

Task = Literal["auto", "denoise", "deblur", "inpaint", "upscale", "jpeg"]
Find = Literal["scratches", "dead-pixels", "dust"]
Ways = Literal[1, 4, 8]
Quality = Literal["standard", "best"]
Look = Literal["faithful", "sharp"]
_CHOICES = {
    "task": get_args(Task),
    "find": get_args(Find),
    "precision": get_args(Precision),
    "ensemble": get_args(Ways),
    "quality": get_args(Quality),
    "look": get_args(Look),
    "backend": get_args(Backend),
}
PRIOR = "deep-image-prior"
"""The method that fits a network to the one picture."""
METHODS = (*classical.METHODS, PRIOR)
GENERAL, DENOISER, DEBLOCKER = "restore", "denoise", "deblock"
"""The bundled networks for damage of many kinds, for noise in colour pictures, and for the luma of JPEGs."""
NETWORKS = (GENERAL, DENOISER, DEBLOCKER, "deblur", "inpaint", *upscaling.NAMES)
"""The bundled networks for all tasks."""
DETECTOR = "dust"
"""The bundled network that finds dust, hairs and scratches, and the word for it in `find`."""
ENOUGH = 2.2e9
"""Bytes of memory in which each bundled network repairs 12 megapixels at a third of its speed or more."""
_LEAST_MEMORY = 7e8


@dataclass(frozen=True, kw_only=True)
class RestorationRequest:
    """The settings of a restoration."""

    task: Task = "auto"
    model: Model | None = None
    """A bundled model, a run folder, a model file or a loaded model, instead of the bundled one for the task."""
    method: str | None = None
    """A classical method, or deep-image-prior, instead of a network."""
    scale: float | None = None
    """Factor by which the task upscale enlarges the sides, 1 to 8 (16 with the method bicubic); None for the factor of the model, or 2."""
    quality: Quality = "standard"
    """"best" takes the mean over eight views, for the task upscale of a larger model, at many times the time."""
    look: Look = "faithful"
    """For the task upscale: "sharp" takes a network that invents fine texture, at a larger error."""
    strength: float = 1.0
    """0 keeps the picture, 1 takes the output of the network, values up to 2 extrapolate beyond it."""
    noise: float | None = None
    """Standard deviation of the noise as a share of full scale, for networks and methods that take it; None to estimate it."""
    blur: str | None = None
    """The blur in pixels, for networks and methods that take it: gaussian:1.6, motion:9@30 (degrees) or defocus:3; None to estimate it."""
    find: tuple[Find, ...] = ()
    """Damage that is searched and filled in."""
    grow_mask: int = 0
    """Pixels by which each hole of a mask is enlarged in every direction."""
    invert_mask: bool = False
    """Whether the mask is dark where to fill in."""
    alpha_mask: bool = False
    """Whether the opacity of the picture is its mask: pixels that are not opaque are filled in, and become opaque."""
    tile: int | None = None
    """Side in pixels of the tiles that are computed at once; None to choose it by the memory."""
    memory: float = 2e9
    """Bytes of memory that may be used."""
    precision: Precision = "fp32"
    """Number format of the network."""
    backend: Backend = "torch"
    """Library that computes the networks; others than PyTorch compute in float32 on the processor."""
    ensemble: Ways = 1
    """Number of orientations, mirrored (4) and also transposed (8), over which outputs are averaged."""
    device: str = "auto"

    def check(self) -> None:
        """Raises SettingError for a setting outside its range, for settings that exclude each other, and for one without effect."""
        self._check_choices()
        self._check_task()
        self._check_numbers()
        if self.method is not None:
            self._check_method(self.method)

    @property
    def views(self) -> Ways:
        """Over how many views the output of a network is averaged."""
        return 8 if self.quality == "best" and self.ensemble == 1 else self.ensemble

    @property
    def estimates_noise(self) -> bool:
        """Whether noise of any kind is estimated: it is not given, and a network, or a method that has to know it, is used."""
        return self.noise is None and (self.method is None or "noise" in needs_of(self.method))

    @property
    def upscalers(self) -> tuple[upscaling.Kind, ...]:
        """The kinds of networks that the task upscale may take: of a clean picture, and of a JPEG if that is another one."""
        if self.look == "sharp":
            return ("sharp",)
        return ("best",) if self.quality == "best" else ("plain", "jpeg")

    def _check_choices(self) -> None:
        """Raises SettingError for a word that is none of the words allowed."""
        if isinstance(self.find, str):
            raise SettingError(f"find = {self.find!r} is one text; give several, as in find=({self.find!r},)")
        for name, choices in _CHOICES.items():
            for value in self.find if name == "find" else (getattr(self, name),):
                if value not in choices:
                    raise SettingError(f"{name} = {value!r} is none of {', '.join(map(str, choices))}")

    def _check_task(self) -> None:
        """Raises SettingError for settings that do not belong to the task, or exclude each other."""
        if not 0 <= self.strength <= 2:
            raise SettingError(f"strength = {self.strength:g} is outside [0, 2]")
        if self.strength != 1 and self.task == "upscale":
            raise SettingError(f"strength = {self.strength:g} has no effect on upscale; leave it at 1")
        if self.scale is not None and self.task != "upscale":
            raise SettingError(f"scale = {self.scale:g} has no effect on the task {self.task}; it is for upscale")
        if self.quality != "standard" and self.method is not None:
            raise SettingError(f"quality = {self.quality} has no effect on {self.method}; leave it out")
        if self.look != "faithful" and (self.task != "upscale" or self.model is not None or self.method is not None):
            raise SettingError(f"look = {self.look} is for the task upscale with a bundled model; leave it out")
        if self.look == "sharp" and (self.quality != "standard" or self.ensemble != 1):
            other = f"quality = {self.quality}" if self.quality != "standard" else f"ensemble = {self.ensemble}"
            raise SettingError(f"look = sharp and {other}: a mean over views has no invented texture left; give one of them")
        if self.task == "upscale" and self.method not in (None, "bicubic"):
            raise SettingError(f"{self.method} does not enlarge; the method for upscale is bicubic")
        if self.task != "upscale" and self.method == "bicubic":
            raise SettingError("bicubic enlarges; it is a method for the task upscale")
        if self.model is not None and self.method is not None:
            raise SettingError(f"model = {self.model} and method = {self.method}: give one of them")
        if self.backend != "torch" and (self.method is not None or self.precision != "fp32"):
            other = f"method = {self.method}" if self.method is not None else f"precision = {self.precision}"
            raise SettingError(f"backend = {self.backend} and {other}: give one of them")
        if self.ensemble != 1 and self.method is not None:
            raise SettingError(f"ensemble = {self.ensemble} has no effect on {self.method}; leave it out")

    def _check_numbers(self) -> None:
        """Raises SettingError for numbers outside their range, and for a blur beside a task that ignores it."""
        MaskOptions(grow=self.grow_mask, invert=self.invert_mask).check()
        if self.memory < _LEAST_MEMORY:
            raise SettingError(
                f"memory = {self.memory / 1e9:.1f} GB is less than torch itself needs; give at least {_LEAST_MEMORY / 1e9:g}GB, with which "
                f"12 megapixels can take over 100 times as long, or {ENOUGH / 1e9:g}GB, from which on it takes at most 3 times as long"
            )
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise SettingError(f"noise = {self.noise * 255:g} is outside [0, 255]")
        if self.blur is not None and self.task not in ("auto", "deblur"):
            raise SettingError(f"blur = {self.blur} has no effect on the task {self.task}; it is for deblur")
        if self.blur is not None and self.find:
            raise SettingError(
                f"blur = {self.blur} and find = {', '.join(self.find)} cannot be in one run; fill in first, then undo the blur"
            )
        if self.blur is not None:
            named(self.blur)
        if self.scale is not None and self.scale < 1:
            raise SettingError(f"scale = {self.scale:g} is less than 1")

    def _check_method(self, method: str) -> None:
        """Raises SettingError for an unknown method, and for settings that the method ignores."""
        if method not in METHODS:
            raise UnknownNameError(f"no method {method!r}{suggest(method, METHODS)}; there are {', '.join(METHODS)}")
        if self.precision != "fp32":
            raise SettingError(f"precision = {self.precision} has no effect on {method}; leave it out")
        needs = needs_of(method)
        if "kernels" not in needs and self.blur is not None:
            raise SettingError(f"blur = {self.blur} has no effect on {method}; leave it out")
        if "noise" not in needs and self.noise is not None:
            raise SettingError(f"noise = {self.noise * 255:g} has no effect on {method}; leave it out")
        if "observed" in needs and self.task not in ("auto", "inpaint"):
            raise SettingError(f"{method} fills in; it has no use for the task {self.task}")


def needs_of(method: str | None) -> tuple[str, ...]:
    """Names of the arguments that a classical method takes beside the images; none for a network."""
    return classical.METHODS[method].needs if method in classical.METHODS else ()


def request_facts(request: RestorationRequest) -> JsonObject:
    """A request as it comes back from JSON, with hashes of the models' files: what a manifest compares a later run with.

    Device, memory and tile size are left out, since results do not depend on them.
    """
    kept = {f.name: getattr(request, f.name) for f in dataclasses.fields(request) if f.name not in ("device", "memory", "tile")}
    # Manifests of older releases lack these settings.
    kept = {name: value for name, value in kept.items() if value or name not in ("grow_mask", "invert_mask", "alpha_mask")}
    for name, usual in (("quality", "standard"), ("look", "faithful"), ("backend", "torch")):
        if kept[name] == usual:
            del kept[name]
    if isinstance(request.model, str | Path):
        kept |= {"model": last_name(request.model), "weights": digest(weights.find(request.model))}
    elif request.model is not None:
        network = weights.model_of(request.model).network
        kept |= {"model": type(network).__qualname__, "weights": weights_hash(network)}
    elif request.method is None:  # a better bundled model is another one
        names = _bundled_names(request)
        kept["weights"] = {name: digest(path) for name, path in weights.bundled().items() if name in names}
    return json.loads(json.dumps({**kept, "sfumato": __version__}, default=str))


def _bundled_names(request: RestorationRequest) -> tuple[str, ...]:
    """The bundled models that a request without a model or method may use."""
    if request.task != "upscale":
        same_size = [name for name in NETWORKS if name not in upscaling.NAMES]
        return (*same_size, *([DETECTOR] if DETECTOR in request.find else []))
    return (DENOISER, DEBLOCKER, *(upscaling.upscaler(request.scale or 2, kind) for kind in request.upscalers))

"""What is to be done about a picture: from a task, or from what is found in it, to a network or a classical method.

    request, picture ─ diagnose, if it matters ─ choose ─> Remedy (words, network or method, what it is told)

| task | what repairs |
|---|---|
| denoise, jpeg | `restore`, blind: it is told nothing |
| deblur | `deblur`, told the blur by the person, or by what is found; `restore` where none is found |
| inpaint | `inpaint`, told by a mask, or by scratches and dead pixels that are looked for, where to fill |
| upscale | `upscale-x2` or `upscale-x4` |
| auto | what dominates; salt and pepper without other noise is a matter of filling in |
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sfumato.analysis import flaws
from sfumato.analysis.diagnose import Diagnosis, Source, diagnose, salt_and_pepper
from sfumato.analysis.jpeg import coarseness
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import name_of
from sfumato.core.tensors import Images, Kernels, Planes
from sfumato.models.roles.restorer import Deblurrer, Restorer, WithKernel
from sfumato.nn.blurs import Blur, named
from sfumato.restoration.networks import Networks
from sfumato.restoration.request import Find, RestorationRequest, Task, needs_of
from sfumato.store.loaded import Model

NOTHING = "nothing to repair"
"""How the words end of a picture that is left as it is."""


NOTHING_MISSING = "nothing to fill in"


IMPULSES = 0.005
"""Share of wrong black and white pixels from which on they are a matter of filling in, if there is little other noise."""


_FLAWS: dict[Find, Callable[[Images], Planes]] = {"scratches": flaws.scratches, "dead-pixels": flaws.impulses}


ROUNDING = 0.3 / 255
"""Noise that 8 bits add, and so the least that methods are told where none is found."""


_QUANTISED = 2 / 255
"""Noise that `deblur` is told at least of a JPEG, and of a coarse one its coarseness: what an inverse filter makes of its rounding is as
bad as that of noise (best of 2, 4, 7 and 12 for qualities of 85, 60, 40 and 25: 2, 4, 4 and 7)."""


QUIET = 4 / 255
"""Noise below which it is left alone by filling in."""


@dataclass(frozen=True, kw_only=True)
class RestorationPlan:
    """What is done, in words and in deed."""

    summary: str
    network: Restorer | None = None
    method: str | None = None
    noise: float | None = None
    """What a network or method is told of the noise."""
    quality: float = 1.0
    times: int = 1
    """How many times longer a method is to make the sides."""
    kernels: Kernels | None = None
    observed: Planes | None = None
    """1 where the picture is to be believed; elsewhere alone is it changed, if there is such a mask."""
    look: Callable[[Images], Planes] | None = None
    """What found `observed`, for the next frame of a film."""

    @property
    def nothing(self) -> bool:
        """Whether the picture stays as it is."""
        return (self.network is None and self.method is None) or (self.observed is not None and bool((self.observed == 1).all()))

    @property
    def scale(self) -> int:
        """How many times longer the sides become."""
        return self.network.scale if self.network else self.times


class _Examined:
    """One picture, which is diagnosed when its diagnosis is first asked for, and not if nobody asks: that takes longer than a network."""

    def __init__(self, images: Images, quality: int | None) -> None:
        self._images, self._source = images, None if quality is None else Source(quality=quality)
        self.looked = False

    @functools.cached_property
    def diagnosis(self) -> Diagnosis:
        self.looked = True
        return diagnose(self._images, source=self._source)

    def sentence(self, task: Task) -> str:
        """What is found, or if nothing had to be looked for, the `task`."""
        return self.diagnosis.sentence() if self.looked or task == "auto" else task


def make_plan(
    request: RestorationRequest,
    images: Images,
    *,
    observed: Planes | None = None,
    quality: int | None = None,
    networks: Networks | None = None,
) -> RestorationPlan:
    """What to do about the one picture in `images`, of which `observed` is the mask and `quality` that of its JPEG, if there are any.

    The network is one of `networks`, which may be those of many pictures. Of a task that is named, the picture is diagnosed only if
    something depends on it. Raises SettingError for what does not go together, such as a mask with a task that has no use for it.
    """
    task, networks = request.task, networks or Networks()
    if request.strength == 0:
        return RestorationPlan(summary="strength 0: left as it was")
    if observed is not None and task not in ("auto", "inpaint"):
        raise SettingError(f"a mask has no use for the task {task}; it is for inpaint")
    if request.find and task not in ("auto", "inpaint"):
        raise SettingError(f"find = {', '.join(request.find)} has no use for the task {task}; it is for inpaint")
    if task == "upscale":
        return _enlarging(request, networks)
    found = _Examined(images, quality)
    if observed is not None and request.blur is not None:
        raise SettingError(f"blur = {request.blur} and a mask: one at a time; fill in first, then undo the blur")
    if observed is not None or request.find or task == "inpaint" or "observed" in needs_of(request.method):
        return _filling(request, images, observed, found, networks)
    free = request.model is None and request.method is None and request.blur is None and request.noise is None
    if free and task in ("auto", "denoise") and _salted(images, found, task):
        wrong = flaws.impulses(images)
        words = f"{found.diagnosis.sentence()}: fill in the wrong pixels"
        return RestorationPlan(summary=words, network=networks.opened("inpaint", request.ensemble), observed=wrong, look=flaws.impulses)
    if task == "auto" and found.diagnosis.task == "none" and free:
        return RestorationPlan(summary=f"{found.diagnosis.sentence()}: {NOTHING}")
    blurred = request.blur is None and (task == "deblur" or (task == "auto" and found.diagnosis.task == "deblur"))
    blur = named(request.blur) if request.blur is not None else found.diagnosis.spread if blurred else None
    return _chosen(request, found, networks, default="restore" if blur is None else "deblur", blur=blur)


def _salted(images: Images, examined: _Examined, task: Task) -> bool:
    """Whether salt and pepper is all that is wrong."""
    share = examined.diagnosis.salt_and_pepper if task == "auto" else salt_and_pepper(images)
    return (share or 0) >= IMPULSES and (examined.diagnosis.noise or 0) < QUIET


def _chosen(
    request: RestorationRequest,
    examined: _Examined,
    networks: Networks,
    *,
    default: str,
    observed: Planes | None = None,
    blur: Blur | None = None,
) -> RestorationPlan:
    """The network or the method that is asked for, or the bundled network called `default`."""
    if request.method is not None:
        return _by_method(request.method, request, examined, observed, blur)
    which = request.model if request.model is not None else default
    network = networks.opened(which, request.ensemble)
    if network.scale != 1:
        raise SettingError(f"{_called(which)} enlarges {network.scale} times; it is for the task upscale")
    if request.noise is not None and "noise" not in network.conditioning:
        raise SettingError(f"noise = {request.noise * 255:g} has no effect: {_called(which)} is blind; leave it out")
    noise = _noise(request, examined) if "noise" in network.conditioning else 0.0
    quality = examined.diagnosis.quality if "quality" in network.conditioning else None
    if isinstance(network, Deblurrer):
        blur = _required_blur(_called(which), blur or examined.diagnosis.spread)
        noise = _noise_level(noise, request, examined)
        words, network = _named(examined.sentence(request.task), _called(which), request, blur), WithKernel(network, blur.kernels())
    elif request.blur is not None:
        raise SettingError(f"blur = {request.blur} has no effect: {_called(which)} sees it for itself; leave it out")
    else:
        words = f"{examined.sentence(request.task)}: {_called(which)}"
    return RestorationPlan(
        summary=words, network=network, noise=noise, quality=1.0 if quality is None else quality / 100, observed=observed
    )


def _by_method(
    method: str, request: RestorationRequest, examined: _Examined, observed: Planes | None, blur: Blur | None
) -> RestorationPlan:
    """The classical method, told what it needs."""
    needs, noise = needs_of(method), None
    if "noise" in needs:
        noise = request.noise if request.noise is not None else max(_noise(request, examined), ROUNDING)
    if "kernels" not in needs:
        return RestorationPlan(summary=f"{examined.sentence(request.task)}: {method}", method=method, noise=noise, observed=observed)
    blur, noise = (
        _required_blur(method, blur or examined.diagnosis.spread),
        None if noise is None else _noise_level(noise, request, examined),
    )
    words = _named(examined.sentence(request.task), method, request, blur)
    return RestorationPlan(summary=words, method=method, noise=noise, kernels=blur.kernels())


def _noise(request: RestorationRequest, examined: _Examined) -> float:
    """Standard deviation of the noise, as a share of full scale: that which is told, or else found."""
    return request.noise if request.noise is not None else examined.diagnosis.noise or 0.0


def _required_blur(who: str, blur: Blur | None) -> Blur:
    """The blur. Raises SettingError if there is none."""
    if blur is None:
        raise SettingError(f"no blur is found, and {who} wants to know it: --blur gaussian:1.6, motion:9@30 or defocus:3")
    return blur


def _named(verb: str, name: str, request: RestorationRequest, blur: Blur) -> str:
    """The words; they name a blur that was found, for a person to try another beside it."""
    return f"{verb}: {name}" if request.blur is not None else f"{verb}: {name}, told {blur}"


def _noise_level(noise: float, request: RestorationRequest, examined: _Examined) -> float:
    """The noise that what undoes a blur is told."""
    if request.noise is not None or examined.diagnosis.quality is None:
        return noise
    return max(noise, _QUANTISED, coarseness(examined.diagnosis.quality))


def _filling(
    request: RestorationRequest, images: Images, observed: Planes | None, examined: _Examined, networks: Networks
) -> RestorationPlan:
    h, w = images.shape[2:]
    mask: Planes = images.new_ones(1, 1, h, w) if observed is None else observed
    told = [f"{1 - _FLAWS[name](images).mean().item():.2%} {name.replace('-', ' ')}" for name in request.find]

    def look(images: Images) -> Planes:
        found_by = [_FLAWS[name](images) for name in request.find]
        return torch.stack([*found_by, images.new_ones(1, 1, *images.shape[2:])]).amin(dim=0)

    mask = mask * look(images)
    if not told and bool((mask == 1).all()):
        raise SettingError("inpaint wants to know where: give --mask FILE, or --find scratches or dead-pixels")
    # Whatever else is wrong with the picture is no matter here.
    chosen = _chosen(dataclasses.replace(request, task="inpaint"), examined, networks, default="inpaint", observed=mask)
    if chosen.nothing:  # in this frame of a film, that is; there may be something in the next
        return dataclasses.replace(chosen, summary=f"{', '.join(told)}: {NOTHING_MISSING}", look=look)
    told.append(f"{1 - mask.mean().item():.1%} to fill in")
    words = f"{', '.join(told)}: {chosen.summary.rpartition(': ')[2]}"
    return dataclasses.replace(chosen, summary=words, look=look if request.find else None)


def _enlarging(request: RestorationRequest, networks: Networks) -> RestorationPlan:
    scale = request.scale or 2
    if request.method is not None:
        return RestorationPlan(summary=f"{scale} times: {request.method}", method=request.method, times=scale)
    if request.model is None and scale not in (2, 4):
        raise SettingError(f"scale = {scale} is none of 2, 4; for another use --method bicubic, or a model of your own")
    which = request.model if request.model is not None else f"upscale-x{scale}"
    network = networks.opened(which, request.ensemble)
    if request.noise is not None and "noise" not in network.conditioning:
        raise SettingError(f"noise = {request.noise * 255:g} has no effect: {_called(which)} is blind; leave it out")
    if network.scale == 1:
        raise SettingError(f"{_called(which)} does not enlarge; it repairs at the same size")
    if request.scale not in (None, network.scale):
        raise SettingError(f"scale = {request.scale}, but {_called(which)} enlarges {network.scale} times; leave it out")
    return RestorationPlan(summary=f"{network.scale} times: {_called(which)}", network=network, noise=request.noise or 0.0)


def _called(which: Model) -> str:
    return name_of(which)

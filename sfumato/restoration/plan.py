"""The plan for a picture: from a task, or from the damage that is estimated, to a network or a classical method.

    request, picture ─ diagnose, if needed ─ choose ─> RestorationPlan (summary, network or method, its conditioning)

| task | network |
|---|---|
| denoise | `denoise` in colour and of coarse noise; `restore` of white noise in grey and beside salt and pepper; both are blind |
| jpeg | `deblock` for luma and grey pictures, `denoise` for the colours |
| deblur | `deblur` with the blur of the request, or the estimated one; `restore` if none is estimated |
| inpaint | `inpaint` with a mask, or with a mask of scratches and dead pixels; patches in the large holes of a mask |
| upscale | `upscale-x2`, `upscale-x3`, `upscale-x4`, those for JPEGs, their larger ones, or `upscale-sharp` |
| auto | the one for the dominant damage; salt and pepper without other noise is filled in |
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sfumato.analysis import flaws
from sfumato.analysis.diagnose import HIT
from sfumato.analysis.jpeg import coarseness
from sfumato.analysis.residual import LIKELY, NoiseProfile, Strengths
from sfumato.classical.methods import DESTRIPE
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import name_of
from sfumato.core.tensors import Images, Kernels, Planes
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.blurs import Blur, named
from sfumato.nn.channels import colourless
from sfumato.nn.cosine import Powers
from sfumato.restoration import dust, holes, upscaling
from sfumato.restoration.examined import TAKEN, Examined, denoised_crops
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.request import DEBLOCKER, DENOISER, DETECTOR, GENERAL, Find, RestorationRequest, needs_of
from sfumato.store.loaded import Model

NOTHING = "nothing to repair"
"""End of the summary for a picture that stays as it is."""
NOTHING_MISSING = "nothing to fill in"
IMPULSES = 0.005
"""Least share of wrong black and white values that are filled in, if there is little other noise."""
_FLAWS: dict[Find, Callable[[Images], Planes]] = {"scratches": flaws.scratches, "dead-pixels": flaws.impulses}
ROUNDING = 0.3 / 255
"""Standard deviation of the rounding error of 8 bits: the least noise given to a method."""
_QUANTISED = 2 / 255
"""Least noise given to `deblur` for a JPEG, or else the coarseness of the JPEG: an inverse filter amplifies its rounding error like noise
(best of 2, 4, 7 and 12 for qualities of 85, 60, 40 and 25: 2, 4, 4 and 7)."""
QUIET = 4 / 255
"""Noise below which a picture with salt and pepper is filled in."""


@dataclass(frozen=True, kw_only=True)
class RestorationPlan:
    """The network or method for a picture, with its conditioning; neither of a picture that stays as it is."""

    summary: str
    """The estimates and the repair in one line of text."""
    damage: str = ""
    """The beginning of the summary: the estimates, or the task without any; empty if the picture was not looked at."""
    repair: str = ""
    """The part of the summary that names the network or method, with a blur that was estimated."""
    network: Restorer | None = None
    method: str | None = None
    noise: float | None = None
    """Standard deviation of the noise that a network or method is given, as a share of full scale."""
    quality: float = 1.0
    times: float | None = None
    """Factor by which the sides grow, if it is not that of the network."""
    kernels: Kernels | None = None
    observed: Planes | None = None
    """1 where pixels are valid. With such a mask, only the other pixels are changed."""
    patches: Planes | None = None
    """1 where patches of the picture replace the output of the network."""
    strengths: Strengths = ()
    """The noise of the picture, a few times which is the most that the network changes; empty for no such limit."""
    powers: Powers | None = None
    """The noise by channel and frequency: what stands out of it is kept where the network takes it away. None of white noise, which the
    network knows."""
    warning: str = ""
    """A sentence for people about a result that they should not expect too much of."""
    look: Callable[[Images], Planes] | None = None
    """The function that computed `observed`, for the next frame of a film."""

    @property
    def nothing(self) -> bool:
        """Whether the picture stays as it is."""
        return (self.network is None and self.method is None) or (self.observed is not None and bool((self.observed == 1).all()))

    @property
    def scale(self) -> float:
        """Factor by which the sides grow."""
        return self.times or (self.network.scale if self.network else 1)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the result for a picture of this `size`."""
        return upscaling.output_size(size, self.scale)


def make_plan(
    request: RestorationRequest,
    images: Images,
    *,
    observed: Planes | None = None,
    quality: int | None = None,
    networks: Networks | None = None,
) -> RestorationPlan:
    """The plan for the one picture in `images`; `observed` is its mask and `quality` that of its JPEG, if there are any.

    The network is one of `networks`, which may be those of many pictures. With a task other than auto, the picture is diagnosed only if
    the plan depends on it. Raises SettingError for settings that exclude each other, such as a mask with a task that ignores it.
    """
    task, networks = request.task, networks or Networks(request.backend)
    if request.strength == 0:
        return RestorationPlan(summary="strength 0: left as it was")
    if observed is not None and task not in ("auto", "inpaint"):
        raise SettingError(f"a mask has no use for the task {task}; it is for inpaint")
    if request.find and task not in ("auto", "inpaint"):
        raise SettingError(f"find = {', '.join(request.find)} has no use for the task {task}; it is for inpaint")
    denoise = functools.partial(denoised_crops, networks, request, images.numel())
    if task == "upscale":
        return _enlarging(request, networks, Examined(images, quality, denoise, "upscale"))
    free = request.model is None and request.method is None and request.blur is None and request.noise is None
    examined = Examined(images, quality, denoise if request.estimates_noise else None, task)
    if observed is not None and request.blur is not None:
        raise SettingError(
            f"blur = {request.blur} and a mask cannot be in one run; fill in with the mask first, then undo the blur of the result"
        )
    if observed is not None or request.find or task == "inpaint" or "observed" in needs_of(request.method):
        return _filling(request, images, observed, examined, networks)
    if free and task in ("auto", "denoise") and _salted(examined):
        wrong = flaws.impulses(images)
        damage, network = examined.diagnosis.sentence(), networks.opened("inpaint", request.views)
        words = f"{damage}: fill in the wrong pixels"
        return RestorationPlan(summary=words, damage=damage, network=network, observed=wrong, look=flaws.impulses)
    if task == "auto" and examined.diagnosis.task == "none" and free:
        words, method = examined.diagnosis.sentence(), DESTRIPE if any(examined.diagnosis.bands) else None
        return RestorationPlan(summary=f"{words}: {method or NOTHING}", damage=words, repair=method or "", method=method)
    damage = examined.diagnosis.task if task == "auto" else task
    blurred = request.blur is None and damage == "deblur"
    blur = named(request.blur) if request.blur is not None else examined.diagnosis.spread if blurred else None
    if blur is not None or not free:
        return _chosen(request, examined, networks, default=GENERAL if blur is None else "deblur", blur=blur)
    return _sharp(request, images, examined, networks, damage)


def check(request: RestorationRequest, networks: Networks) -> None:
    """Raises the errors that `make_plan` has for every picture, whatever its damage, because of the model or the scale of the request."""
    if request.strength == 0:
        return
    if request.task == "upscale":
        _enlarging(request, networks, None)
    elif request.model is not None:
        _of_same_size(request.model, request, networks)


def _sharp(request: RestorationRequest, images: Images, examined: Examined, networks: Networks, damage: str) -> RestorationPlan:
    """The plan for a picture that is not blurred, with the noise that limits what the bundled network changes."""
    salted = (examined.salt_and_pepper or 0) >= HIT
    if damage not in ("denoise", "jpeg") or salted:
        return _chosen(request, examined, networks, default=GENERAL)
    if damage == "jpeg":
        both, quality = networks.luma_apart(DEBLOCKER, DENOISER, request.views), examined.quality(request.task)
        # What a JPEG has lost is no more than the rounding of its coefficients, but for noise that it had before.
        strengths = () if quality is None or examined.noisy else ((coarseness(quality),),)
        return dataclasses.replace(_chosen(request, examined, networks, default=DEBLOCKER, network=both), strengths=strengths)
    profile = None if examined.white else examined.profile
    name, network = _denoiser(images, profile, networks, request.views)
    plan = _chosen(request, examined, networks, default=name, network=network)
    return dataclasses.replace(plan, strengths=profile.strengths, powers=profile.powers) if profile else plan


def _denoiser(images: Images, profile: NoiseProfile | None, networks: Networks, views: int = 1) -> tuple[str, Restorer]:
    """The bundled network for the noise of a picture, with its name: coarse noise in grey is known to that for colour alone."""
    if images.shape[1] == 3 and not bool(colourless(images).all()):
        return DENOISER, networks.opened(DENOISER, views)
    if profile is not None and profile.coarse:
        return DENOISER, networks.for_grey_too(DENOISER, views)
    return GENERAL, networks.opened(GENERAL, views)


def _salted(examined: Examined) -> bool:
    """Whether salt and pepper is the only noise."""
    return (examined.salt_and_pepper or 0) >= IMPULSES and (examined.diagnosis.noise or 0) < QUIET


def _chosen(
    request: RestorationRequest,
    examined: Examined,
    networks: Networks,
    *,
    default: str,
    network: Restorer | None = None,
    observed: Planes | None = None,
    blur: Blur | None = None,
) -> RestorationPlan:
    """The plan with the network or method of the request, or with the bundled network `default`, which `network` is if that is given."""
    if request.method is not None:
        return _by_method(request.method, request, examined, observed, blur)
    which = request.model if request.model is not None else default
    of_jpeg = request.task == "jpeg" or (request.task == "auto" and examined.diagnosis.task == "jpeg")
    network = network or _of_same_size(which, request, networks, luma_apart=of_jpeg)
    noise = _noise(request, examined) if "noise" in network.conditioning else 0.0
    quality = examined.diagnosis.quality if "quality" in network.conditioning else None
    if network.takes_kernels:
        blur = _required_blur(_called(which), blur or examined.diagnosis.spread)
        noise = _noise_level(noise, request, examined)
        repair, network = _with_blur(_called(which), request, blur), network.with_kernels(blur.kernels())
    else:
        repair = _called(which)
    damage, quality = examined.sentence(request.task), 1.0 if quality is None else quality / 100
    summary = f"{damage}: {repair}"
    return RestorationPlan(summary=summary, damage=damage, repair=repair, network=network, noise=noise, quality=quality, observed=observed)


def _of_same_size(which: Model, request: RestorationRequest, networks: Networks, *, luma_apart: bool = False) -> Restorer:
    """The network `which`. Raises SettingError if it enlarges, and for a noise or blur of the request that it ignores."""
    network = networks.opened(which, request.views, luma_apart=luma_apart)
    if network.scale != 1:
        raise SettingError(f"{_called(which)} enlarges {network.scale} times; it is for the task upscale")
    _check_noise(request, network, _called(which))
    if request.blur is not None and not network.takes_kernels:
        raise SettingError(f"blur = {request.blur} has no effect: {_called(which)} estimates it; leave it out")
    return network


def _by_method(method: str, request: RestorationRequest, examined: Examined, observed: Planes | None, blur: Blur | None) -> RestorationPlan:
    """The plan with a classical method and the conditioning that it needs."""
    needs, noise = needs_of(method), None
    if "noise" in needs:
        noise = request.noise if request.noise is not None else max(_noise(request, examined), ROUNDING)
    if "kernels" not in needs:
        damage = examined.sentence(request.task)
        summary = f"{damage}: {method}"
        return RestorationPlan(summary=summary, damage=damage, repair=method, method=method, noise=noise, observed=observed)
    blur, noise = (
        _required_blur(method, blur or examined.diagnosis.spread),
        None if noise is None else _noise_level(noise, request, examined),
    )
    repair, damage = _with_blur(method, request, blur), examined.sentence(request.task)
    summary = f"{damage}: {repair}"
    return RestorationPlan(summary=summary, damage=damage, repair=repair, method=method, noise=noise, kernels=blur.kernels())


def _noise(request: RestorationRequest, examined: Examined) -> float:
    """Standard deviation of the noise as a share of full scale: of the request, or else estimated."""
    return request.noise if request.noise is not None else examined.diagnosis.all_noise


def _required_blur(name: str, blur: Blur | None) -> Blur:
    """The blur. Raises SettingError, with the name of the network or method, if there is none."""
    if blur is None:
        raise SettingError(
            f"no blur could be estimated, and {name} has to know it; give it, as in --blur gaussian:1.6, motion:9@30 or defocus:3"
        )
    return blur


def _with_blur(name: str, request: RestorationRequest, blur: Blur) -> str:
    """The name of a network or method, with a blur that was estimated, so that a person can try another one."""
    return name if request.blur is not None else f"{name}, blur {blur}"


def _noise_level(noise: float, request: RestorationRequest, examined: Examined) -> float:
    """The noise that a deblurring network or method is given."""
    if request.noise is not None or examined.diagnosis.quality is None:
        return noise
    return max(noise, _QUANTISED, coarseness(examined.diagnosis.quality))


def _filling(
    request: RestorationRequest, images: Images, observed: Planes | None, examined: Examined, networks: Networks
) -> RestorationPlan:
    """The plan that fills in where a mask, or a search for damage, says so."""
    h, w = images.shape[2:]
    mask: Planes = images.new_ones(1, 1, h, w) if observed is None else observed

    def masks(images: Images) -> list[Planes]:
        return [dust.undamaged(images, request, networks) if name == DETECTOR else _FLAWS[name](images) for name in request.find]

    def look(images: Images) -> Planes:
        return torch.stack([*masks(images), images.new_ones(1, 1, *images.shape[2:])]).amin(dim=0)

    damage = masks(images)
    parts = [f"{1 - own.mean().item():.2%} {name.replace('-', ' ')}" for name, own in zip(request.find, damage, strict=True)]
    mask = torch.stack([mask, *damage]).amin(dim=0)
    if not parts and bool((mask == 1).all()):
        raise SettingError("inpaint needs a mask; give --mask FILE, or --find dust, scratches or dead-pixels")
    # Other damage of the picture stays.
    chosen = _chosen(dataclasses.replace(request, task="inpaint"), examined, networks, default="inpaint", observed=mask)
    if chosen.nothing:  # the next frame of a film may have damage
        damage = ", ".join(parts)
        return dataclasses.replace(chosen, summary=f"{damage}: {NOTHING_MISSING}", damage=damage, look=look)
    parts.append(f"{1 - mask.mean().item():.1%} to fill in")
    if observed is not None and request.model is None and request.method is None:
        chosen = _by_size(chosen, mask, request.memory - BASE - TAKEN * images.numel())
    words = "; ".join(filter(None, [chosen.repair, chosen.warning]))
    damage = ", ".join(parts)
    return dataclasses.replace(chosen, summary=f"{damage}: {words}", damage=damage, look=look if request.find else None)


def _by_size(plan: RestorationPlan, observed: Planes, memory: float) -> RestorationPlan:
    """The plan of a network that fills in, with the wide holes left to patches if these take at most so many bytes of memory."""
    wide = holes.for_patches(observed)
    if wide is not None and (words := holes.obstacle(observed, wide, memory)):
        return dataclasses.replace(plan, warning=words)
    repair = holes.summary(observed, wide, plan.repair)
    return dataclasses.replace(plan, repair=repair, patches=wide, warning=holes.warning(observed, wide))


def _enlarging(request: RestorationRequest, networks: Networks, examined: Examined | None) -> RestorationPlan:
    """The plan of the task upscale; noise is taken away first, and what the picture lost as a JPEG is repaired."""
    if request.model is not None:
        return _enlarging_with(request.model, request, networks)
    scale = request.scale or 2
    if request.method is not None:
        return _enlarged(scale, request.method, method=request.method)
    if not 1 <= scale <= upscaling.LARGEST:
        raise SettingError(f"scale = {scale:g} is outside [1, {upscaling.LARGEST}]; --method bicubic enlarges up to 16 times")
    if scale == 1:
        return RestorationPlan(summary=f"1 times: {NOTHING}", damage="1 times")
    steps, state = _steps(scale, request, examined, networks)
    network = networks.in_sequence(*steps.values(), views=request.views)
    _check_noise(request, network, ", ".join(steps))
    plan = _resampled_plan(network, scale, tuple(steps), state=state)
    return dataclasses.replace(plan, summary=f"{plan.summary}; fine detail is invented") if request.look == "sharp" else plan


def _steps(scale: float, request: RestorationRequest, examined: Examined | None, networks: Networks) -> tuple[dict[str, Restorer], str]:
    """The networks, by name, that repair and enlarge a picture one after another, and what they repair as the end of a clause."""

    def enlarger(kind: upscaling.Kind) -> dict[str, Restorer]:
        name = upscaling.upscaler(scale, kind)
        return {name: networks.opened(name)}

    usual, *of_jpegs = request.upscalers
    if examined is None:
        return enlarger(usual), ""
    diagnosis, quality = examined.diagnosis, examined.diagnosis.quality
    one_step = bool(of_jpegs) and quality is not None and upscaling.ONE_STEP <= quality <= upscaling.REPAIRED
    faint = one_step and (diagnosis.noise_level or 0) < upscaling.FAINT
    noise = diagnosis.noise_words() if diagnosis.noisy else LIKELY
    if (diagnosis.task == "denoise" and not faint) if diagnosis.noisy else diagnosis.likely_noisy:
        name, denoiser = _denoiser(examined.images, diagnosis.profile, networks)
        return {name: denoiser, **enlarger(usual)}, f", {noise}"
    if quality is None or quality > upscaling.REPAIRED:
        return enlarger(usual), ""
    words = f", JPEG of quality {quality}"
    if one_step:
        return enlarger(of_jpegs[0]), words
    if quality <= upscaling.DEBLOCKED:
        return {DEBLOCKER: networks.luma_apart(DEBLOCKER, DENOISER), **enlarger(usual)}, words
    return {DENOISER: networks.opened(DENOISER), **enlarger(usual)}, words


def _enlarging_with(which: Model, request: RestorationRequest, networks: Networks) -> RestorationPlan:
    """The plan of the task upscale with a network of the request."""
    network, name = networks.opened(which, request.views), _called(which)
    _check_noise(request, network, name)
    if network.scale == 1:
        raise SettingError(f"{name} does not enlarge; it repairs at the same size")
    scale = request.scale or network.scale
    if scale > network.scale:
        raise SettingError(f"scale = {scale:g}, but {name} enlarges {network.scale} times; leave it out")
    return dataclasses.replace(_resampled_plan(network, scale, (name,)), noise=request.noise or 0.0)


def _resampled_plan(network: Restorer, scale: float, names: Sequence[str], *, state: str = "") -> RestorationPlan:
    """The plan with a network and resampling from its factor to `scale`."""
    change = "reduced" if scale < network.scale else "resampled"
    repair = ", ".join([*names, *([] if scale == network.scale else [f"{change} from {network.scale} times"])])
    return _enlarged(scale, repair, state=state, network=network)


def _enlarged(scale: float, repair: str, *, state: str = "", network: Restorer | None = None, method: str | None = None) -> RestorationPlan:
    """The plan of the task upscale with a network or a method."""
    damage, noise = f"{scale:g} times{state}", None if network is None else 0.0
    return RestorationPlan(
        summary=f"{damage}: {repair}", damage=damage, repair=repair, network=network, method=method, noise=noise, times=scale
    )


def _check_noise(request: RestorationRequest, network: Restorer, name: str) -> None:
    """Raises SettingError for a noise that a network ignores."""
    if request.noise is not None and "noise" not in network.conditioning:
        raise SettingError(f"noise = {request.noise * 255:g} has no effect: {name} takes no noise level; leave out noise")


def _called(which: Model) -> str:
    """The name of a model in texts."""
    return name_of(which)

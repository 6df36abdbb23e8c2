"""A picture with the estimates of its damage, each made when the plan for the picture first depends on it."""

import functools
from collections.abc import Callable

import torch

from sfumato.analysis.diagnose import Diagnosis, Source, diagnose, plain_noise, profile_of, salt_and_pepper, with_profile
from sfumato.analysis.residual import NoiseProfile
from sfumato.core.device import select_device
from sfumato.core.tensors import Images
from sfumato.io.channels import fill_transparent
from sfumato.io.inputs import PictureInput, convert
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.request import DENOISER, RestorationRequest, Task
from sfumato.restoration.tiles import run_network

_SUSPECT = 0.5 / 255
"""Estimate of white noise from which on a picture that is to be enlarged may have noise of any kind: the network that tells takes longer
than the one that enlarges. Of clean photographs that were shrunk, 44 % are below, and of those with the noise of a camera 2 %."""


TAKEN = 12
"""Bytes of memory for each value of a picture: as it was, as it becomes, and a copy."""


class Examined:
    """One picture with its diagnosis, which is computed on first use only: it takes longer than a network."""

    def __init__(self, images: Images, quality: int | None, denoise: Callable[[Images], Images] | None, task: Task) -> None:
        """With a blind denoiser `denoise`, noise that is not white is looked for too, by the task upscale only where there may be any."""
        self.images, self._source, self._denoise = images, None if quality is None else Source(quality=quality), denoise
        self._task, self.looked = task, False

    @functools.cached_property
    def diagnosis(self) -> Diagnosis:
        self.looked = True
        diagnosis = diagnose(self.images, source=self._source)
        looks = self._task != "upscale" or (diagnosis.noise or 0) >= _SUSPECT
        if not looks or self._denoise is None or not diagnosis.uncertain:
            return diagnosis
        return with_profile(diagnosis, self.images, self._denoise)

    @functools.cached_property
    def salt_and_pepper(self) -> float | None:
        """Share of the values that are wrong black or white; None of a small picture."""
        return self.diagnosis.salt_and_pepper if self._task == "auto" else salt_and_pepper(self.images)

    def quality(self, task: Task) -> int | None:
        """Quality of the JPEG that the picture is or has been; for a `task` other than auto, of the file alone."""
        return self.diagnosis.quality if task == "auto" else self._source.quality if self._source else None

    @functools.cached_property
    def white(self) -> bool:
        """Whether the noise is white, and a good deal of it: told without a network where it is plain."""
        plain = self.diagnosis.plain if self._task == "auto" else plain_noise(self.images)
        return plain or (self.profile is not None and self.profile.white)

    @functools.cached_property
    def profile(self) -> NoiseProfile | None:
        """The noise that the network takes away.

        None of a small picture, where nobody has to be told the noise, and in the task auto where it is plain.
        """
        if self._denoise is None:
            return None
        return self.diagnosis.profile if self._task == "auto" else profile_of(self.images, self._denoise)

    @property
    def noisy(self) -> bool:
        """Whether noise was seen; False if nothing has looked for it."""
        return self.looked and self.diagnosis.noisy

    def sentence(self, task: Task) -> str:
        """The diagnosis in text, or the `task` if no diagnosis was needed."""
        return self.diagnosis.sentence() if self.looked or task == "auto" else task


def examine(picture: PictureInput) -> Diagnosis:
    """The damage of one picture as the task auto sees it: with the bundled network, which sees noise that is not white too.

    Raises ImageError as `inputs.convert`.
    """
    source = convert(picture, own_range=True)
    images = source.images if source.alpha is None else fill_transparent(source.images, source.alpha)
    denoise = functools.partial(denoised_crops, Networks(), RestorationRequest(), images.numel())
    return Examined(images, source.quality, denoise, "auto").diagnosis


def denoised_crops(networks: Networks, request: RestorationRequest, held: int, crops: Images) -> Images:
    """`crops` of a picture of `held` values, without noise of any kind: one after another, within the memory of the request."""
    device, network = select_device(request.device), networks.for_grey_too(DENOISER)
    ready, name, size = networks.ready(network, device), networks.name(network), (crops.shape[2], crops.shape[3])
    tile = None
    if network.receptive_radius is not None:
        tile = networks.tile(network, size, request.memory, lambda allowed: allowed - BASE - TAKEN * held)
    parts = [run_network(ready, crop, device, name=name, tile=tile, precision=request.precision) for crop in crops.split(1)]
    return torch.cat(parts)

"""Distance between restored and clean images: a weighted sum of terms.

l1            |x - y|
charbonnier   sqrt((x - y)^2 + eps^2), an L1 that is smooth at zero (Charbonnier et al. 1994, https://doi.org/10.1109/ICIP.1994.413553)
psnr          minus PSNR of each image in dB: the scale of an image's error does not matter (Chen et al. 2022, 2204.04676), up to psnr_top
edge          L1 of the gradient by Sobel: keeps edges where they are
fourier       L1 of the spectrum (real and imaginary part): keeps fine texture (Cho et al. 2021, https://arxiv.org/abs/2108.05054)
amplitude     L1 of the spectrum's amplitudes alone: as much texture of every kind, wherever it lies
ssim          1 - SSIM: local contrast and structure (Zhao et al. 2017, https://arxiv.org/abs/1511.08861, eq. 7)
perceptual    L1 between feature maps of a trained network, layer by layer
gram          L1 between the Gram matrices of these feature maps: texture, wherever in the image
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, TypeVar

import torch
from torch.nn import functional as F

from sfumato.core.config import Range, family, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws, seeded_generator
from sfumato.core.tensors import Images, Maps, Planes, Scalar, size_text, to_images
from sfumato.data.stream import Stream
from sfumato.degradations.base import intact
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.resample import mirror, resize
from sfumato.nn.ssim import WINDOW, similarity
from sfumato.objectives._perceptual import Perception, device_of
from sfumato.objectives.base import SHEET, Batch, Losses, Phase, PictureObjective, RunSettings, still_batch

TERMS = ("l1", "charbonnier", "psnr", "edge", "fourier", "amplitude", "ssim", "perceptual", "gram")


RestorerRole = TypeVar("RestorerRole", bound=Restorer)


class RestorationObjective(PictureObjective[RestorerRole]):
    """The task of a restorer: to undo the degradation of the settings."""

    def ignored(self) -> dict[str, str]:
        return {"crop": "squares are cut out of pictures (patch)"}

    def check_images(self, model: RestorerRole, stream: Stream, settings: RunSettings) -> None:
        """Raises SettingError if `model` takes no images of this size, or if the degraded ones are not as many times smaller."""
        h, w = stream.pixels.shape[2:]
        step = model.pad_multiple * model.scale
        if h % step or w % step:
            raise SettingError(
                f"patch: images of {size_text((h, w))} pixels cannot be used, the network wants sides that are multiples of {step}"
            )
        clean = to_images(stream.pixels[:1])
        try:
            degraded = settings.degrade(intact(clean), Draws(rng=seeded_generator(0), count=1, device=stream.device)).images
        except TypeError as error:
            raise SettingError(f"degrade: {family(settings.degrade)} is no degradation") from error
        if degraded.shape[1] != clean.shape[1] or (degraded.shape[2] * model.scale, degraded.shape[3] * model.scale) != (h, w):
            raise SettingError(
                f"degrade gives images of {size_text(degraded.shape[2:])} for {size_text((h, w))} pixels, and the network enlarges by "
                f"{model.scale}; let downsample and the model's scale agree"
            )

    def prepare(self, batch: Batch, settings: RunSettings) -> Batch:
        """`batch` with degraded images."""
        damage = settings.degrade(intact(batch.clean), batch.draws)
        return dataclasses.replace(batch, degraded=damage.images, damage=damage)

    def preview(self, model: RestorerRole, stream: Stream, settings: RunSettings) -> Images:
        """The same 16 images at every call, each degraded, restored and clean."""
        batch = self.prepare(still_batch(to_images(stream.pixels[: SHEET // 4]), seeded_generator(0, "sheet")), settings)
        h, w = batch.clean.shape[2:]
        degraded = resize(batch.degraded, (h, w), method="nearest")
        return torch.stack([degraded, restored(model, batch), batch.clean], dim=1).flatten(0, 1)

    def validate(self, model: RestorerRole, batch: Batch) -> Losses:
        """PSNR of held-out images in dB, clamped to [0, 1], mean over images."""
        with torch.no_grad():
            return {"decibels": -minus_psnr(restored(model, batch).clamp(0, 1), batch.clean)}

    def validation_batch(self) -> int:
        return 32


@settings
class Config(RestorationObjective[Restorer]):
    """Settings of the training of a restorer: weights of the distances."""

    id = "restoration"
    l1: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the mean absolute error."""
    charbonnier: Annotated[float, Range(0, 1000)] = 1.0
    """Weight of the smooth absolute error."""
    psnr: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of minus the PSNR in dB; 0.01 weighs about as much as charbonnier 1."""
    psnr_top: Annotated[float, Range(10, 80, "dB")] = 80.0
    """PSNR at which to be content: the closer an image comes to it, the less it weighs, and none counts more. Where some images are hardly
    damaged and others ruined, about 34 keeps the former from drowning the latter."""
    edge: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the error of the gradient; 0.05 is usual beside charbonnier 1."""
    fourier: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the error of the spectrum; 0.05 is usual beside charbonnier 1."""
    amplitude: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the error of the spectrum's amplitudes: as much texture, wherever it lies."""

    ssim: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of 1 - SSIM; 0.2 is usual beside charbonnier 1."""
    perceptual: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the error of the features."""
    gram: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the error of the features' Gram matrices."""
    features: str = ""
    """Whose features: the name of a bundled model, a model file or a run folder; any network that has layers, such as a classifier."""
    layers: Annotated[tuple[float, ...], Range(0, 1000)] = ()
    """Weight of each of its layers, finest first; none gives each a weight of 1."""

    def check(self) -> None:
        if not any(getattr(self, term) for term in TERMS):
            raise SettingError(f"restoration: all weights are 0; give one of {', '.join(TERMS)} a weight")
        if (self.perceptual or self.gram) and not self.features:
            raise SettingError("restoration: perceptual and gram need features: the name of a bundled model, or a model file")
        if self.psnr_top != 80 and not self.psnr:
            raise SettingError(f"restoration: psnr_top = {self.psnr_top:g} has no effect without psnr; give it a weight")
        if self.features and not (self.perceptual or self.gram):
            raise SettingError(f"restoration: features = {self.features!r} has no effect; give perceptual or gram a weight")
        if self.layers and not self.features:
            raise SettingError(f"restoration: layers = {self.layers} has no effect without features")

    def phases(self, model: Restorer) -> list[Phase]:
        """One phase. Raises the errors of opening the network of `features`, and SettingError if it cannot compare these images.

        Raises SettingError also for a network with a discriminator, which this objective does not train, and for a pair of networks, of
        which only one would be trained.
        """
        if model.has_grey_path:
            raise SettingError(
                "a network with a path of its own for grey images is trained in two runs, one with channels = 1, and then joined"
            )
        if model.has_discriminator:
            raise SettingError(
                "restoration trains no discriminator; let model be the settings of the restorer alone, or use adversarial_restoration"
            )
        distance = self.distance(model)

        def loss(batch: Batch) -> Losses:
            return distance(restored(model, batch), batch.clean, batch.images_seen)

        return [Phase(name="restore", weights=list(model.parameters()), loss=loss)]

    def distance(self, model: Restorer) -> Callable[[Maps, Images, int], Losses]:
        """A function of restored and clean images and the images seen: the distance as `total`, each term, and the PSNR as `decibels`."""
        terms = [term for term in TERMS if getattr(self, term)]
        perception = Perception(self.features, self.layers, model.channels, device_of(model)) if self.features else None

        def distance(output: Maps, clean: Images, images_seen: int) -> Losses:
            parts = {term: _DISTANCES[term](output, clean) for term in terms if term in _DISTANCES}
            if self.psnr:
                parts["psnr"] = minus_psnr(output, clean, top=self.psnr_top)
            if perception is not None:
                parts |= perception.distances(
                    *perception.shifted(output, clean, images_seen), texture=bool(self.gram), content=bool(self.perceptual)
                )
            total = torch.stack([getattr(self, term) * part for term, part in parts.items()]).sum()
            return {"total": total, **parts, "decibels": -minus_psnr(output.detach().clamp(0, 1), clean)}

        return distance


def restored(model: Restorer, batch: Batch) -> Maps:
    """The output of `model` for the degraded images, with the conditioning that it takes: planes, and kernels of the blur."""
    network = model if batch.damage is None else model.with_kernels(batch.damage.blur)
    return network.restore(batch.degraded, condition_planes(model, batch))


def condition_planes(model: Restorer, batch: Batch) -> Planes | None:
    """The planes of the degradation that `model` takes, a channel each; without a degradation, those of intact images."""
    if not model.conditioning:
        return None
    n, _, h, w = batch.degraded.shape
    none = {"noise": 0.0, "observed": 1.0, "quality": 1.0}
    planes = []
    for name in model.conditioning:
        value = getattr(batch.damage, name) if batch.damage is not None else batch.degraded.new_full((n,), none[name])
        planes.append(value if value.ndim == 4 else value[:, None, None, None].expand(n, 1, h, w))
    return torch.cat(planes, dim=1)


def mean_absolute(output: Maps, clean: Images) -> Scalar:
    """Mean of |output - clean|."""
    return (output - clean).abs().mean()


def charbonnier(output: Maps, clean: Images, *, eps: float = 1e-3) -> Scalar:
    """Mean of sqrt((output - clean)^2 + eps^2)."""
    return ((output - clean).square() + eps**2).sqrt().mean()


def minus_psnr(output: Maps, clean: Images, *, top: float = 80.0) -> Scalar:
    """Minus the PSNR of each image in dB, mean over images, with the squared error of an image of `top` dB added to each."""
    error = (output - clean).float().square().mean(dim=(1, 2, 3))
    return 10 / math.log(10) * (error + 10 ** (-top / 10)).log().mean()


def edge(output: Maps, clean: Images) -> Scalar:
    """Mean absolute error of the two Sobel gradients, in full scale per pixel."""
    return _sobel(output - clean).abs().mean()  # it is linear


def fourier(output: Maps, clean: Images) -> Scalar:
    """Mean absolute error of the real and imaginary parts of the orthonormal spectrum."""
    spectrum = torch.view_as_real(torch.fft.rfft2((output - clean).float(), norm="ortho"))
    return spectrum.abs().mean()


def amplitude(output: Maps, clean: Images) -> Scalar:
    """Mean absolute error of the amplitudes of the orthonormal spectrum."""
    a, b = (torch.fft.rfft2(images.float(), norm="ortho").abs() for images in (output, clean))
    return (a - b).abs().mean()


def dissimilarity(output: Maps, clean: Images) -> Scalar:
    """1 - SSIM, mean over images, in [0, 2]. Raises SettingError for images under 11 pixels."""
    if min(clean.shape[2:]) < WINDOW:
        raise SettingError(f"ssim needs images of at least {WINDOW} pixels; these are {size_text(clean.shape[2:])}")
    with torch.autocast(output.device.type, enabled=False):
        return 1 - similarity(output.float(), clean.float())[0].mean()


def _sobel(images: Maps) -> Maps:
    """Gradient to the right and downwards of every channel."""
    right = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device) / 8
    n, c, h, w = images.shape
    kernels = torch.stack([right, right.T])[:, None]
    return F.conv2d(mirror(images.float(), 1).reshape(n * c, 1, h + 2, w + 2), kernels).reshape(n, 2 * c, h, w)


_DISTANCES = {
    "l1": mean_absolute,
    "charbonnier": charbonnier,
    "edge": edge,
    "fourier": fourier,
    "amplitude": amplitude,
    "ssim": dissimilarity,
}
"""The terms that need nothing but the two images."""

"""Noise of a camera: shot and read noise of the sensor, and all that a camera then does to it before a picture is saved.

    clean ─ to sensor colours ─ mosaic ─ + noise ─ demosaic ─ white balance, colour matrix, tone curve ─ noise reduction ─ sharpening
          ─ scaling ─ JPEG, once or twice

The clean picture is taken back to linear sensor values as in Brooks et al. 2019 (https://arxiv.org/abs/1811.11127), whose ranges of white
balance and whose four colour matrices are used. A white pixel collects so many electrons at ISO 100 and half as many at ISO 200; their
count has a Poisson distribution, here a Gaussian of the same variance, and reading them adds noise of the electronics (Foi et al. 2008,
https://doi.org/10.1109/TIP.2008.2001399), a part of it the same along each row. Demosaicing, noise reduction, sharpening and scaling make
neighbours alike; the tone curve makes shadows noisier than highlights.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, PerImage, Resized
from sfumato.degradations.base import Degraded, Span, ordered, spread
from sfumato.degradations.jpeg import recompressed
from sfumato.nn.blurs import gaussian
from sfumato.nn.channels import colourless, luma
from sfumato.nn.mosaic import SMALLEST, Kind, colour_masks, demosaic
from sfumato.nn.resample import correlate, mirrored, resize

Matrices = Float[Tensor, "n 3 3"]

_XYZ_TO_CAMERA = torch.tensor(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
"""Colour matrices of four cameras, as their DNG files give them."""
_SRGB_TO_XYZ = torch.tensor([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
"""IEC 61966-2-1, white D65."""
_RED_GAIN, _BLUE_GAIN = (1.9, 2.4), (1.5, 1.9)
"""White balance: how much less light red and blue get through their filters than green does."""
_WIDEST_BLUR = 4.0
"""Standard deviation in pixels of the widest blur of noise reduction."""


@settings
class Config:
    """Settings of the noise of a camera."""

    id = "camera"
    iso: Annotated[Span, Range(50, 204_800)] = (100.0, 6400.0)
    """ISO sensitivity, drawn uniformly in its logarithm."""
    full_well: Annotated[Span, Range(500, 200_000, "electrons")] = (5_000.0, 60_000.0)
    """Electrons of a white pixel at ISO 100, drawn uniformly in their logarithm: about 5,000 in a telephone, 60,000 in a large camera."""
    read_noise: Annotated[Span, Range(0, 100, "electrons")] = (1.5, 8.0)
    """Standard deviation of the noise of reading a pixel."""
    banding: Annotated[Span, Range(0, 1)] = (0.0, 0.3)
    """Share of the read noise that is the same along a row."""
    demosaicing: Literal["bilinear", "gradient", "either"] = "either"
    """Method that computes three colours from the one measured at each pixel; "either" draws one of the two for each image."""
    contrast: Annotated[Span, Range(1, 3)] = (1.0, 1.5)
    """Exponent of the tone curve x^a / (x^a + (1 - x)^a); 1 is a straight line."""
    luma_smoothing: Annotated[Span, Range(0, _WIDEST_BLUR, "pixels")] = (0.0, 1.0)
    """Noise reduction of the camera: standard deviation of a Gaussian blur of the brightness of the noise."""
    chroma_smoothing: Annotated[Span, Range(0, _WIDEST_BLUR, "pixels")] = (0.0, 4.0)
    """The same for the colour of the noise."""
    sharpening: Annotated[Span, Range(0, 3)] = (0.0, 0.8)
    """Amount of unsharp masking with a blur of one pixel."""
    scale: Annotated[Span, Range(0.25, 4)] = (0.5, 1.5)
    """Factor by which a picture is resized after it was developed; under 1 it becomes smaller."""
    scaled: Annotated[float, Range(0, 1, "probability")] = 0.4
    """Probability that an image is resized."""
    quality: Annotated[Span, Range(1, 100)] = (70.0, 98.0)
    """JPEG quality of the camera."""
    compressed: Annotated[float, Range(0, 1, "probability")] = 0.7
    """Probability that the camera saves a JPEG."""
    again: Annotated[float, Range(0, 1, "probability")] = 0.2
    """Probability that a JPEG is saved a second time, with a quality of its own from the same range."""
    detail: Literal["kept", "lost"] = "kept"
    """"kept": only the noise goes through demosaicing, noise reduction, sharpening and scaling, so that the clean image is the picture that
    the camera would have saved without noise. "lost": the picture goes through them too and comes out softer or sharper."""

    def check(self) -> None:
        ordered(
            self,
            "iso",
            "full_well",
            "read_noise",
            "banding",
            "contrast",
            "luma_smoothing",
            "chroma_smoothing",
            "sharpening",
            "scale",
            "quality",
        )

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Images without colour stay without. Raises SettingError for images that are neither grey nor RGB."""
        images = degraded.images
        if images.shape[1] not in (1, 3):
            raise SettingError(f"a camera takes grey or RGB images, not {images.shape[1]} channels")
        shots = self._shots(draws)
        clean, grey = images.expand(-1, 3, -1, -1), spread(colourless(images))
        signal, level = self._signals(clean, shots, draws.generators())
        signal = torch.where(grey, luma(signal), signal)[:, : images.shape[1]]
        noisy = signal if self.detail == "lost" else images + signal
        noisy, quality = self._saved(noisy, draws)
        return dataclasses.replace(
            degraded,
            images=noisy,
            noise=(degraded.noise.square() + level.square()).sqrt(),
            quality=torch.minimum(degraded.quality, quality),
        )

    def _shots(self, draws: Draws) -> "Shots":
        gain = draws.within(*map(math.log, self.iso)).exp() / 100 / draws.within(*map(math.log, self.full_well)).exp()
        gradient = draws.uniform() < {"bilinear": 0.0, "gradient": 1.0, "either": 0.5}[self.demosaicing]
        balance = torch.stack([draws.within(*_RED_GAIN), torch.ones_like(gain), draws.within(*_BLUE_GAIN)], dim=1)
        size = draws.within(*map(math.log, self.scale)).exp()
        return Shots(
            shot=gain,
            read=draws.within(*self.read_noise) * gain,
            banding=draws.within(*self.banding),
            gradient=gradient,
            balance=balance,
            matrix=_camera_matrices(draws.uniform(len(_XYZ_TO_CAMERA))),
            phase=(draws.uniform(2) * 2).long(),
            contrast=draws.within(*self.contrast),
            luma_smoothing=draws.within(*self.luma_smoothing),
            chroma_smoothing=draws.within(*self.chroma_smoothing),
            sharpening=draws.within(*self.sharpening),
            scale=torch.where(draws.uniform() < self.scaled, size, torch.ones_like(size)),
        )

    def _signals(self, clean: Images, shots: "Shots", rngs: list[torch.Generator]) -> tuple[Images, PerImage]:
        """Of each image the noise alone, or with `detail` "lost" the whole picture; and the standard deviation of the noise."""
        parts = [_signal(clean[i : i + 1], shots.of(i), rng, whole=self.detail == "lost") for i, rng in enumerate(rngs)]
        signal, noise = (torch.cat(part) for part in zip(*parts, strict=True))
        return signal, noise.square().mean(dim=(1, 2, 3)).sqrt()

    def _saved(self, images: Images, draws: Draws) -> tuple[Images, PerImage]:
        """`images` after one JPEG or two, where that is drawn, and the lowest quality over 100 of each."""
        lowest = torch.ones(len(images), device=images.device)
        once = draws.uniform() < self.compressed
        for chosen in (once, once & (draws.uniform() < self.again)):
            quality = draws.within(*self.quality).round()
            if chosen.any():
                images = images.clone()
                images[chosen] = recompressed(images[chosen], quality[chosen])
                lowest = torch.where(chosen, torch.minimum(lowest, quality / 100), lowest)
        return images, lowest


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Everything that is drawn for each picture, apart from the noise itself."""

    shot: PerImage
    """Variance of the noise of a white pixel that comes from counting electrons, in shares of full scale."""
    read: PerImage
    """Standard deviation of the read noise, as a share of full scale."""
    banding: PerImage
    gradient: Tensor
    balance: Float[Tensor, "n 3"]
    matrix: Matrices
    """From linear sRGB to the colours of the sensor."""
    phase: Int[Tensor, "n 2"]
    contrast: PerImage
    luma_smoothing: PerImage
    chroma_smoothing: PerImage
    sharpening: PerImage
    scale: PerImage

    def of(self, *indices: int) -> "Shots":
        """Those of the pictures with these indices."""
        return Shots(**{field.name: getattr(self, field.name)[list(indices)] for field in dataclasses.fields(self)})


def _signal(clean: Float[Tensor, "1 3 h w"], shot: Shots, rng: torch.Generator, *, whole: bool) -> tuple[Images, Images]:
    """The noise of one picture as its camera shows it, or the `whole` picture; and the noise again."""
    size, scale = (clean.shape[2], clean.shape[3]), shot.scale.item()
    sensor = (max(1, round(size[0] / scale)), max(1, round(size[1] / scale)))
    scene = resize(clean, sensor).clamp(0, 1) if sensor != size else clean.float().clamp(0, 1)
    filled = (max(SMALLEST, sensor[0]), max(SMALLEST, sensor[1]))
    if filled != sensor:
        rows, columns = (mirrored(torch.arange(new), old).to(scene.device) for new, old in zip(filled, sensor, strict=True))
        scene = scene.index_select(2, rows).index_select(3, columns)
    raw = (_sensor_values(scene, shot) * colour_masks(filled, shot.phase)).sum(dim=1, keepdim=True)
    quiet, noisy = _developed(torch.cat([raw, raw + _noise(raw, shot, rng)]), shot.of(0, 0)).split(1)

    def shown(picture: Images) -> Resized:
        picture = _finished(picture[:, :, : sensor[0], : sensor[1]], shot)
        return resize(picture, size) if sensor != size else picture

    noise = shown(noisy - quiet)
    return (shown(noisy), noise) if whole else (noise, noise)


def _noise(raw: Float[Tensor, "1 1 h w"], shot: Shots, rng: torch.Generator) -> Float[Tensor, "1 1 h w"]:
    pixels, rows = (torch.randn(1, 1, raw.shape[2], width, generator=rng).to(raw) for width in (raw.shape[3], 1))
    read = spread(shot.read * (1 - shot.banding.square()).sqrt())
    return (spread(shot.shot) * raw + read.square()).sqrt() * pixels + spread(shot.read * shot.banding) * rows


def _sensor_values(images: Images, shots: Shots) -> Images:
    """SRGB in [0, 1] as linear values of the sensor's three colours, in [0, 1]."""
    linear = _linear(_curved(images, 1 / shots.contrast))
    return (_mixed(linear, shots.matrix) / shots.balance[:, :, None, None]).clamp(0, 1)


def _developed(raw: Float[Tensor, "n 1 h w"], shots: Shots) -> Float[Tensor, "n 3 h w"]:
    """`raw` values of sensors that demosaic alike, as sRGB in [0, 1]."""
    kind: Kind = "gradient" if shots.gradient[0].item() else "bilinear"
    linear = (demosaic(raw, shots.phase, kind) * shots.balance[:, :, None, None]).clamp(max=1)
    linear = _mixed(linear, torch.linalg.inv(shots.matrix))
    return _curved(_encoded(linear.clamp(0, 1)), shots.contrast)


def _finished(picture: Images, shot: Shots) -> Images:
    """`picture` after noise reduction and sharpening, both of which are linear here."""
    brightness = luma(picture)
    picture = _blurred(brightness, shot.luma_smoothing) + _blurred(picture - brightness, shot.chroma_smoothing)
    return picture + spread(shot.sharpening) * (picture - _blurred(picture, torch.ones_like(shot.sharpening)))


def _blurred(images: Images, sigma: PerImage) -> Images:
    return correlate(images, gaussian(sigma, sigma, torch.zeros_like(sigma), reach=math.ceil(3 * sigma.max().item())).to(images))


def _camera_matrices(weights: Float[Tensor, "n 4"]) -> Matrices:
    """Means of the four cameras' matrices with random weights, from linear sRGB; white stays white."""
    mean = torch.einsum("nk,kij->nij", weights / weights.sum(dim=1, keepdim=True), _XYZ_TO_CAMERA.to(weights))
    matrix = mean @ _SRGB_TO_XYZ.to(weights)
    return matrix / matrix.sum(dim=2, keepdim=True)


def _mixed(images: Images, matrices: Matrices) -> Images:
    return torch.einsum("nij,njhw->nihw", matrices, images)


def _linear(images: Images) -> Images:
    """SRGB to linear light, both in [0, 1]."""
    return torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055).clamp_min(0) ** 2.4)


def _encoded(images: Images) -> Images:
    """Linear light to sRGB, both in [0, 1]."""
    return torch.where(images <= 0.0031308, images * 12.92, 1.055 * images.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def _curved(images: Images, exponent: PerImage) -> Images:
    """The tone curve, of which that with the inverse exponent is the inverse."""
    light, dark = images ** spread(exponent), (1 - images) ** spread(exponent)
    return light / (light + dark)

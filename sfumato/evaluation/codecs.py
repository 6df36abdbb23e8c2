"""How good a codec is: bits, errors and times of real files, beside those of the common formats.

    pictures ─ each setting of each codec ─ file ─ picture ─> bits per pixel, PSNR, MS-SSIM, seconds: means over pictures
                                                            └ BD-rate against each anchor

Rates are those of whole files, with their headers. PSNR is of 8-bit RGB over all channels, MS-SSIM of RGB at five scales, each the mean
over pictures; MS-SSIM is left out if a picture has a side below 161 pixels.
"""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, features

from sfumato.compression.compress import compressed, opened_codec
from sfumato.compression.decompress import decompressed
from sfumato.compression.distortion import Tune
from sfumato.compression.request import CompressionRequest, Effort
from sfumato.compression.source import Source
from sfumato.core.errors import DataError
from sfumato.core.progress import counted
from sfumato.core.tensors import Bytes, Pixels, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.scenes import SCENE_NAMES, load_scenes
from sfumato.evaluation.report import Report
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.fidelity import ms_ssim, psnr
from sfumato.metrics.rate_distortion import RatePoint, bd_rate
from sfumato.models.roles.codec import Codec
from sfumato.nn.ssim import SMALLEST
from sfumato.store.loaded import Model

Encode = Callable[[Pixels], bytes]
Decode = Callable[[bytes], Pixels]
Coder = Callable[[int], tuple[Encode, Decode]]
"""Encoder and decoder for a quality."""
QUALITIES = (5, 15, 25, 35, 45, 55, 65, 75)
"""Qualities of the codec at which it is measured."""
RANGE = (0.15, 0.5)
"""Rates of the anchor, in bits per pixel, between which rates are compared; where pictures are small, all that both have."""


@dataclass(frozen=True, kw_only=True)
class CodecPoint:
    """One setting of a codec, with means over pictures."""

    setting: int
    bits_per_pixel: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    """Processor seconds for a picture."""
    decode_seconds: float


@dataclass(frozen=True, kw_only=True)
class CodecCurve:
    """All settings of one codec."""

    name: str
    settings: str
    """Version and options of the encoder."""
    points: tuple[CodecPoint, ...]

    def rates(self, figure: str = "psnr") -> list[RatePoint]:
        """Rates with PSNR or MS-SSIM."""
        values = [(point.bits_per_pixel, getattr(point, figure)) for point in self.points]
        return [RatePoint(rate, value) for rate, value in values if value is not None]


@dataclass(frozen=True, kw_only=True)
class CodecComparison:
    """The curves of a codec and of the common formats on the same pictures."""

    own: CodecCurve
    anchors: tuple[CodecCurve, ...]
    pictures: str
    """Name and fingerprint of the pictures."""
    count: int
    missing: tuple[str, ...] = field(default=())
    """Formats that this installation of Pillow cannot write."""

    def bd_rates(self, figure: str = "psnr") -> dict[str, float]:
        """BD-rate in per cent against each anchor that can be compared, by the name of the anchor."""
        rates = {}
        for anchor in self.anchors:
            try:
                rates[anchor.name] = bd_rate(self.own.rates(figure), anchor.rates(figure), rates=RANGE if self.large else None)
            except DataError:  # no quality in common, or no figures
                continue
        return rates

    @property
    def large(self) -> bool:
        """Whether all pictures are large enough for MS-SSIM, and so for the usual range of rates."""
        return self.own.points[0].ms_ssim is not None

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the figures of `report` as .json, as `Report.save` does; returns the path."""
        return self.report().save(path, overwrite=overwrite)

    def report(self) -> Report:
        """BD-rates as measurements with their protocols."""
        span = f"{RANGE[0]} to {RANGE[1]} bits per pixel of the anchor" if self.large else "all qualities in common"
        rows = []
        for figure, label in (("psnr", "PSNR"), ("ms_ssim", "MS-SSIM")):
            for name, value in self.bd_rates(figure).items():
                anchor = next(curve for curve in self.anchors if curve.name == name)
                settings = f"{self.own.settings} against {anchor.settings}; {label}, {span}; {len(self.own.points)} and "
                protocol = Protocol(reference=self.pictures, generated=self.count, settings=f"{settings}{len(anchor.points)} points, PCHIP")
                row = Measurement(
                    name=f"BD-rate {label} vs {name}", value=value, interval=None, unit="%", higher_is_better=False, protocol=protocol
                )
                rows.append(row)
        return Report(rows)


def evaluate_codec(
    model: Model,
    data: str | Path | Dataset | Scenes,
    *,
    effort: Effort = "fast",
    tune: Tune = "psnr",
    qualities: Sequence[int] | None = None,
    count: int | None = None,
) -> CodecComparison:
    """The codec `model` beside JPEG, WebP and AVIF on the pictures of `data`, or on the first `count` of them.

    A known data set gives its test part. `qualities` are by default those of `QUALITIES`. Raises SettingError if the model is no codec,
    DataError without pictures.
    """
    codec = None if effort == "max" else opened_codec(model).network
    pictures = _pictures(data)
    chosen = [picture.permute(1, 2, 0).contiguous() for picture in pictures.pictures[:count]]
    if not chosen:
        raise DataError(f"{pictures.name} has no pictures to compress")

    def opened() -> Codec:
        assert codec is not None
        return codec

    def own(quality: int) -> tuple[Encode, Decode]:
        request = CompressionRequest(quality=quality, effort=effort, tune=tune)

        def encode(pixels: Pixels) -> bytes:
            return compressed(Source(pixels=pixels, grey=False), opened, request)

        return encode, lambda file: decompressed(file, opened).picture.pixels

    network = "with a network for each picture" if codec is None else f"codec {codec.fingerprint.hex()}"
    settings = f"sfumato {network}, effort {effort}, tune {tune}"
    curves = [_curve("sfumato", settings, own, qualities or QUALITIES, chosen)]
    formats, missing = _anchors()
    curves += [_curve(name, words, coder, steps, chosen) for name, (words, coder, steps) in formats.items()]
    identity = f"{pictures.name} {pictures.fingerprint[:8]}"
    return CodecComparison(own=curves[0], anchors=tuple(curves[1:]), pictures=identity, count=len(chosen), missing=missing)


def _pictures(data: str | Path | Dataset | Scenes) -> Dataset | Scenes:
    if isinstance(data, Dataset | Scenes):
        return data
    is_named = isinstance(data, str) and all(piece in SCENE_NAMES for piece in data.split("+"))
    return load_scenes(data, channels=3, part="test" if is_named else "all", largest=None)


def _curve(name: str, settings: str, coder: Coder, steps: Sequence[int], pictures: Sequence[Pixels]) -> CodecCurve:
    points = []
    for step in counted(list(steps), name):
        encode, decode = coder(step)
        points.append(_point(step, encode, decode, pictures))
    return CodecCurve(name=name, settings=settings, points=tuple(points))


def _point(setting: int, encode: Encode, decode: Decode, pictures: Sequence[Pixels]) -> CodecPoint:
    """The means over pictures of one setting."""
    rows = [_figures(encode, decode, pixels) for pixels in pictures]
    similarities = [row.ms_ssim for row in rows if row.ms_ssim is not None]
    return CodecPoint(
        setting=setting,
        bits_per_pixel=_mean([row.bits_per_pixel for row in rows]),
        psnr=_mean([row.psnr for row in rows]),
        ms_ssim=_mean(similarities) if len(similarities) == len(rows) else None,
        encode_seconds=_mean([row.encode_seconds for row in rows]),
        decode_seconds=_mean([row.decode_seconds for row in rows]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


class _Figures(NamedTuple):
    """One picture at one setting."""

    bits_per_pixel: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


def _figures(encode: Encode, decode: Decode, pixels: Pixels) -> _Figures:
    """Bits per pixel, PSNR, MS-SSIM, and the processor seconds of both ways, of one picture."""
    began = time.process_time()
    file = encode(pixels)
    encoded = time.process_time()
    output = decode(file)
    decoded = time.process_time()
    before, after = (to_images(_batch(each)) for each in (pixels, output))
    return _Figures(
        bits_per_pixel=8 * len(file) / (pixels.shape[0] * pixels.shape[1]),
        psnr=float(psnr(after, before).clamp(max=100)),
        ms_ssim=float(ms_ssim(after, before)) if min(pixels.shape[:2]) >= SMALLEST else None,
        encode_seconds=encoded - began,
        decode_seconds=decoded - encoded,
    )


def _batch(pixels: Pixels) -> Bytes:
    return pixels.permute(2, 0, 1)[None]


def _anchors() -> tuple[Mapping[str, tuple[str, Coder, Sequence[int]]], tuple[str, ...]]:
    """The common formats with version and options, encoder and settings, by name; and the names of those that Pillow cannot write."""

    def version(name: str) -> str:
        return str(features.version(name) or "")

    formats: dict[str, tuple[str, Coder, Sequence[int]]] = {
        "JPEG": (
            f"libjpeg-turbo {version('libjpeg_turbo')}, 4:2:0, optimised, progressive",
            _pillow("JPEG", optimize=True, progressive=True, subsampling="4:2:0"),
            (5, 10, 20, 30, 45, 60, 75, 90),
        )
    }
    missing = []
    if features.check("webp"):
        steps = (1, 5, 10, 20, 35, 50, 65, 80, 90)
        formats["WebP"] = (f"libwebp {version('webp')}, method 6", _pillow("WEBP", method=6), steps)
    else:
        missing.append("WebP")
    if features.check("avif"):
        for chroma in ("4:2:0", "4:4:4"):
            words = f"libavif {version('avif')}, speed 6, {chroma}, tune psnr"
            coder = _pillow("AVIF", speed=6, subsampling=chroma, max_threads=1, advanced={"tune": "psnr"})
            formats[f"AVIF {chroma}"] = (words, coder, (5, 12, 20, 30, 40, 50, 60, 70))
    else:
        missing.append("AVIF")
    return formats, tuple(missing)


def _pillow(kind: str, **options: object) -> Coder:
    """Encoder and decoder of Pillow at a quality."""

    def coder(quality: int) -> tuple[Encode, Decode]:
        def encode(pixels: Pixels) -> bytes:
            file = io.BytesIO()
            Image.fromarray(pixels.numpy()).save(file, kind, quality=quality, **options)
            return file.getvalue()

        def decode(file: bytes) -> Pixels:
            with Image.open(io.BytesIO(file)) as image:
                return torch.from_numpy(np.asarray(image.convert("RGB")).copy())

        return encode, decode

    return coder

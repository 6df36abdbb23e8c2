"""A picture of rate-distortion curves: bits per pixel to the right on a logarithmic scale, PSNR upwards."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sfumato.core.tensors import Pixels
from sfumato.evaluation.codecs import CodecComparison
from sfumato.io.files import save_image

SIZE = (560, 800)
"""Height and width in pixels."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 24, 24, 52
_COLOURS = ("#c1121f", "#555555", "#2a6f97", "#588157", "#b5838d", "#8338ec")


def plot(comparison: CodecComparison) -> Pixels:
    """The curves of a comparison as one picture (h, w, 3)."""
    curves = (comparison.own, *comparison.anchors)
    rates = [math.log(point.bits_per_pixel) for curve in curves for point in curve.points]
    values = [point.psnr for curve in curves for point in curve.points]
    (low, high), (bottom, top) = ((min(each), max(each)) for each in (rates, values))
    height, width = SIZE
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)

    def place(rate: float, value: float) -> tuple[float, float]:
        """The pixel of a point."""
        across = (math.log(rate) - low) / max(1e-9, high - low)
        up = (value - bottom) / max(1e-9, top - bottom)
        return _LEFT + across * (width - _LEFT - _RIGHT), height - _BOTTOM - up * (height - _TOP - _BOTTOM)

    for rate in (r for r in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= math.log(r) <= high):
        x, _ = place(rate, bottom)
        draw.line([(x, _TOP), (x, height - _BOTTOM)], fill="#dddddd")
        draw.text((x, height - _BOTTOM + 8), f"{rate:g}", fill="black", font=font, anchor="mt")
    for value in range(math.ceil(bottom / 2) * 2, math.floor(top) + 1, 2):
        _, y = place(math.exp(low), value)
        draw.line([(_LEFT, y), (width - _RIGHT, y)], fill="#dddddd")
        draw.text((_LEFT - 8, y), f"{value}", fill="black", font=font, anchor="rm")
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [place(point.bits_per_pixel, point.psnr) for point in sorted(curve.points, key=lambda p: p.bits_per_pixel)]
        draw.line(points, fill=colour, width=3 if number == 0 else 2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.text((_LEFT + 12, _TOP + 6 + 20 * number), curve.name, fill=colour, font=font)
    draw.text((width / 2, height - 8), f"bits per pixel, whole files; PSNR in dB ({comparison.count} pictures)", "black", font, "mb")
    return torch.from_numpy(np.asarray(image).copy())


def save_plot(comparison: CodecComparison, path: Path) -> Path:
    """Writes the plot; returns its path. Raises StorageError."""
    save_image(path, plot(comparison))
    return path

"""What the bundled models do, as blocks of the page of the demonstration: repair a photograph, compress it, change a cat, dream.

The photograph, a cup of coffee by Rachel Michetti, is scikit-image's (CC0), reduced.
"""

import io
from collections.abc import Callable, Iterator
from importlib import resources

import torch
from PIL import Image

from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.core.tensors import Images, Sheet, to_pixels
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import Degradation, degrade
from sfumato.demonstration.blocks import Block, Comparison, Filmstrip
from sfumato.dreaming.dream import Dream, dream
from sfumato.editing.directions import directions
from sfumato.editing.edit import edit
from sfumato.io.inputs import images_of
from sfumato.metrics.fidelity import psnr
from sfumato.restoration.restore import restore

PHOTOGRAPH = "coffee.webp"
NIGHT = {
    "iso": (3200.0, 3200.0),
    "full_well": (8000.0, 8000.0),
    "read_noise": (3.0, 3.0),
    "banding": (0.1, 0.1),
    "contrast": (1.2, 1.2),
    "luma_smoothing": (0.6, 0.6),
    "chroma_smoothing": (1.0, 1.0),
    "sharpening": (0.3, 0.3),
    "scaled": 0.0,
    "quality": (92.0, 92.0),
}
"""A photograph in the dark."""
QUALITY = 12
"""Quality of the JPEG that is repaired."""
RATE = 20
"""Quality at which the photograph is compressed."""
STEPS = (-3.0, -2.25, -1.5, -0.75, 0.0, 0.75, 1.5, 2.25, 3.0)
"""Steps of the cat along a direction, in standard deviations of the styles."""
CAT = 3
"""Seed of the cat."""


def photograph() -> Images:
    """The photograph of the demonstration, (1, 3, 208, 240)."""
    return images_of((resources.files("sfumato.demonstration") / PHOTOGRAPH).read_bytes())


def showcase(picture: Images | None = None, on_part: Callable[[str], None] = lambda name: None) -> Iterator[Block]:
    """The blocks, one after the other as they are computed, from `picture` or the photograph; `on_part` gets the name of the next one."""
    clean = photograph() if picture is None else picture
    on_part("repairing a photograph")
    yield from _restored(clean)
    on_part("compressing a photograph")
    yield _compressed(clean)
    on_part("editing a cat")
    yield _edited()
    on_part("dreaming")
    yield _dreamt(clean)


def _restored(clean: Images) -> Iterator[Comparison]:
    """The photograph with the noise of a camera, with blur and as a strong JPEG, each before and after."""
    noise, motion = DEGRADATIONS["noise"], DEGRADATIONS["motion"]
    night = _degraded(DEGRADATIONS["camera"](**NIGHT), clean)
    yield _repair("noise of a camera", "denoise", "the noise of a small camera at ISO 3200", clean, night, restore(night, task="denoise"))
    moved = _degraded(noise(sigma=(2 / 255, 2 / 255)), _degraded(motion(length=(9.0, 9.0), angle=(30.0, 30.0)), clean))
    sharp = restore(moved, task="deblur", blur="motion:9@30")
    yield _repair("blur", "deblur --blur motion:9@30", "the blur of a camera that moved by 9 pixels", clean, moved, sharp)
    blocky = _jpeg(clean)
    yield _repair("JPEG", "jpeg", f"a JPEG of quality {QUALITY}", clean, blocky, restore(blocky, task="jpeg"))


def _repair(title: str, task: str, damage: str, clean: Images, before: Images, after: Images) -> Comparison:
    gain = [float(psnr(clean, images).mean()) for images in (before, after)]
    text = f"A photograph with {damage}: a PSNR of {gain[0]:.1f} dB before, {gain[1]:.1f} dB after. sfumato restore photo.png --task {task}"
    return Comparison(title=f"Repair: {title}", text=text, before=to_pixels(before), after=to_pixels(after))


def _degraded(degradation: object, clean: Images) -> Images:
    assert isinstance(degradation, Degradation)
    return degrade(degradation, clean, rng=torch.Generator().manual_seed(0)).images.clamp(0, 1)


def _jpeg(clean: Images) -> Images:
    file = io.BytesIO()
    Image.fromarray(to_pixels(clean).numpy()).save(file, "JPEG", quality=QUALITY)
    return images_of(file.getvalue())


def _compressed(clean: Images) -> Comparison:
    """The photograph by the bundled codec, and as the smallest WebP that has no fewer bytes."""
    picture = Image.fromarray(to_pixels(clean).numpy())
    data = compress(picture, quality=RATE)
    webp = webp_of(picture, len(data))
    before, after = images_of(webp), images_of(decompress(data))
    errors = [float(psnr(clean, images).mean()) for images in (before, after)]
    text = (
        f"The photograph as a WebP of {len(webp):,} bytes, with a PSNR of {errors[0]:.1f} dB, and in {len(data):,} bytes, with "
        f"{errors[1]:.1f} dB. sfumato compress photo.png --quality {RATE}"
    )
    return Comparison(title="Compress", text=text, before=to_pixels(before), after=to_pixels(after), names=("WebP", "Sfumato"))


def webp_of(picture: Image.Image, least: int) -> bytes:
    """The file of the lowest quality that has at least so many bytes, at the best effort of the format."""
    content = b""
    for quality in range(101):
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=quality, method=6)
        content = file.getvalue()
        if len(content) >= least:
            break
    return content


def _edited() -> Filmstrip:
    """A cat along the strongest direction of its network."""
    axes = directions("cats", "closed-form", count=1, device="cpu")
    frames = [edit("cats", CAT, [f"0={step}"], directions=axes, device="cpu").images[1:] for step in STEPS]
    text = f"One generated cat, moved along the strongest direction of its network. sfumato edit cats --seed {CAT} --moves 0=2"
    return Filmstrip(title="Edit: a cat", text=text, strip=_side_by_side(frames), count=len(STEPS), scale=3)


def _side_by_side(frames: list[Images]) -> Sheet:
    return to_pixels(torch.cat(frames, dim=3))


def _dreamt(clean: Images) -> Comparison:
    """The photograph and its dream of a bundled classifier."""
    dreamt = dream(clean, "eurosat-classifier", Dream(steps=8, octaves=3), device="cpu").images
    text = (
        "The photograph changed so that a layer of a small classifier of satellite images responds more. "
        "sfumato dream photo.png draws eyes and fur with SqueezeNet, which is downloaded once."
    )
    return Comparison(title="Dream", text=text, before=to_pixels(clean), after=to_pixels(dreamt))

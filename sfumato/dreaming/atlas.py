"""An atlas of a layer: for each channel the image with the largest activation, on one sheet."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.core.paths import inside
from sfumato.core.tensors import Images, to_pixels
from sfumato.dreaming.dream import Dream, dream
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.io import files
from sfumato.io.results import ImageTensor, save_files

STEPS, LEAST = 96, 96
"""Steps of each image, and the least side of a dream in pixels."""
SIDE = 64
"""Side in pixels of the middle of each image, which the sheet shows."""


class Atlas(ImageTensor):
    """Images (n, c, h, w) in [0, 1], one for each channel of a layer."""

    by = "features"
    network: DreamNetwork
    layer: str | None
    """Name of the layer; None for the network's usual one."""
    channels: tuple[int, ...]
    """Number of the channel of each image."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes one sheet with a number at each image, and a .json beside it. Returns the paths.

        Raises SettingError for the ending of another kind of file, and for a file that is not to be replaced.
        """
        out, images = Path(path), self.as_subclass(Tensor)
        paths = output_files(out)
        return save_files(paths, lambda: save(images, self.channels, out, self.network, self.layer), by=self.by, overwrite=overwrite)


def features(
    network: str | Path | nn.Module | DreamNetwork | None = None,
    layer: str | None = None,
    *,
    channels: Sequence[int] = (),
    steps: int = STEPS,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Atlas:
    """One image for each of the `channels` of a layer, by default all: the image to which the channel responds most.

    `network` is named as for `dream`, `layer` by default the network's usual one. The result is a tensor (n, c, h, w) in [0, 1] with
    `save(path)`. `on_progress` is called after each image. Raises SettingError for an unknown layer or channel.
    """
    extractor = network if isinstance(network, DreamNetwork) else dream_network(network, device=device)
    images, chosen = atlas(extractor, layer, channels=channels, steps=steps, seed=seed, on_progress=on_progress)
    result = images.as_subclass(Atlas)
    result.network, result.layer, result.channels = extractor, layer, tuple(chosen)
    return result


def atlas(
    seeing: DreamNetwork,
    layer: str | None = None,
    *,
    channels: Sequence[int] = (),
    steps: int = STEPS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Images, list[int]]:
    """One image for each of the `channels` of a layer, or for all channels, and their numbers. `on_progress` is called after each.

    Each is dreamed from noise of the same seed, at least as large as the receptive field of the layer; the middle is returned. Raises
    SettingError for an unknown layer or channel.
    """
    measured = seeing.layer(layer or seeing.usual)
    chosen = list(channels) or list(range(measured.width))
    if beyond := [channel for channel in chosen if not 0 <= channel < measured.width]:
        raise SettingError(f"layer {measured.name} has channels 0 to {measured.width - 1}; there is no {beyond[0]}")
    side = min(max(LEAST, measured.receptive_field), max(LEAST, seeing.side))
    images_of_channels = []
    for number, channel in enumerate(chosen, 1):
        options = Dream(layers=(f"{measured.name}:{channel}",), steps=steps, seed=seed)
        images = dream(None, seeing, options, size=(side, side)).images
        edge = (side - SIDE) // 2
        images_of_channels.append(images[:, :, edge : edge + SIDE, edge : edge + SIDE])
        on_progress(number, len(chosen))
    return torch.cat(images_of_channels), chosen


def save(images: Images, channels: Sequence[int], out: Path, seeing: DreamNetwork, layer: str | None) -> list[Path]:
    """Writes the sheet to `out`, with a number at each image, and a .json beside it. Returns both paths."""
    columns = min(len(images), 16)
    sheet = Image.fromarray(to_pixels(images.expand(-1, 3, -1, -1), columns=columns).numpy())
    pen, step = ImageDraw.Draw(sheet), images.shape[3] + 2
    for i, channel in enumerate(channels):
        at = (i % columns * step + 2, i // columns * step + 1)
        pen.text(at, str(channel), fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    _, record_path = output_files(out)
    files.save_image(out, torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8).reshape(sheet.height, sheet.width, 3))
    record = {
        "network": inside(seeing.name),
        "layer": seeing.layer(layer or seeing.usual)._asdict(),
        "channels": list(channels),
        "columns": columns,
    }
    atomic_io.write(record_path, json.dumps(record, indent=2) + "\n")
    return [out, record_path]


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out, out.with_suffix(".json")]

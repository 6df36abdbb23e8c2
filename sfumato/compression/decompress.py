"""Files of `compress` back to pictures, as far as they are whole.

Each tile has a check. A tile whose symbols are not those that were written is shown by its predicted mean, which is blurred and has the
right colours, and is reported. A file that was cut off gives all that it has; where nothing is known, the mean that the hyperlatent
predicts.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sfumato.compression import container, planes
from sfumato.compression.compress import joint_check, opened_codec
from sfumato.compression.container import Chunk, Container, Header
from sfumato.compression.planes import Area, Plane
from sfumato.compression.request import DEFAULT_MODEL
from sfumato.compression.symbols import Decoded, SymbolCoder
from sfumato.core.errors import CheckpointError, FormatError, ImageError
from sfumato.core.progress import counted
from sfumato.core.tensors import size_text
from sfumato.io.decode import MAX_PIXELS
from sfumato.io.files import Picture
from sfumato.io.results import SavableImage
from sfumato.models.roles.codec import Codec, Symbols
from sfumato.store.loaded import Model


class DecompressedImage(SavableImage):
    """A picture out of a file, as a PIL image."""

    by = "decompress"
    damage: tuple[str, ...] = ()
    """What is missing or was concealed, a sentence each; empty for a whole file."""


@dataclass(frozen=True, kw_only=True)
class Decompressed:
    """A picture out of a file, with its metadata."""

    picture: Picture
    quality: int
    damage: tuple[str, ...] = ()
    """What is missing or was concealed, a sentence each; empty for a whole file."""


def decompress(data: bytes, *, model: Model = DEFAULT_MODEL) -> DecompressedImage:
    """The picture in the file `data`, as a PIL image with an attribute `damage`.

    `model` must be the codec that wrote the file. Raises FormatError for a file whose header is damaged, CheckpointError for another codec,
    ImageError for a picture of more than 100 megapixels, UnknownNameError for no model.
    """
    result = decompressed(data, opened_codec(model).network, name=str(model))
    picture = result.picture
    pixels = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], dim=2)
    image: Image.Image = Image.fromarray(pixels.squeeze(2).numpy() if pixels.shape[2] == 1 else pixels.numpy())
    if picture.icc:
        image.info["icc_profile"] = picture.icc
    if picture.exif:
        image.info["exif"] = picture.exif
    image.__class__ = DecompressedImage
    assert isinstance(image, DecompressedImage)
    image.damage = result.damage
    return image


def decompressed(data: bytes, network: Codec, *, name: str = "the model") -> Decompressed:
    """The picture in the file `data` by a network that is called `name` in messages. Raises as `decompress`."""
    header = checked_header(data, network, name)
    parts = container.parsed(data)
    coder = SymbolCoder(network, header.quality)
    with torch.no_grad():
        latent, faults = _latent(parts, coder)
        pixels = planes.decoded(network, latent, header.size, header.quality)
    alpha, others = _opacity(parts)
    if header.grey:
        pixels = (pixels.to(torch.int32).sum(dim=2, keepdim=True).add(1) // 3).to(torch.uint8)
    picture = Picture(pixels=pixels, alpha=alpha, icc=parts.blocks.get(container.PROFILE, b""), exif=parts.blocks.get(container.EXIF, b""))
    return Decompressed(picture=picture, quality=header.quality, damage=(*faults, *others, *parts.faults))


def checked_header(data: bytes, network: Codec, name: str) -> Header:
    """The header of a file that `network` wrote. Raises as `decompress`."""
    header = container.read_header(data)
    if math.prod(header.size) > MAX_PIXELS:
        raise ImageError(f"has {size_text(header.size)} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels allowed")
    if header.fingerprint != network.fingerprint:
        raise CheckpointError(
            f"was written with another codec ({header.fingerprint.hex()}) than {name} ({network.fingerprint.hex()}); give the one that "
            "wrote it with --model"
        )
    return header


def _latent(parts: Container, coder: SymbolCoder) -> tuple[Plane, list[str]]:
    """The latent of the whole picture, times 256, and what is wrong with it."""
    header, network = parts.header, coder.network
    whole = planes.latent_size(header.size, network.stride)
    areas = list(planes.areas(whole, (1 << header.tile) // network.stride)) if header.tile else [Area(0, 0, *whole)]
    hypers, faults = _hyperlatents(parts, coder, areas)
    latent = torch.zeros(network.latent_channels, *whole, dtype=torch.int32)
    for number, area in enumerate(counted(areas, "tiles")):
        chunk = parts.tiles[number] if number < len(parts.tiles) else None
        values, fault = _tile(coder, chunk, area, hypers[number] if hypers else None)
        latent[:, area.top : area.bottom, area.left : area.right] = values
        if fault:
            place = f"tile {number + 1} of {len(areas)}" if len(areas) > 1 else "the picture"
            faults.append(f"{place} {fault}")
    return latent, faults


def _hyperlatents(parts: Container, coder: SymbolCoder, areas: list[Area]) -> tuple[list[Symbols], list[str]]:
    """The hyperlatents of all tiles, if they are apart; those of a damaged block are 0."""
    if not parts.header.tile:
        return [], []
    sizes = [coder.hyper_size(area.size) for area in areas]
    blank = [torch.zeros(coder.network.hyper_channels, *size, dtype=torch.int64) for size in sizes]
    if parts.thumbnail is None:
        return blank, ["its thumbnail is missing"]
    try:
        hypers = coder.decode_hyper(parts.thumbnail.stream, parts.thumbnail.lanes, sizes)
    except FormatError:
        return blank, ["its thumbnail is missing"]
    if not parts.thumbnail.whole:
        return hypers, ["its thumbnail is cut off"]
    return (hypers, []) if joint_check(hypers) == parts.thumbnail.hyper_check else (blank, ["its thumbnail is damaged"])


def _tile(coder: SymbolCoder, chunk: Chunk | None, area: Area, hyper: Symbols | None) -> tuple[Symbols, str]:
    """The latent of a tile, and what is wrong with it, as a clause; empty if nothing is."""
    blank = torch.zeros(coder.network.hyper_channels, *coder.hyper_size(area.size), dtype=torch.int64)
    decoded: Decoded | None = None
    if chunk is not None:
        try:
            decoded = coder.decode(chunk.stream, chunk.lanes, area.size, hyper)
        except FormatError:
            decoded = None
    if chunk is None or decoded is None:
        return coder.predicted(blank if hyper is None else hyper, area.size), "is missing and shows a prediction"
    good_hyper = hyper is not None or not decoded.hyper_read or decoded.hyper_check == chunk.hyper_check
    if decoded.share == 1 and good_hyper and decoded.check == chunk.check:
        return decoded.latent, ""
    if not good_hyper:
        return coder.predicted(blank, area.size), "is damaged and shows its mean colour"
    if decoded.share < 1 and not chunk.whole:
        return decoded.latent, f"is cut off: {decoded.share:.0%} of its symbols are there, the others are predicted"
    return coder.predicted(decoded.hyper, area.size), "is damaged and shows a prediction"


def _opacity(parts: Container) -> tuple[UInt8[Tensor, "h w 1"] | None, list[str]]:
    """The opacity in a file, if there is one, and what is wrong with it."""
    content, (h, w) = parts.blocks.get(container.OPACITY), parts.header.size
    if content is None:
        return None, []
    if len(content) != h * w:
        return None, ["its opacity is damaged and was left out"]
    rows = np.frombuffer(content, dtype=np.uint8).reshape(h, w)
    return torch.from_numpy(np.cumsum(rows, axis=0, dtype=np.uint8))[:, :, None], []

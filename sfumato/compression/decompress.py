"""Files of `compress` back to pictures, as far as they are whole.

Each tile has a check. A tile whose symbols are not those that were written is reported, and shown by the thumbnail at the beginning of the
file, or in a file of one tile by its predicted mean. A file that was cut off gives all that it has.
"""

import contextlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sfumato.compression import container, planes
from sfumato.compression.compress import OpenCodec, opened_codec
from sfumato.compression.container import Chunk, Container, Header
from sfumato.compression.own_network import own_pixels
from sfumato.compression.planes import Area
from sfumato.compression.reading import CompressedInput, opened
from sfumato.compression.request import DEFAULT_MODEL
from sfumato.compression.symbols import Decoded, SymbolCoder
from sfumato.core.errors import CheckpointError, FormatError, ImageError
from sfumato.core.progress import counted
from sfumato.core.tensors import Pixels, Sheet, size_text
from sfumato.io.decode import MAX_PIXELS
from sfumato.io.files import Picture
from sfumato.io.results import SavableImage
from sfumato.models.roles.codec import Codec, Symbols
from sfumato.store.loaded import Model

_ENOUGH = 0.5
"""Share of the symbols of a tile from which on they show more than the thumbnail does."""


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


def decompress(data: CompressedInput, *, model: Model = DEFAULT_MODEL) -> DecompressedImage:
    """The picture in a file of `compress`, as a PIL image with an attribute `damage`.

    `data` is the path of the file, its bytes, or the open file. `model` must be the codec that wrote the file; a file of `--effort max`
    needs none. Raises FormatError for a file whose header is damaged, CheckpointError for another codec, ImageError for a picture of more
    than 100 megapixels and for a file that cannot be read, UnknownNameError for no model.
    """
    with opened(data) as content:
        result = decompressed(content, lambda: opened_codec(model).network, name=str(model))
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


def decompressed(data: bytes, codec: OpenCodec, *, name: str = "the model") -> Decompressed:
    """The picture in the file `data`, by a codec that is called `name` in messages if the file needs one. Raises as `decompress`."""
    header = container.read_header(data)
    if math.prod(header.size) > MAX_PIXELS:
        raise ImageError(f"has {size_text(header.size)} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels allowed")
    network = None if header.own_networks else _writer(header, codec(), name)
    parts = container.parsed(data)
    if network is None:
        pixels, faults = own_pixels(parts)
    else:
        with torch.no_grad():
            pixels, faults = _decoded(parts, SymbolCoder(network, header.quality))
    alpha, others = _opacity(parts)
    if header.grey:
        pixels = (pixels.to(torch.int32).sum(dim=2, keepdim=True).add(1) // 3).to(torch.uint8)
    picture = Picture(pixels=pixels, alpha=alpha, icc=parts.blocks.get(container.PROFILE, b""), exif=parts.blocks.get(container.EXIF, b""))
    return Decompressed(picture=picture, quality=header.quality, damage=(*faults, *others, *parts.faults))


def _writer(header: Header, network: Codec, name: str) -> Codec:
    """The network, if it wrote the file. Raises CheckpointError if another one did."""
    if header.fingerprint != network.fingerprint:
        raise CheckpointError(
            f"was written with the codec of fingerprint {header.fingerprint.hex()}, and {name} has {network.fingerprint.hex()}; name the "
            "codec that wrote it with --model"
        )
    return network


def _decoded(parts: Container, coder: SymbolCoder) -> tuple[Pixels, list[str]]:
    """The pixels of the whole picture, and what is wrong with them."""
    header, network = parts.header, coder.network
    whole, side = planes.latent_size(header.size, network.stride), (1 << header.tile) // network.stride
    areas = list(planes.areas(whole, side)) if header.tile else [Area(0, 0, *whole)]
    latent, lost = torch.zeros(network.latent_channels, *whole, dtype=torch.int32), list[Area]()
    small, faults = _thumbnail(parts, network)
    for number, area in enumerate(counted(areas, "tiles")):
        tile = _tile(coder, parts.tiles[number] if number < len(parts.tiles) else None, area)
        latent[:, area.top : area.bottom, area.left : area.right] = tile.latent
        if tile.fault:
            faults.append(f"{f'tile {number + 1} of {len(areas)}' if len(areas) > 1 else 'the picture'} {tile.fault}")
        if tile.share < _ENOUGH:
            lost.append(area)
    pixels = planes.decoded(network, latent, header.size, header.quality)
    if small is not None:
        for area in lost:
            _show(pixels, small, area, network.stride)
    return pixels, faults


def _show(pixels: Pixels, small: Sheet, area: Area, stride: int) -> None:
    """Gives an area of `pixels` those of the thumbnail `small`."""
    top, left, bottom, right = (place * stride for place in area)
    target = pixels[top:bottom, left:right]
    target.copy_(planes.enlarged(small, container.THUMBNAIL_SCALE, (top, left, top + target.shape[0], left + target.shape[1])))


def _thumbnail(parts: Container, network: Codec) -> tuple[Sheet | None, list[str]]:
    """The thumbnail of a file with tiles, if it is whole, and what is wrong with it."""
    if not parts.header.tile:
        return None, []
    size = planes.latent_size(parts.header.size, container.THUMBNAIL_SCALE)
    coder = SymbolCoder(network, container.THUMBNAIL_QUALITY)
    tile = _tile(coder, parts.thumbnail, Area(0, 0, *planes.latent_size(size, network.stride)))
    if tile.fault:
        return None, [f"its thumbnail {tile.fault}"]
    return planes.decoded(network, tile.latent.to(torch.int32), size, container.THUMBNAIL_QUALITY), []


class _Tile(NamedTuple):
    """The latent of a tile, as far as it is known."""

    latent: Symbols
    fault: str = ""
    """What is wrong, as a clause."""
    share: float = 1.0
    """Share of the symbols that can be trusted."""


def _tile(coder: SymbolCoder, chunk: Chunk | None, area: Area) -> _Tile:
    """The latent of a tile, checked."""
    blank = torch.zeros(coder.network.hyper_channels, *coder.hyper_size(area.size), dtype=torch.int64)
    decoded: Decoded | None = None
    if chunk is not None:
        with contextlib.suppress(FormatError):  # not even the states of its lanes
            decoded = coder.decode(chunk.stream, chunk.lanes, area.size)
    if chunk is None or decoded is None:
        return _Tile(coder.predicted(blank, area.size), "is missing", 0.0)
    good_hyper = decoded.hyper_read and decoded.hyper_check == chunk.hyper_check
    if good_hyper and decoded.share == 1 and decoded.check == chunk.check:
        return _Tile(decoded.latent)
    if decoded.share < 1 and not chunk.whole and (good_hyper or not decoded.hyper_read):
        words = f"is cut off: {decoded.share:.0%} of its symbols are there, the others are predicted"
        return _Tile(decoded.latent, words, decoded.share)
    return _Tile(coder.predicted(decoded.hyper if good_hyper else blank, area.size), "is damaged and shows a prediction", 0.0)


def _opacity(parts: Container) -> tuple[UInt8[Tensor, "h w 1"] | None, list[str]]:
    """The opacity in a file, if there is one, and what is wrong with it."""
    content, (h, w) = parts.blocks.get(container.OPACITY), parts.header.size
    if content is None:
        return None, []
    if len(content) != h * w:
        return None, ["its opacity is damaged and was left out"]
    rows = np.frombuffer(content, dtype=np.uint8).reshape(h, w)
    return torch.from_numpy(np.cumsum(rows, axis=0, dtype=np.uint8))[:, :, None], []

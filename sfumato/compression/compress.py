"""Pictures to files of few bytes.

    picture ─ source_of ─ pixels ─ latent, piece by piece ─ (refine) ─ symbols of each tile ─ container ─ bytes
                             └ max: a network for each tile (`own_network.py`) ──────────────────┘

A picture of at most 1024 pixels in both directions is one tile; a larger one has tiles that are coded apart, so that damage stays
within one. The network itself is run with a border around each piece: tiles have no seams.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sfumato.compression import container, planes
from sfumato.compression.container import Chunk, Container, Header
from sfumato.compression.distortion import Tune
from sfumato.compression.own_network import own_chunks, own_thumbnail
from sfumato.compression.planes import Area
from sfumato.compression.refine import refined
from sfumato.compression.request import DEFAULT_MODEL, DEFAULT_QUALITY, CompressionRequest, Effort
from sfumato.compression.source import Source, source_of
from sfumato.compression.symbols import SymbolCoder, symbol_check
from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.core.tensors import Maps, Pixels, size_text
from sfumato.io.inputs import PictureInput
from sfumato.models.roles.codec import QUALITIES, Codec, Symbols
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

TILE = 10
"""Logarithm of the side of a tile: 1024 pixels."""
OpenCodec = Callable[[], Codec]
"""Gives the codec, for the files that need one."""
_ATTEMPTS, _NEAR, _STEEPNESS = 6, 0.95, 0.03
"""Of effort max with a limit: most attempts, the share of the limit that is near enough, and the slope of the logarithm of a size."""


def compress(
    picture: PictureInput,
    *,
    quality: int | None = None,
    bpp: float | None = None,
    max_kb: float | None = None,
    effort: Effort = "fast",
    tune: Tune = "psnr",
    keep_metadata: bool = False,
    model: Model = DEFAULT_MODEL,
) -> bytes:
    """The file of `picture`: any picture that the other verbs take, of 1 x 1 to 100 megapixels.

    The options are those of `CompressionRequest`. Raises SettingError for wishes that cannot be fulfilled, ImageError for no picture,
    UnknownNameError and CheckpointError for no model.
    """
    request = CompressionRequest(
        quality=quality, bpp=bpp, max_kb=max_kb, effort=effort, tune=tune, keep_metadata=keep_metadata, model=model
    )
    request.check()
    return compressed(source_of(picture, keep_metadata=request.keep_metadata), lambda: opened_codec(request.model).network, request)


def opened_codec(model: Model) -> LoadedModel[Codec]:
    """The model that is named, as a codec with tables, on the processor. Raises SettingError for a model of another kind."""
    opened = weights.opened(model, Codec, otherwise="compresses no pictures").to("cpu")
    if not opened.network.tables()[1].any():  # of a run that is not complete
        opened.network.fit_tables()
    return opened


def compressed(source: Source, codec: OpenCodec, request: CompressionRequest) -> bytes:
    """The file of a picture. Raises SettingError if no quality makes it as small as the request wants."""
    network = codec() if request.needs_codec else None
    largest = request.largest_bytes(source.pixels.shape[0] * source.pixels.shape[1])
    if largest is None:
        return encoded_at(source, network, request.quality or DEFAULT_QUALITY, request)
    fast = CompressionRequest(keep_metadata=request.keep_metadata) if request.needs_codec else request
    find = _best_within if request.needs_codec else _soon_within
    quality, data = find(largest, lambda quality: encoded_at(source, network, quality, fast))
    if data is None:
        least = encoded_at(source, network, QUALITIES[0], fast)
        raise SettingError(
            f"a picture of {size_text(source.size)} pixels takes {len(least):,} bytes at quality {QUALITIES[0]}, and {largest:,} were "
            "allowed; allow more, or make the picture smaller"
        )
    if request.effort != "refine":
        return data
    # Refined latents take fewer bits: the quality may rise.
    best = data
    for higher in range(quality, QUALITIES[-1] + 1):
        data = encoded_at(source, network, higher, request)
        if len(data) > largest:
            break
        best = data
    return best


def _best_within(largest: int, encode: Callable[[int], bytes]) -> tuple[int, bytes | None]:
    """The highest quality whose file has at most `largest` bytes, and the file; None if there is no such quality."""
    low, high, best = QUALITIES[0] - 1, QUALITIES[-1], None
    while low < high:
        middle = (low + high + 1) // 2
        data = encode(middle)
        if len(data) <= largest:
            low, best = middle, data
        else:
            high = middle - 1
    return low, best


def _soon_within(largest: int, encode: Callable[[int], bytes]) -> tuple[int, bytes | None]:
    """As `_best_within`, for files that take minutes: ends after few attempts, with one that is near the limit."""
    low, high, best = QUALITIES[0] - 1, QUALITIES[-1] + 1, None
    quality, steepness, before = DEFAULT_QUALITY, _STEEPNESS, None
    for attempt in range(_ATTEMPTS):
        if best is None and attempt == _ATTEMPTS - 1:
            quality = QUALITIES[0]
        data = encode(quality)
        if len(data) <= largest:
            low, best = quality, data
        else:
            high = quality
        if high - low <= 1 or (best is not None and len(best) >= _NEAR * largest):
            break
        if before is not None and before[0] != quality:
            steepness = max(_STEEPNESS / 4, math.log(before[1] / len(data)) / (before[0] - quality))
        before = quality, len(data)
        wish = quality + math.floor(math.log(largest / len(data)) / steepness)
        quality = min(high - 1, max(low + 1, wish))
    return low, best


def encoded_at(source: Source, network: Codec | None, quality: int, request: CompressionRequest) -> bytes:
    """The file of a picture at one quality."""
    is_tiled, blocks = max(source.size) > 1 << TILE, _blocks(source)
    if network is None:
        chunks = own_chunks(source.pixels, quality, 1 << TILE, request.tune)
        thumbnail = own_thumbnail(source.pixels) if is_tiled else None
    else:
        chunks = _chunks(network, source.pixels, quality, request)
        thumbnail = _thumbnail(network, source.pixels) if is_tiled else None
    header = Header(
        quality=quality,
        fingerprint=bytes(4) if network is None else network.fingerprint,
        size=source.size,
        grey=source.grey,
        tile=TILE if is_tiled else 0,
        blocks=bool(blocks),
        own_networks=network is None,
    )
    return container.written(Container(header=header, thumbnail=thumbnail, tiles=chunks, blocks=blocks))


@torch.no_grad()
def _chunks(network: Codec, pixels: Pixels, quality: int, request: CompressionRequest) -> tuple[Chunk, ...]:
    """The streams of all tiles by a codec."""
    coder, chunks = SymbolCoder(network, quality), list[Chunk]()
    whole = planes.latent_size((pixels.shape[0], pixels.shape[1]), network.stride)
    for area in counted(list(planes.areas(whole, (1 << TILE) // network.stride)), "tiles"):
        latent, hyper = _latents(coder, pixels, area, quality)
        if request.effort == "refine":
            latent = refined(network, latent, hyper, pixels, area, quality, request.tune)
        chunks.append(_chunk(coder, latent, hyper))
    return tuple(chunks)


def _latents(coder: SymbolCoder, pixels: Pixels, area: Area, quality: int) -> tuple[Maps, Symbols]:
    """The latent of an area, before rounding, and its hyperlatent."""
    latent = planes.encoded(coder.network, pixels, area, quality)
    return latent, coder.hyper_symbols(planes.hyper_encoded(coder.network, latent, quality))


def _chunk(coder: SymbolCoder, latent: Maps, hyper: Symbols) -> Chunk:
    coded = coder.encode(latent, hyper)
    return Chunk(stream=coded.stream, lanes=coded.lanes, hyper_check=symbol_check(hyper), check=coded.check)


@torch.no_grad()
def _thumbnail(network: Codec, pixels: Pixels) -> Chunk:
    """The small picture at the beginning of a file with tiles."""
    small = planes.reduced(pixels, container.THUMBNAIL_SCALE)
    coder = SymbolCoder(network, container.THUMBNAIL_QUALITY)
    area = Area(0, 0, *planes.latent_size((small.shape[0], small.shape[1]), network.stride))
    return _chunk(coder, *_latents(coder, small, area, container.THUMBNAIL_QUALITY))


def _blocks(source: Source) -> dict[int, bytes]:
    """The further blocks of a file."""
    blocks = {} if source.alpha is None else {container.OPACITY: _filtered(source.alpha)}
    named = {container.PROFILE: source.icc, container.EXIF: source.exif}
    return blocks | {kind: content for kind, content in named.items() if content}


def _filtered(alpha: Tensor) -> bytes:
    """Opacity as the difference of each row from the row above."""
    rows = alpha[:, :, 0].numpy()
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    return (rows - above).tobytes()

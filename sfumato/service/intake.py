"""The body of a request, refused as soon as its bytes, its pixels or its time exceed a limit.

length by the header ─ blocks ─ first bytes: format, width, height ─ more blocks ─ whole body
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

from sfumato.core.errors import ImageError
from sfumato.io import formats
from sfumato.io.sizes import stored_size
from sfumato.service.answers import RefusalError
from sfumato.service.settings import ServiceSettings

_DRAIN_SECONDS = 2.0
"""Longest time in which the rest of a refused body is read, so that a client that only writes gets to read the answer."""


def declared_length(text: str | None) -> int | None:
    """The length that a header Content-Length names; None without one. Raises RefusalError for no number."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise RefusalError(400, "Content-Length is no number")
    return int(text)


async def picture(blocks: AsyncIterator[bytes], length: int | None, settings: ServiceSettings) -> bytes:
    """The bytes of a picture out of the blocks of a body, whose header declares `length` bytes.

    Raises RefusalError: 413 for too many bytes or pixels, 415 for a body that begins like no picture, 400 for an empty one, 408 if it
    takes too long.
    """
    if length is not None and length > settings.max_bytes:
        raise _too_long(settings)
    body, judged = bytearray(), False
    try:
        async with asyncio.timeout(settings.timeout):
            async for block in blocks:
                body += block
                if len(body) > settings.max_bytes:
                    raise _too_long(settings)
                if not judged and len(body) >= formats.START:
                    _judge(bytes(body[: 1 << 16]), settings)
                    judged = True
    except TimeoutError as error:
        raise RefusalError(408, f"the body did not arrive within {settings.timeout:g} seconds") from error
    if not body:
        raise RefusalError(400, "the body is empty; send the bytes of a picture")
    content = bytes(body)
    if not judged:
        _judge(content, settings)
    return content


async def nothing(blocks: AsyncIterator[bytes], settings: ServiceSettings) -> None:
    """Reads a body that must be empty. Raises RefusalError 400 if there is one, and 408."""
    try:
        async with asyncio.timeout(settings.timeout):
            async for block in blocks:
                if block:
                    raise RefusalError(400, "this address takes no body; options stand in the query, as in /generate?n=4&seed=7")
    except TimeoutError as error:
        raise RefusalError(408, f"the request did not arrive within {settings.timeout:g} seconds") from error


async def drain(blocks: AsyncIterator[bytes], settings: ServiceSettings) -> None:
    """Reads what is left of a refused body and drops it, for a moment and up to the largest body."""
    left = settings.max_bytes
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for block in blocks:
                left -= len(block)
                if left < 0:
                    return


def too_many_pixels(pixels: float, settings: ServiceSettings, noun: str = "the picture") -> RefusalError:
    """The refusal of `noun` with more pixels than allowed."""
    return RefusalError(413, f"{noun} has {pixels / 1e6:.3g} megapixels; at most {settings.max_pixels / 1e6:.3g} are allowed")


def _judge(start: bytes, settings: ServiceSettings) -> None:
    """Refuses a body by its first bytes, if they are those of no picture, or declare too many pixels."""
    kind = formats.by_content(start[: formats.START], "")
    if kind is None or not kind.read:
        reason = "is no picture of a known kind" if kind is None else f"is {kind.name}, which {kind.advice}"
        raise RefusalError(415, f"the body {reason}")
    size = None
    with contextlib.suppress(ImageError):  # of a TIFF whose directory lies behind these bytes; the decoder will see it
        size = stored_size(io.BytesIO(start), kind.format)
    if size is not None and size[0] * size[1] > settings.max_pixels:
        raise too_many_pixels(size[0] * size[1], settings)


def _too_long(settings: ServiceSettings) -> RefusalError:
    return RefusalError(413, f"the body has more than {settings.max_bytes:,} bytes, which is the limit")

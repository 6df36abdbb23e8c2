"""The body of a request: refused at the first block that exceeds a limit, and not a block later."""

import asyncio
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sfumato.io.png import PNG, chunk
from sfumato.service import intake
from sfumato.service.answers import RefusalError, header_value
from sfumato.service.settings import ServiceSettings

SETTINGS = ServiceSettings(max_bytes=20_000, max_pixels=10_000, timeout=30.0)


def encoded(size=(50, 40), kind="PNG"):
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(noise).save(content, kind)
    return content.getvalue()


def bomb(width=60_000, height=60_000):
    """A PNG that declares so many pixels in its first bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


class Blocks:
    """The blocks of a body, of which it is counted how many were taken."""

    def __init__(self, content, size=4096, endless=False):
        self.content, self.size, self.endless, self.taken = content, size, endless, 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        start = self.taken * self.size
        if start >= len(self.content):
            if self.endless:
                await asyncio.Event().wait()
            raise StopAsyncIteration
        self.taken += 1
        return self.content[start : start + self.size]


def taken(blocks, settings=SETTINGS, length=None):
    return asyncio.run(intake.picture(blocks, length, settings))


def refused(blocks, settings=SETTINGS, length=None):
    with pytest.raises(RefusalError) as refusal:
        taken(blocks, settings, length)
    return refusal.value.status


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("size", [7, 4096, 100_000])
def test_a_picture_within_the_limits_comes_through_whole(kind, size):
    assert taken(Blocks(encoded(kind=kind), size)) == encoded(kind=kind)


def test_a_declared_length_is_refused_before_any_block():
    blocks = Blocks(encoded())
    assert (refused(blocks, length=20_001), blocks.taken) == (413, 0)


def test_a_body_that_grows_too_long_is_refused_at_that_block():
    blocks = Blocks(encoded() + bytes(1_000_000))
    assert (refused(blocks), blocks.taken) == (413, 5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_too_many_pixels_are_refused_at_the_first_block(kind):
    blocks = Blocks(encoded((200, 200), kind)[:20_000])
    assert (refused(blocks), blocks.taken) == (413, 1)


def test_a_bomb_is_refused_at_its_first_block():
    blocks = Blocks(bomb() * 4, size=4096)
    assert (refused(blocks), blocks.taken) == (413, 1)


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"hello", 415), (b"%PDF-1.7" + bytes(9000), 415), (b"\x1a\x45\xdf\xa3" + bytes(9000), 415), (b"8BPS" + bytes(100), 415)],
)
def test_a_body_that_is_no_picture_is_refused(content, status):
    assert refused(Blocks(content)) == status


def test_a_body_that_stops_to_arrive_is_refused():
    blocks = Blocks(encoded(), endless=True)
    assert refused(blocks, ServiceSettings(timeout=0.1)) == 408
    with pytest.raises(RefusalError, match="did not arrive"):
        asyncio.run(intake.nothing(Blocks(b"", endless=True), ServiceSettings(timeout=0.1)))


def test_a_body_where_none_belongs_is_refused():
    with pytest.raises(RefusalError, match="options stand in the query"):
        asyncio.run(intake.nothing(Blocks(b"{}"), SETTINGS))


def test_the_rest_of_a_refused_body_is_read_up_to_the_limit():
    blocks = Blocks(bytes(1_000_000))
    asyncio.run(intake.drain(blocks, SETTINGS))
    assert blocks.taken == 5


@pytest.mark.parametrize("text", ["-1", "1 2", "ten", "٣"])
def test_a_length_that_is_no_number_is_refused(text):
    with pytest.raises(RefusalError) as refusal:
        intake.declared_length(text)
    assert refusal.value.status == 400


def test_sentences_for_clients_name_no_folder_and_fit_a_header():
    assert header_value("/srv/secret/cats.safetensors:\n5 × 7") == "cats.safetensors: 5 ? 7"
    assert b"secret" not in RefusalError(422, "/srv/secret/x.png: is damaged").answer().body

"""Messages between the server and its processes: an object of JSON and bytes, with their lengths before them. Nothing else is read."""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import BinaryIO

from sfumato.core import schema
from sfumato.core.json_value import Json, JsonObject

_LENGTHS = struct.Struct("<IQ")


def packed(header: Mapping[str, Json], body: bytes = b"") -> bytes:
    """A message as bytes."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


def read(file: BinaryIO) -> tuple[JsonObject, bytes] | None:
    """The next message of a pipe; None at its end."""
    start = file.read(_LENGTHS.size)
    if len(start) < _LENGTHS.size:
        return None
    length, longer = _LENGTHS.unpack(start)
    return schema.parsed_object(file.read(length), "a message"), file.read(longer)


async def receive(reader: asyncio.StreamReader) -> tuple[JsonObject, bytes]:
    """As `read`, in the server. Raises EOFError (IncompleteReadError) at the end of the pipe."""
    length, longer = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    return schema.parsed_object(await reader.readexactly(length), "a message"), await reader.readexactly(longer)

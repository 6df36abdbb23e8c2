"""Answers of the service, and refusals: a status of HTTP with one sentence that names no file of the server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sfumato.core.paths import without_places
from sfumato.core.text import printable

_LONGEST = 500
"""Characters of a sentence in an answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one request."""

    status: int = 200
    kind: str = "application/json"
    """Its Content-Type."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusalError(Exception):
    """A request that is not carried out: the status of HTTP, and the reason for the client."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}

    def answer(self) -> Answer:
        """The answer that says so, as an object of JSON with the key `error`."""
        return Answer(status=self.status, body=json.dumps({"error": public(self.reason)}).encode(), headers=self.headers)


def public(text: str, *places: str) -> str:
    """A text in one line, with the last names alone of the paths `places` and of all others that begin at the root.

    >>> public("/srv/models/cats.safetensors: no restorer")
    'cats.safetensors: no restorer'
    """
    return without_places(printable(" ".join(text.split())), *places)[:_LONGEST]


def header_value(text: str, *places: str) -> str:
    """As `public`, as the value of a header: printable ASCII alone."""
    return public(text, *places).encode("ascii", "replace").decode()

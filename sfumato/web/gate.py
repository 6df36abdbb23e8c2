"""The gate in front of the pages: who may ask, for what, and how much may be sent.

    request ─ password ─ host ─ route ─ size ─ whose file ─> the application of the pages

Every visitor is named by a cookie. Files are given to their owner alone, a job may name only files of the visitor who asks for it, and
routes that the pages do not need do not exist. The headers of each answer ask the browser to load nothing from anywhere else.
"""

import asyncio
import base64
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote, urlsplit

from sfumato.core.json_value import Json
from sfumato.web.limits import Limits
from sfumato.web.places import Shelter

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "sfumato-studio"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
API = "/gradio_api/"
_OPEN = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json")
_OPEN_BELOW = ("/assets/", "/static/", "/svelte/", API + "heartbeat/", API + "file=")
_API = ("queue/join", "queue/data", "upload", "upload_progress", "cancel", "reset", "info", "startup-events", "component_server")
ROUTES = frozenset([*_OPEN, *(API + name for name in _API)])
"""The routes that exist, beside those below `_OPEN_BELOW`."""
_LARGEST_JOIN = 8_000_000
"""Bytes of the values of one event."""
_DELAY = 1.0
"""Seconds before the answer to a wrong password."""
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)


class RefusedError(Exception):
    """A request that is refused, with the status and the line of the answer."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class Gate:
    """An ASGI application in front of another one."""

    def __init__(self, inner: Application, shelter: Shelter, limits: Limits, *, hosts: frozenset[str] | None, password: str = "") -> None:
        """`hosts` are the names by which the server may be addressed, None for all; with a `password`, every request must give it."""
        self._inner, self._shelter, self._limits, self._hosts, self._password = inner, shelter, limits, hosts, password

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope)
        try:
            await self._check(request)
            visitor = request.visitor or secrets.token_urlsafe(24)
            self._shelter.visit(visitor)
            receive = await self._checked_body(request, visitor, receive)
        except RefusedError as refusal:
            await refuse(send, refusal)
            return
        try:
            await self._inner(request.with_visitor(visitor), receive, self._answering(request, visitor, send))
        except Exception as error:
            # A page that was closed while its request arrived waits for no answer; starlette's class is not imported before gradio.
            if type(error).__name__ != "ClientDisconnect":
                raise

    async def _check(self, request: "Request") -> None:
        """Raises RefusedError for a request without the password, under a foreign name, from a foreign page, or for another route."""
        if self._password and not request.gives(self._password):
            if request.headers.get("authorization"):
                await asyncio.sleep(_DELAY)
            raise RefusedError(401, "a password is needed", ((b"www-authenticate", b'Basic realm="sfumato studio", charset="UTF-8"'),))
        if self._hosts is not None and host_of(request.headers.get("host", "")) not in self._hosts:
            raise RefusedError(403, "this studio is for this machine alone")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise RefusedError(403, "requests of other pages are refused")
        if request.path not in ROUTES and not request.path.startswith(_OPEN_BELOW):
            raise RefusedError(404, "there is no such page")

    async def _checked_body(self, request: "Request", visitor: str, receive: Receive) -> Receive:
        """What receives the body of the request. Raises RefusedError for too many bytes, and for the file of another visitor."""
        if request.path.startswith(API + "file=") and not self._shelter.owns(visitor, request.file):
            raise RefusedError(403, "this file belongs to another visitor, or does not exist any more")
        if request.method != "POST":
            return receive
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            raise RefusedError(411, "the length of the request is missing")
        if request.path in (API + "upload", API + "component_server"):
            self._check_upload(int(length), visitor)
            return receive
        if int(length) > _LARGEST_JOIN:
            raise RefusedError(413, f"more than {_LARGEST_JOIN / 1e6:.0f} MB of values")
        body = await read_body(receive, _LARGEST_JOIN)
        for path in named_files(body):
            if not self._shelter.owns(visitor, path):
                raise RefusedError(403, "a file of another visitor was named")
        return replayed(body, receive)

    def _check_upload(self, length: int, visitor: str) -> None:
        """Raises RefusedError for an upload that is too large, alone or together with what the visitor has sent before."""
        most = min(self._limits.file_bytes * self._limits.files, self._limits.visitor_bytes)
        if length > most + 1_000_000:
            raise RefusedError(413, f"more than {most / 1e6:.0f} MB at once")
        if self._shelter.bytes_of(visitor) + length > self._limits.visitor_bytes:
            raise RefusedError(413, f"more than {self._limits.visitor_bytes / 1e6:.0f} MB of your files are kept; come back later")

    def _answering(self, request: "Request", visitor: str, send: Send) -> Send:
        """What sends the answer: with the cookie and the headers; the files of an upload are noted as the visitor's."""
        uploads = request.path == API + "upload"
        body = bytearray()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or ()
                assert isinstance(headers, list | tuple)
                message = {**message, "headers": [*headers, *answer_headers(request, visitor)]}
            elif uploads and isinstance(part := message.get("body"), bytes):
                body.extend(part)
                if not message.get("more_body"):
                    for path in uploaded(bytes(body)):
                        self._shelter.add_upload(visitor, path)
            await send(message)

        return answer


class Request:
    """The facts of a request that the gate looks at."""

    def __init__(self, scope: Message) -> None:
        self._scope = scope
        raw = scope.get("headers") or []
        assert isinstance(raw, list | tuple)
        self.headers: dict[str, str] = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
        self.path, self.method = str(scope.get("path", "")), str(scope.get("method", "GET"))

    @property
    def file(self) -> str:
        """The path of the file that is asked for."""
        return unquote(self.path).partition("file=")[2]

    @property
    def visitor(self) -> str:
        """The value of the cookie; nothing if there is none that this studio could have given."""
        try:
            cookie = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return ""
        return cookie.value if cookie is not None and 20 <= len(cookie.value) <= 64 else ""

    def gives(self, password: str) -> bool:
        """Whether the request has the password, under any name."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True).partition(b":")[2] if kind.lower() == "basic" else b""
        except ValueError:
            return False
        return hmac.compare_digest(given, password.encode())

    def with_visitor(self, visitor: str) -> Message:
        """The request as the pages get it: its only cookie is that of the visitor."""
        raw = self._scope.get("headers") or []
        assert isinstance(raw, list | tuple)
        headers = [(name, value) for name, value in raw if name.lower() != b"cookie"]
        return {**self._scope, "headers": [*headers, (b"cookie", f"{COOKIE}={visitor}".encode())]}


def host_of(header: str) -> str:
    """The name in a Host header, without the port.

    >>> host_of("127.0.0.1:7860"), host_of("[::1]:7860"), host_of("example.org")
    ('127.0.0.1', '::1', 'example.org')
    """
    return urlsplit(f"//{header}").hostname or ""


def answer_headers(request: Request, visitor: str) -> list[tuple[bytes, bytes]]:
    """The headers that every answer has, with the cookie of a new visitor."""
    headers = [
        (b"content-security-policy", POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
    ]
    if request.visitor != visitor:
        headers.append((b"set-cookie", f"{COOKIE}={visitor}; Path=/; HttpOnly; SameSite=Strict".encode()))
    return headers


async def refuse(send: Send, refusal: RefusedError) -> None:
    """Answers with the status and the line of a refusal."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{refusal.text}\n".encode()})


async def read_body(receive: Receive, most: int) -> bytes:
    """The whole body of a request. Raises RefusedError for more than `most` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        body.extend(part)
        if len(body) > most:
            raise RefusedError(413, f"more than {most / 1e6:.0f} MB of values")
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """What receives `body` once, and then what else there is."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def uploaded(body: bytes) -> list[str]:
    """The paths in the answer to an upload."""
    try:
        paths: Json = json.loads(body)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def named_files(body: bytes) -> list[str]:
    """The paths of all files that the values of an event name; addresses among them, which belong to nobody, so that none is fetched."""
    try:
        tree: Json = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "this is no JSON") from error
    paths: list[str] = []
    waiting: list[Json] = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                paths.append(path)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return paths

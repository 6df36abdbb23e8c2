"""The addresses of the service, as an application of Starlette.

| address | answer |
|---|---|
| `POST /restore`, `/generate`, `/compress`, `/embed` | the result, or an object of JSON with the key `error` |
| `GET /` | the verbs, their options, the limits |
| `GET /health` | 200 as long as the server runs |
| `GET /ready` | 200 if requests can be computed, else 503 |
| `GET /metrics` | counters for Prometheus |
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sfumato import __version__
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json
from sfumato.service import intake
from sfumato.service.answers import Answer, RefusalError
from sfumato.service.metrics import KIND, Metrics
from sfumato.service.options import KINDS, described, from_query
from sfumato.service.pool import Pool
from sfumato.service.settings import VERBS, ServiceSettings

Handler = Callable[[Request], Awaitable[Response]]
_CLOSED = 499
"""Status in the metrics of a request whose client has left."""
_FLAGS = {"generate": "--generator", "compress": "--codec", "embed": "--embedder"}
"""The flag that gives each verb its model."""


def application(pool: Pool, metrics: Metrics) -> Starlette:
    """The application whose requests the processes of `pool` compute, and which counts them in `metrics`."""
    settings = pool.settings

    async def index(_: Request) -> Response:
        return _json({"sfumato": __version__, "verbs": _index(pool), "limits": _limits(settings)})

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(_: Request) -> Response:
        return _json({"status": "ready" if pool.ready else "no process is ready"}, status=200 if pool.ready else 503)

    async def counters(_: Request) -> Response:
        return Response(metrics.text(pool.gauges, pool.processes), media_type=KIND)

    routes = [Route(f"/{verb}", _counted(verb, pool, metrics), methods=["POST"]) for verb in VERBS]
    routes += [Route("/", index), Route("/health", health), Route("/ready", ready), Route("/metrics", counters)]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused_by_route})


def _counted(verb: str, pool: Pool, metrics: Metrics) -> Handler:
    """The handler of a verb: an answer to every request, of which each is counted."""

    async def handle(request: Request) -> Response:
        began, blocks = time.perf_counter(), _Blocks(request)
        try:
            answer = await _answer(verb, pool, request, blocks)
        except RefusalError as refusal:
            answer = refusal.answer()
            if not blocks.waits_for_word:
                with contextlib.suppress(ClientDisconnect):
                    await intake.drain(blocks, pool.settings)
        except ClientDisconnect:
            answer = Answer(status=_CLOSED)
        except Exception:
            logging.getLogger(__name__).exception("a request to /%s failed", verb)
            answer = RefusalError(500, "the service failed; its log says why").answer()
        seconds = time.perf_counter() - began
        metrics.request(verb, answer.status, seconds, received=blocks.received, sent=len(answer.body))
        return Response(answer.body, answer.status, dict(answer.headers), answer.kind)

    return handle


async def _answer(verb: str, pool: Pool, request: Request, blocks: "_Blocks") -> Answer:
    """The answer to a request. Raises RefusalError, and ClientDisconnect if the client leaves before the answer is there."""
    if verb not in pool.verbs:
        raise RefusalError(404, f"this service has no model for /{verb}; start it with {_FLAGS.get(verb, '--restorer')} MODEL")
    query = request.query_params.multi_items()
    try:
        from_query(KINDS[verb], query)
    except SettingError as error:
        raise RefusalError(400, str(error)) from error
    length = intake.declared_length(request.headers.get("content-length"))
    with pool.admitted():
        body = b""
        if verb == "generate":
            await intake.nothing(blocks, pool.settings)
        else:
            body = await intake.picture(blocks, length, pool.settings)
        pairs: list[Json] = [[name, value] for name, value in query]
        return await _unless_left(request, pool.run({"verb": verb, "query": pairs}, body))


async def _unless_left(request: Request, work: "Awaitable[Answer]") -> Answer:
    """The answer of `work`, whose waiting ends if the client leaves. Raises ClientDisconnect then."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        left.cancel()


async def _departure(request: Request) -> None:
    """Returns when the client has closed its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Blocks:
    """The blocks of a body, counted."""

    def __init__(self, request: Request) -> None:
        self._stream, self.received = request.stream(), 0
        self._expects = request.headers.get("expect", "").lower() == "100-continue"
        self._begun = False

    @property
    def waits_for_word(self) -> bool:
        """Whether the client sends its body only if it is told to, and was not: there is nothing to read then."""
        return self._expects and not self._begun

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._begun = True
        block = await anext(self._stream)
        self.received += len(block)
        return block


async def _refused_by_route(_: Request, error: Exception) -> Response:
    """No such address, or another method than it has."""
    assert isinstance(error, HTTPException)
    reason = f"{error.detail}; GET / lists the addresses"
    answer = RefusalError(error.status_code, reason, dict(error.headers or {})).answer()
    return Response(answer.body, answer.status, dict(answer.headers), answer.kind)


def _index(pool: Pool) -> Json:
    return {f"POST /{verb}": {name: dict(text) for name, text in described(KINDS[verb]).items()} for verb in pool.verbs}


def _limits(settings: ServiceSettings) -> Json:
    return {"bytes": settings.max_bytes, "pixels": settings.max_pixels, "seconds": settings.timeout}


def _json(value: Mapping[str, Json], *, status: int = 200) -> Response:
    return Response(json.dumps(value, indent=2) + "\n", status, media_type="application/json")

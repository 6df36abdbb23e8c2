"""The service from its start to its stop.

check ─ socket ─ processes load their models ─ "serving on ..." ─ requests ─ SIGTERM or SIGINT: no new ones, those under way end ─ stop
"""

import asyncio
import contextlib
import dataclasses
import importlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from sfumato.core.errors import MissingExtraError, SettingError
from sfumato.core.extras import missing
from sfumato.service.metrics import Metrics
from sfumato.service.pool import Pool
from sfumato.service.settings import ServiceSettings

_CONNECTIONS = 4
"""Connections for each place of the queue; further ones are refused with 503 before they are read."""
_BACKLOG = 512
"""Connections that the system keeps until the server takes them."""


def serve(settings: ServiceSettings, *, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Serves until SIGTERM or SIGINT; then completes the requests that were taken, and returns.

    `on_ready` is called with the address once models are loaded. Raises MissingExtraError without Starlette and uvicorn, SettingError for
    an address that cannot be taken and for models that cannot be used.
    """
    settings.check()
    check_installed()
    with _listening(settings) as listener:
        asyncio.run(_served(settings, listener, on_ready))


def check_installed() -> None:
    """Raises MissingExtraError without the packages of the service."""
    for package in ("starlette", "uvicorn"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise _absent() from error


def _absent() -> MissingExtraError:
    return missing("the service needs", "Starlette")


async def _served(settings: ServiceSettings, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    import uvicorn

    from sfumato.service.app import application

    metrics = Metrics()
    pool = Pool(settings, dataclasses.asdict(settings), metrics)
    await pool.start()
    config = uvicorn.Config(
        application(pool, metrics),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS * (settings.jobs + settings.queue) + 64,
        # A request that was taken may still wait and be computed.
        timeout_graceful_shutdown=int(3 * settings.timeout) + 1,
        lifespan="off",
    )
    host, port = listener.getsockname()[:2]
    on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        with _kept_signals():
            await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        await pool.stop()


@contextlib.contextmanager
def _listening(settings: ServiceSettings) -> Iterator[socket.socket]:
    """A socket that listens on the address of the settings. Raises SettingError if it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family)
    except OSError as error:
        raise SettingError(f"host = {settings.host} is no address of this machine ({error.strerror or error})") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            reason = f"{settings.host}, port {settings.port} cannot be served on ({error.strerror or error})"
            raise SettingError(f"{reason}; choose another --port, or 0 for any that is free") from error
        yield listener


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Lets signals that uvicorn has taken as the order to stop end there: it raises them once more after its stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

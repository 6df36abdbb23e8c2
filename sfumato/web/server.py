"""The server of the studio: gradio's application behind the gate."""

import asyncio
import contextlib
import importlib
import inspect
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from types import ModuleType

from sfumato.core.errors import SettingError
from sfumato.web.early import WithHead
from sfumato.web.gate import LOOPBACK, Application, Gate
from sfumato.web.pages.look import HEAD
from sfumato.web.studio import Studio, StudioSettings

_SWEEP = 600.0
"""Seconds between two removals of old files."""


def serve(settings: StudioSettings, *, on_ready: Callable[[str], None] = print) -> None:
    """Serves the pages until the process is interrupted; `on_ready` gets the address.

    Raises as `StudioSettings.check`, and SettingError if the port is taken.
    """
    settings.check()
    listener = _listening(settings)
    studio = Studio.opened(settings)
    try:
        gradio = _quiet_gradio(studio)
        gate = gated(studio, application(gradio, studio))
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        asyncio.run(_run(gate, listener, studio, f"http://{host}:{port}/", on_ready))
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        studio.close()


def application(gradio: ModuleType, studio: Studio) -> Application:
    """Gradio's application with all pages of a studio."""
    from sfumato.web.pages import build

    blocks, options = build(gradio, studio)
    fastapi = importlib.import_module("fastapi")
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    size = studio.limits.file_bytes
    return gradio.mount_gradio_app(app, blocks, path="/", max_file_size=size, ssr_mode=False, show_error=False, pwa=False, **options)


def gated(studio: Studio, inner: Application) -> Gate:
    """The application behind the gate of a studio."""
    settings = studio.settings
    hosts = LOOPBACK if settings.is_local else None
    return Gate(WithHead(inner, HEAD), studio.shelter, studio.limits, hosts=hosts, password=settings.password())


def _quiet_gradio(studio: Studio) -> ModuleType:
    """Gradio, told before it is imported to send nothing to anybody and to keep its files in the studio's folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(studio.shelter.root)
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with _without_stubs():
        return importlib.import_module("gradio")


@contextlib.contextmanager
def _without_stubs() -> Iterator[None]:
    """Inside, gradio writes no stubs for editors into its own folder, which take a second of each start: its classes have no files."""
    getfile = inspect.getfile

    def of_others(thing: Callable[..., object]) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("the source is not wanted")
        return getfile(thing)

    inspect.getfile = of_others
    try:
        yield
    finally:
        inspect.getfile = getfile


def _listening(settings: StudioSettings) -> socket.socket:
    """A socket at the address of the settings. Raises SettingError if it is taken or does not exist."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingError(
            f"{settings.host}:{settings.port} cannot be used ({error.strerror}); choose another --port, such as 0"
        ) from error
    return listener


async def _run(gate: Gate, listener: socket.socket, studio: Studio, address: str, on_ready: Callable[[str], None]) -> None:
    """Serves until the process is asked to end."""
    uvicorn = importlib.import_module("uvicorn")
    server = uvicorn.Server(uvicorn.Config(gate, log_level="error", access_log=False, lifespan="on", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    on_ready(address)
    background = [asyncio.create_task(_sweep(studio)), asyncio.create_task(_list_models(studio))]
    if studio.settings.open_browser:
        threading.Thread(target=_open_browser, args=(address,), daemon=True).start()
    try:
        await serving
    finally:
        for each in background:
            each.cancel()


async def _sweep(studio: Studio) -> None:
    """Removes old files, again and again."""
    while True:
        await asyncio.sleep(_SWEEP)
        await asyncio.to_thread(studio.shelter.sweep)


async def _list_models(studio: Studio) -> None:
    """Lists the models once, which also starts a worker ahead of the first job."""
    job = studio.list_models()
    while not job.ended:
        await asyncio.sleep(0.1)
    studio.catalogue.take(job)


def _open_browser(address: str) -> None:
    """Opens the page, if there is a screen."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(address)

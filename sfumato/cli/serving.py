"""The verb `serve`."""

from collections.abc import Callable
from typing import Annotated

from sfumato.cli.terminal import say
from sfumato.cli.verbs import Backend, Device, Threads
from sfumato.core import flags
from sfumato.core.config import Range


def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Range(0, 65535)] = 8000,
    restorer: str | None = None,
    generator: str = "fashion",
    codec: str = "codec",
    embedder: str = "eurosat-classifier",
    jobs: Annotated[int, Range(1, 1024, "processes")] = 1,
    queue: Annotated[int, Range(0, 100_000, "requests")] = 32,
    timeout: Annotated[float, Range(0.1, 86_400, "seconds")] = 60.0,
    max_megabytes: Annotated[float, Range(0.001, 1000, "megabytes")] = 32.0,
    max_megapixels: Annotated[float, Range(0.001, 100, "megapixels")] = 24.0,
    backend: Backend = "torch",
    memory: str = "auto",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Serve models over HTTP: POST /restore, /generate, /compress, /embed.

    The body of a request is a picture, options stand in the query, as in /restore?task=denoise, and the answer is the result. GET / lists
    all options, GET /metrics has counters for Prometheus. An interruption or SIGTERM completes the requests that were taken. There is no
    access control.

    Args:
        host: Address to listen on; 0.0.0.0 for all addresses of the machine.
        port: Port; 0 for a free one, which is printed.
        restorer: Model that restores. Default: the bundled model for each task.
        generator: Model that generates; empty for none.
        codec: Model that compresses; empty for none.
        embedder: Model that turns pictures into vectors; empty for none.
        jobs: Number of requests that are computed at the same time, each by a process with its own networks.
        queue: Requests that may wait beside those that are computed. More are refused with 429.
        timeout: Longest time in seconds that a request may take to arrive, to wait, and to be computed, each.
        max_megabytes: Largest body of a request.
        max_megapixels: Largest picture, of a request and of an answer.
        memory: Limit of the memory of each process for one picture, such as 2GB. auto is its share of a third of the machine's memory.

    """
    from sfumato.service.server import serve as run
    from sfumato.service.settings import ServiceSettings

    settings = ServiceSettings(
        host=host,
        port=port,
        restorer=restorer,
        generator=generator,
        codec=codec,
        embedder=embedder,
        jobs=jobs,
        queue=queue,
        timeout=timeout,
        max_bytes=round(max_megabytes * 1e6),
        max_pixels=round(max_megapixels * 1e6),
        backend=backend,
        memory=None if memory == "auto" else flags.size(memory),
        threads=threads,
        device=device,
    )
    run(settings, on_ready=lambda address: say(f"serving on {address}"))


VERBS: tuple[Callable[..., None], ...] = (serve,)

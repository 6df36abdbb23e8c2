"""The settings of a service: its models, its address and its limits."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from sfumato.core.config import Range, problem
from sfumato.core.errors import SettingError
from sfumato.core.text import quoted

VERBS = ("restore", "generate", "compress", "embed")
"""The verbs that a service can offer."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Models, address and limits of a service."""

    host: str = "127.0.0.1"
    """Address that the service listens on; 0.0.0.0 for all addresses of the machine."""
    port: Annotated[int, Range(0, 65535)] = 8000
    """0 for a free port, which the first line of the output names."""
    restorer: str | None = None
    """Model that restores; None for the bundled one of each task."""
    generator: str = "fashion"
    """Model that generates; empty for none, as in the two below."""
    codec: str = "codec"
    """Model that compresses."""
    embedder: str = "eurosat-classifier"
    """Model that turns pictures into vectors."""
    jobs: Annotated[int, Range(1, 1024, "processes")] = 1
    """Number of requests that are computed at the same time, each by a process with its own networks."""
    queue: Annotated[int, Range(0, 100_000, "requests")] = 32
    """Requests that wait beside those that are computed; any more are refused with 429."""
    timeout: Annotated[float, Range(0.1, 86_400, "seconds")] = 60.0
    """Longest time of each stage of a request: to arrive, to wait for a process, to be computed."""
    max_bytes: Annotated[int, Range(1, 1 << 30, "bytes")] = 32_000_000
    """Largest body of a request."""
    max_pixels: Annotated[int, Range(1, 100_000_000, "pixels")] = 24_000_000
    """Largest picture, of a request and of an answer."""
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch"
    """Library that computes restorers, generators and embedders."""
    memory: float | None = None
    """Bytes of memory that one process may use for a picture; None for its share of a third of the machine's."""
    threads: int | None = None
    """Processor threads of one process; None for its share of the cores."""
    device: str = "auto"

    def check(self) -> None:
        """Raises SettingError for a value outside its range, and for a service without a verb."""
        for field in dataclasses.fields(self):
            if wrong := problem(getattr(self, field.name), field.type):
                raise SettingError(f"{field.name} = {quoted(getattr(self, field.name))} {wrong}")

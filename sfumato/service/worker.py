"""One process that computes for the service: `python -m sfumato.service.worker`, with messages on its standard input and output.

first message: settings ─ models are loaded ─ "ready" ─ then a request and its answer, one after another, until the input ends
"""

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import BinaryIO

from sfumato.core.config import changed
from sfumato.core.errors import FormatError, ImageError, MissingExtraError, SettingError, SfumatoError, UnknownNameError
from sfumato.core.json_value import Json
from sfumato.core.progress import heard
from sfumato.service import frames
from sfumato.service.answers import Answer, RefusalError
from sfumato.service.settings import ServiceSettings

STATUSES: dict[type[Exception], int] = {
    MissingExtraError: 415,
    ImageError: 422,
    SettingError: 400,
    UnknownNameError: 400,
    FormatError: 400,
}
"""The status of HTTP for each kind of error; any other error is a fault of the service, 500."""


def main() -> None:
    """Answers requests until the standard input ends."""
    with _pipes() as (requests, answers):
        if (setup := frames.read(requests)) is None:
            return
        settings = changed(ServiceSettings(), **setup[0])
        try:
            settings.check()
            _prepare(settings)
            from sfumato.service.verbs import Verbs

            verbs = Verbs(settings).verbs
        except SfumatoError as error:
            _send(answers, frames.packed({"error": str(error)}))
            return
        _send(answers, frames.packed({"verbs": list(verbs)}))
        # Remarks are for the people at a terminal.
        with heard(lambda _: None):
            while (message := frames.read(requests)) is not None:
                header, body = message
                _send(answers, _answered(verbs[str(header["verb"])], _pairs(header["query"]), body))


def refusal_of(error: Exception) -> RefusalError | None:
    """The refusal that an error of a request becomes; None for a fault of the service."""
    if isinstance(error, RefusalError):
        return error
    # PyTorch names the reason in its message alone.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        return RefusalError(503, "not enough memory for this request now; try again later, or with a smaller picture")
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), None)
    return None if status is None else RefusalError(status, str(error))


def _answered(verb: Callable[[list[tuple[str, str]], bytes], Answer], query: list[tuple[str, str]], body: bytes) -> bytes:
    """The message with the answer of a verb, or with its refusal. A fault is printed to standard error, and not to the client."""
    try:
        answer = verb(query, body)
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None:
            traceback.print_exc()
            refusal = RefusalError(500, "the service failed; its log says why")
        return frames.packed({"status": refusal.status, "error": refusal.reason})
    return frames.packed({"status": answer.status, "kind": answer.kind, "headers": dict(answer.headers)}, answer.body)


def _pairs(query: Json) -> list[tuple[str, str]]:
    """The pairs of a query out of a message."""
    assert isinstance(query, list)
    return [(str(pair[0]), str(pair[1])) for pair in query if isinstance(pair, list)]


def _send(file: BinaryIO, message: bytes) -> None:
    file.write(message)
    file.flush()


@contextlib.contextmanager
def _pipes() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The pipes from and to the server. Whatever else reads or prints gets an empty input, and standard error for its output."""
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        yield requests, answers


def _prepare(settings: ServiceSettings) -> None:
    """Sets torch and the libraries for pictures up for this process."""
    from sfumato.core.device import default_threads, keep_memory, set_threads
    from sfumato.io.tiff import silence_libtiff

    keep_memory()
    silence_libtiff()
    set_threads(settings.threads or max(1, default_threads() // settings.jobs))
    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
    sys.exit(0)

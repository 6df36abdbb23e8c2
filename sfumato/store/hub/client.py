"""The package huggingface_hub: how it is imported, and its errors in one line each."""

import contextlib
import http
import os
import sys
from collections.abc import Iterator
from types import ModuleType

from sfumato.core.errors import SfumatoError
from sfumato.core.extras import missing

_ENVIRONMENT = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_VERBOSITY": "error"}
"""What the package reads once, when it is imported; what a person has set stays."""
DEFAULT_ENDPOINT = "https://huggingface.co"
_REASONS = {
    http.HTTPStatus.UNAUTHORIZED: "not found, or private and the token is absent or refused: run `hf auth login`, or set HF_TOKEN",
    http.HTTPStatus.FORBIDDEN: "the token does not allow it: ask the owner for access, or make a token that may write",
    http.HTTPStatus.NOT_FOUND: "there is no such repository or revision, or it is private: look at the spelling of OWNER/NAME@REVISION",
    http.HTTPStatus.CONFLICT: "somebody changed it at the same time: run the command again",
    http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the file is larger than the hub takes",
    http.HTTPStatus.TOO_MANY_REQUESTS: "too many requests: wait some minutes and run the command again",
}


def library() -> ModuleType:
    """The package huggingface_hub, without its telemetry and its second protocol. Raises MissingExtraError if it is not installed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
        import huggingface_hub.errors  # the package itself would import it late
    except ImportError as error:
        raise missing("models on a hub need", "huggingface_hub") from error
    return huggingface_hub


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT, else that of Hugging Face."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def offline() -> bool:
    """Whether only the cache may be read: HF_HUB_OFFLINE is set to 1, yes, on or true."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "yes", "on", "true")


def cache() -> str | None:
    """Folder of the hub's cache as HF_HUB_CACHE or HF_HOME name it; None for the package's own choice."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return os.path.expanduser(folder)
    home = os.environ.get("HF_HOME")
    return os.path.join(os.path.expanduser(home), "hub") if home else None


@contextlib.contextmanager
def explained(subject: str, kind: type[SfumatoError]) -> Iterator[None]:
    """Turns every error of the package and of the network inside into a `kind` with one line about `subject`. No line has the token."""
    errors = library().errors
    # The bases of this error are OSError and the error of the client for HTTP, whose package differs between versions.
    network = (*errors.HfHubHTTPError.__bases__, ValueError)
    try:
        yield
    except SfumatoError:
        raise
    except network as error:
        raise kind(f"{subject}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Why a request failed: by its status, if the server sent one, else in the words of the error."""
    chain = list(_chain(error))
    for each in chain:
        response = getattr(each, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int) and status >= http.HTTPStatus.BAD_REQUEST:
            return (
                f"{_REASONS.get(http.HTTPStatus(status), 'the hub answered with an error: try again later')} ({status} from {endpoint()})"
            )
    if offline():
        return "it is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset it, or fetch the model once while online"
    words = " ".join(str(chain[-1]).split())[:200] or type(chain[-1]).__name__
    return f"{without_token(words)} ({endpoint()}); look at the connection and HF_ENDPOINT, and run the command again"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def without_token(text: str) -> str:
    """`text` without the token that this process would send."""
    token = library().get_token()
    return text.replace(token, "***") if token else text

"""Optional packages: what each is called where it is installed from.

The package itself is named and not an extra of this one: `pip install av` is right beside a checkout and beside a wheel, where
`pip install "sfumato[video]"` would look for a package of that name in an index.
"""

import importlib.metadata
import importlib.util
import re

from sfumato.core.errors import MissingExtraError

PACKAGES = {
    "fsspec": "fsspec",
    "OpenCV": "opencv-python-headless",
    "Optuna": "optuna",
    "PyAV": "av",
    "faiss": "faiss-cpu",
    "huggingface_hub": "huggingface_hub",
    "onnx": "onnx onnxscript onnxruntime",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "pillow-heif": "pillow-heif",
    "pyvips": '"pyvips[binary]"',
    "ray": '"ray[data]"',
    "rawpy": "rawpy",
    "SciPy": "scipy",
    "gradio": "gradio",
    "scikit-image": "scikit-image",
    "scikit-learn": "scikit-learn",
    "Starlette": "starlette uvicorn",
}
"""The name of each optional package, and what `pip install` takes for it."""


def install(package: str) -> str:
    """The command that installs `package`.

    >>> install("PyAV")
    'pip install av'
    """
    return f"pip install {PACKAGES[package]}"


def missing(thing: str, package: str) -> MissingExtraError:
    """The error to raise where `thing`, a plural or a name with its verb, needs a package that is not there.

    >>> str(missing("films need", "PyAV"))
    'films need PyAV; install it with: pip install av'
    """
    return MissingExtraError(f"{thing} {package}; install it with: {install(package)}")


def check_installed(thing: str, package: str, *, least: str) -> None:
    """Raises MissingExtraError if `package`, whose module has the same name, is not there or older than `least`, and `thing` needs it."""
    if importlib.util.find_spec(package) is None:
        raise missing(thing, package)
    version = importlib.metadata.version(package)
    if _numbers(version) < _numbers(least):
        words = f"{thing} {package} {least} or later, and {version} is installed"
        raise MissingExtraError(f'{words}; replace it with: pip install "{PACKAGES[package]}>={least}"')


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version.

    >>> _numbers("6.10.0rc1"), _numbers("7")
    ((6, 10), (7,))
    """
    return tuple(map(int, re.findall(r"\d+", version)[:2]))

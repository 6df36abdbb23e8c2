"""The versions of the libraries that make results."""

from sfumato import __version__


def made_with() -> str:
    """The versions of Sfumato and PyTorch, as cards and pictures hold them."""
    import torch

    return f"sfumato {__version__}, torch {torch.__version__}"

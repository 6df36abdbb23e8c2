"""Generate, edit and restore images with neural networks you can train on a laptop."""

__version__ = "0.1.0"

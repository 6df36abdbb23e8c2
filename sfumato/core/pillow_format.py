"""Makes `PIL.Image.open` read the files of `sfumato compress`. The code that reads them is imported with the first such file."""

import importlib
from types import ModuleType

MAGIC = b"\x8fSFM"
"""First bytes of the files."""
ENDING = ".sfm"
_READER = "sfumato.compression.pillow_plugin"


def register_with_pillow(image: ModuleType) -> None:
    """Adds the format to Pillow's, whose module `PIL.Image` is given."""

    def opened(file: object, name: str) -> object:
        """The image in an open file."""
        return importlib.import_module(_READER).CompressedImageFile(file, name)

    image.register_open("SFM", opened, lambda start: start[:4] == MAGIC)
    image.register_extension("SFM", ENDING)

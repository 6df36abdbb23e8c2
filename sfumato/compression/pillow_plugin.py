"""The files of `compress` for `PIL.Image.open`: size and mode are read from the header, pixels when they are needed."""

import warnings

from PIL import ImageFile

from sfumato.compression import container
from sfumato.compression.decompress import decompress
from sfumato.compression.reading import LARGEST_FILE
from sfumato.core.errors import SfumatoError


class CompressedImageFile(ImageFile.ImageFile):
    """An image in a file of `compress`, by the bundled codec. Damage is a warning as the pixels are decoded."""

    format = "SFM"
    format_description = "Sfumato compressed image"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read(LARGEST_FILE)
        try:
            header = container.read_header(self._data)
            has_opacity = header.blocks and container.OPACITY in container.parsed(self._data).blocks
        except SfumatoError as error:
            raise SyntaxError(str(error)) from error
        self._size = (header.size[1], header.size[0])
        self._mode = ("L" if header.grey else "RGB") if not has_opacity else "LA" if header.grey else "RGBA"

    def load(self) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Decodes the pixels. Raises OSError, as Pillow's own formats do, if that is not possible."""
        if self._data:
            data, self._data = self._data, b""
            try:
                image = decompress(data)
            except SfumatoError as error:
                raise OSError(str(error)) from error
            if image.damage:
                warnings.warn(f"damaged image: {'; '.join(image.damage)}", stacklevel=2)
            self.im, self.info = image.im, {**self.info, **image.info}
            self._mode = image.mode
        return self.im.pixel_access(self.readonly)

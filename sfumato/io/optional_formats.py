"""Formats of optional packages: HEIC through pillow-heif (extra `heif`), camera raw through LibRaw (extra `raw`).

Both are returned as Pillow images whose pixels are decoded on demand. The package is imported when the first such file is opened.
"""

from typing import TYPE_CHECKING

from PIL import Image

from sfumato.core.errors import MissingExtraError
from sfumato.io import bounds
from sfumato.io.formats import Kind
from sfumato.io.png import File

if TYPE_CHECKING:
    import rawpy


def open_image(kind: Kind, file: File, name: str) -> Image.Image:
    """The image in `file` with only the header read: upright, 8-bit grey or colour, with opacity for a HEIC that has any.

    Raises MissingExtraError without the package, ImageError for a file that is too large to be read as a whole.
    """
    try:
        if kind.reader == "heif":
            from pillow_heif import HeifImageFile

            bounds.check(file, "HEIF")
            return HeifImageFile(file)
        import rawpy
    except ImportError as error:
        raise MissingExtraError(f"{name}: {kind.name} {kind.advice or f'cannot be read ({error})'}") from error
    bounds.check(file, "RAW")
    return _Developed(rawpy.imread(file))


class _Developed(Image.Image):
    """A raw picture, developed on loading with the white balance of the camera to upright 8-bit sRGB."""

    format = "RAW"
    format_description = "camera raw"

    def __init__(self, raw: "rawpy.RawPy") -> None:
        super().__init__()
        self._raw = raw
        sizes = raw.sizes
        high, wide = (sizes.iwidth, sizes.iheight) if sizes.flip in (5, 6) else (sizes.iheight, sizes.iwidth)
        self._mode, self._size = "RGB", (wide, high)

    def load(self) -> "Image.core.PixelAccess | None":
        if self._raw is not None:
            raw, self._raw = self._raw, None
            with raw:
                developed = Image.fromarray(raw.postprocess(use_camera_wb=True, output_bps=8))
            self._size, self.im = developed.size, developed.im
        return super().load()

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        super().close()

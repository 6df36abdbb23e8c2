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


def colour_space(image: Image.Image) -> bytes:
    """The colour space that a HEIC states in numbers of ITU-T H.273 instead of an ICC profile, as the content of a PNG's cICP chunk.

    Empty for sRGB, for an unspecified colour space, and for other images.
    """
    stated = image.info.get("nclx_profile") if image.format == "HEIF" and not image.info.get("icc_profile") else None
    if not isinstance(stated, dict):
        return b""
    primaries, transfer = (int(stated.get(name, 2)) for name in ("color_primaries", "transfer_characteristics"))
    usual = primaries in (1, 2) and transfer in (1, 2, 6, 13)
    return b"" if usual or not (0 <= primaries < 256 and 0 <= transfer < 256) else bytes((primaries, transfer, 0, 1))


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

"""The wishes of a compression: quality or size, effort, model."""

from dataclasses import dataclass
from typing import Literal, get_args

from sfumato.compression.distortion import Tune
from sfumato.core.errors import SettingError
from sfumato.models.roles.codec import QUALITIES
from sfumato.store.loaded import Model

DEFAULT_MODEL = "codec"
"""The bundled model for photographs."""
DEFAULT_QUALITY = 50
Effort = Literal["fast", "refine", "max"]
SMALLEST_BPP, LARGEST_BPP = 0.01, 24.0


@dataclass(frozen=True, kw_only=True)
class CompressionRequest:
    """How pictures are compressed."""

    quality: int | None = None
    """1 (smallest file) to 100 (best picture); 50 if no other wish is given."""
    bpp: float | None = None
    """Largest number of bits for each pixel of the picture, of the whole file."""
    max_kb: float | None = None
    """Largest size of the file in kilobytes of 1,000 bytes."""
    effort: Effort = "fast"
    """`refine` searches for the latent with gradient steps, which takes minutes for a photograph; decoding is as fast as ever. `max` trains
    a network for each picture and puts it into the file: no codec is needed, neither to write nor to read it, and reading takes seconds."""
    tune: Tune = "psnr"
    """What the search of `refine` and `max` takes for the error: squared differences, or what MS-SSIM sees."""
    keep_metadata: bool = False
    """Keeps the colour profile and the EXIF in the file. Without it, colours are converted to sRGB."""
    model: Model = DEFAULT_MODEL
    """The codec. `max` needs none."""

    @property
    def needs_codec(self) -> bool:
        """Whether a trained codec is needed."""
        return self.effort != "max"

    def check(self) -> None:
        """Raises SettingError for wishes out of range, or of which one at most can be fulfilled."""
        wishes = {"quality": self.quality, "bpp": self.bpp, "max_kb": self.max_kb}
        given = [f"{name} = {value}" for name, value in wishes.items() if value is not None]
        if len(given) > 1:
            raise SettingError(f"{' and '.join(given)}: give one of quality, bpp and max_kb")
        if self.quality is not None and self.quality not in QUALITIES:
            raise SettingError(f"quality = {self.quality} is outside {QUALITIES[0]} to {QUALITIES[-1]}")
        if self.bpp is not None and not SMALLEST_BPP <= self.bpp <= LARGEST_BPP:
            raise SettingError(f"bpp = {self.bpp:g} is outside {SMALLEST_BPP:g} to {LARGEST_BPP:g} bits per pixel")
        if self.max_kb is not None and not 0 < self.max_kb <= 1e6:
            raise SettingError(f"max_kb = {self.max_kb:g} must be above 0 and at most 1,000,000 kilobytes")
        if self.effort not in get_args(Effort):
            raise SettingError(f"effort = {self.effort!r} is none of {', '.join(get_args(Effort))}")
        if self.tune not in get_args(Tune):
            raise SettingError(f"tune = {self.tune!r} is none of {', '.join(get_args(Tune))}")
        if self.tune != "psnr" and self.effort == "fast":
            raise SettingError(f"tune = {self.tune!r} needs a search; give it with effort refine or max")

    def largest_bytes(self, pixels: int) -> int | None:
        """The largest size of the file of a picture with so many pixels; None if the quality decides."""
        if self.bpp is not None:
            return int(self.bpp * pixels / 8)
        return None if self.max_kb is None else int(self.max_kb * 1000)

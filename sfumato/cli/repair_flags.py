"""The flags of `restore` that say what is repaired, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from sfumato.core.config import Range

if TYPE_CHECKING:
    from sfumato.core.device import Precision
    from sfumato.restoration.request import RestorationRequest, Ways
    from sfumato.store.export.backend import Backend


@dataclass(frozen=True, kw_only=True)
class RepairFlags:
    """The flags of a repair."""

    task: Literal["auto", "denoise", "deblur", "inpaint", "upscale", "jpeg"] = "auto"
    """The repair. auto looks for damage in each picture, repairs it, and prints what it found."""
    model: str | None = None
    """Network for the repair: a bundled model by its name, a run folder or a model file. Default: the bundled model for the task."""
    method: str | None = None
    """Classical method instead of a network: median, non-local-means, wiener, richardson-lucy, laplace, biharmonic, telea, patches or
    bicubic; or deep-image-prior, which fits a network to the one picture. Default: a network."""
    scale: Annotated[float | None, Range(1, 16)] = None
    """Factor by which --task upscale lengthens the sides, such as 3.5; up to 8, or 16 with --method bicubic. Default: the factor of
    --model, else 2."""
    quality: Literal["standard", "best"] = "standard"
    """best takes the mean over eight views, mirrored and turned; for --task upscale, of a larger model: far slower."""
    look: Literal["faithful", "sharp"] = "faithful"
    """sharp lets --task upscale invent fine texture, which looks sharper and is farther from the truth."""
    strength: Annotated[float, Range(0, 2)] = 1.0
    """Strength of the repair: 0 keeps the picture, 1 is the result of the network."""
    mask: Path | None = None
    """Mask of the area to fill in: a picture of the same size, white in that area; a folder of masks with the names of the pictures; or
    alpha, for all pixels that are not opaque. It implies --task inpaint. Default: no mask."""
    grow_mask: Annotated[int, Range(0, 1000, "pixels")] = 0
    """Number of pixels by which each hole of the mask is enlarged in every direction."""
    invert_mask: bool = False
    """Fill in where the mask is black, instead of white."""
    find: tuple[Literal["scratches", "dead-pixels", "dust"], ...] = ()
    """Damage to look for and to fill in: dust is for dust, hairs and scratches on scanned prints. It implies --task inpaint. Default:
    none."""
    preview: Path | None = None
    """Name of a picture to write: white where --find found damage in the one picture. It can be corrected and given as --mask. Default: no
    picture."""
    noise: Annotated[float | None, Range(0, 255, "grey levels")] = None
    """Standard deviation of the noise, for networks and methods that take it. Default: estimated from the picture."""
    blur: str | None = None
    """Kind and size of the blur: gaussian:1.6 (standard deviation in pixels), defocus:3 (radius in pixels) or motion:9@30 (length in
    pixels, angle in degrees). Default: estimated from the picture."""

    def request(self, *, memory: float, precision: "Precision", ensemble: "Ways", backend: "Backend", device: str) -> "RestorationRequest":
        """The request of these flags, except for the mask, with at most `memory` bytes."""
        from sfumato.restoration.request import RestorationRequest

        return RestorationRequest(
            task=self.task,
            model=self.model,
            method=self.method,
            scale=self.scale,
            quality=self.quality,
            look=self.look,
            strength=self.strength,
            noise=None if self.noise is None else self.noise / 255,
            blur=self.blur,
            find=self.find,
            grow_mask=self.grow_mask,
            invert_mask=self.invert_mask,
            memory=memory,
            precision=precision,
            ensemble=ensemble,
            backend=backend,
            device=device,
        )

"""Classical restoration methods with one interface: images, and options by name.

Deconvolution is in `deconvolve.py`, inpainting in `fill.py` and `completion.py`; `METHODS` lists all methods.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sfumato.classical.completion import patches
from sfumato.classical.deconvolve import richardson_lucy, wiener
from sfumato.classical.destripe import destripe
from sfumato.classical.fill import biharmonic, laplace, telea
from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.extras import missing
from sfumato.core.tensors import Images, Kernels, Maps, Resized
from sfumato.nn import resample

_PATCH, _DISTANCE = 5, 6
"""Non-local means: side of a patch, and largest distance between compared patches, in pixels."""


@torch.no_grad()
def median(images: Images, *, size: int = 3) -> Images:
    """The median of `size` x `size` pixels around each pixel, channel by channel (Tukey 1977), in [0, 1]; borders are mirrored.

    Removes single wrong pixels and keeps edges. Raises SettingError for a size that is even or outside [1, 15].
    """
    if size % 2 == 0 or not 1 <= size <= 15:
        raise SettingError(f"size = {size} must be odd and in [1, 15] pixels")
    output = torch.empty_like(images)
    for image, place in zip(images, output, strict=True):  # one image at a time: each pixel takes the memory of size^2
        around = resample.mirror(image[None], size // 2)[0].unfold(1, size, 1).unfold(2, size, 1)
        place.copy_(around.flatten(3).median(dim=3).values)
    return output.clamp(0, 1)


@torch.no_grad()
def non_local_means(images: Images, *, noise: float) -> Images:
    """Images denoised by non-local means, in [0, 1]: weighted means of pixels with similar patches (scikit-image).

    Buades, Coll & Morel 2005 (https://doi.org/10.1109/CVPR.2005.38): patches of 5 x 5 pixels and all channels are compared with those up to
    6 pixels away. The weight is exp(-d / (0.7 noise)^2), with d the mean squared difference minus its expectation under `noise` (standard
    deviation, as a share of full scale). Raises SettingError for noise outside (0, 1], MissingExtraError without scikit-image.
    """
    if not 0 < noise <= 1:
        raise SettingError(f"noise = {noise:g} is outside (0, 1] of full scale")
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError as error:
        raise missing("non_local_means needs", "scikit-image") from error
    h, w = images.shape[2:]
    reach = _PATCH + _DISTANCE  # padded here, because the library cannot mirror images smaller than its patch
    output = torch.empty_like(images)
    for image, place in zip(resample.mirror(images, reach).cpu(), output, strict=True):
        clean = denoise_nl_means(
            image.permute(1, 2, 0).numpy(),
            patch_size=_PATCH,
            patch_distance=_DISTANCE,
            h=0.7 * noise,
            sigma=noise,
            fast_mode=True,
            channel_axis=-1,
        )
        # scikit-image drops the axis of a single channel.
        whole = torch.from_numpy(clean).reshape(h + 2 * reach, w + 2 * reach, -1).permute(2, 0, 1)
        place.copy_(whole[:, reach : reach + h, reach : reach + w])
    return output.clamp(0, 1)


@torch.no_grad()
def bicubic(images: Images, *, scale: float) -> Resized:
    """Images enlarged `scale` times by cubic interpolation as in MATLAB's imresize, in [0, 1]; halves of a pixel are rounded up.

    Raises SettingError for a scale outside [1, 16].
    """
    if not 1 <= scale <= 16:
        raise SettingError(f"scale = {scale:g} is outside [1, 16]")
    h, w = images.shape[2:]
    return resample.resize(images, (math.floor(h * scale + 0.5), math.floor(w * scale + 0.5))).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A classical method, with its required options and its memory use."""

    apply: Callable[..., Maps]
    """Takes the images, and the options in `needs` by name."""
    needs: tuple[str, ...] = ()
    """Names of the required options: some of noise, kernels, observed and scale."""
    summary: str
    """Description in a few words, for lists of methods."""
    memory: float
    """Measured peak memory in bytes for each pixel of a result in colour."""
    memory_missing: float = 0.0
    """Additional bytes for each missing pixel."""


PATCHES, DESTRIPE = "patches", "destripe"
"""The methods for large holes and for bands."""

METHODS = {
    "median": Method(apply=median, summary="removes single wrong pixels", memory=200),
    DESTRIPE: Method(apply=destripe, summary="levels rows and columns that are lighter or darker as a whole", memory=100),
    "non-local-means": Method(apply=non_local_means, needs=("noise",), summary="removes uniform noise", memory=150),
    "wiener": Method(apply=wiener, needs=("kernels", "noise"), summary="undoes a known blur, regularised by the noise", memory=200),
    "richardson-lucy": Method(apply=richardson_lucy, needs=("kernels",), summary="undoes a known blur, iteratively", memory=230),
    "laplace": Method(apply=laplace, needs=("observed",), summary="fills holes with the means of neighbours", memory=380),
    "biharmonic": Method(
        apply=biharmonic, needs=("observed",), summary="fills holes and continues slopes", memory=110, memory_missing=1800
    ),
    "telea": Method(apply=telea, needs=("observed",), summary="fills holes inwards from their borders, in 8 bits", memory=75),
    PATCHES: Method(
        apply=patches, needs=("observed",), summary="fills holes with patches from elsewhere in the picture", memory=450, memory_missing=200
    ),
    "bicubic": Method(apply=bicubic, needs=("scale",), summary="enlarges by cubic interpolation", memory=30),
}
"""The methods by the names of the command line."""


def apply(
    name: str,
    images: Images,
    *,
    noise: float | None = None,
    kernels: Kernels | None = None,
    observed: Maps | None = None,
    scale: float | None = None,
) -> Maps:
    """The result of the method called `name` for the images, in [0, 1].

    Raises UnknownNameError for an unknown method, SettingError if a required option is missing or an option does not belong to the method,
    and the errors of the method.
    """
    if name not in METHODS:
        raise UnknownNameError(f"no classical method is called {name!r}{suggest(name, METHODS)}; there are {', '.join(METHODS)}")
    method, options = METHODS[name], {"noise": noise, "kernels": kernels, "observed": observed, "scale": scale}
    arguments = {key: value for key, value in options.items() if value is not None}
    for key in method.needs:
        if key not in arguments:
            raise SettingError(f"{name} needs {key}; give {' and '.join(method.needs)}")
    for key in arguments:
        if key not in method.needs:
            raise SettingError(f"{name} has no option {key}; leave {key} out ({name} takes {', '.join(method.needs) or 'images only'})")
    return method.apply(images, **arguments)

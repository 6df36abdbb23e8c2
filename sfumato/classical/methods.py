"""Methods from before networks under one roof, so that anyone can compare: each takes images and what it must be told by name.

The deconvolutions are in `deconvolve.py`, the fills in `fill.py` and `completion.py`; `METHODS` lists all that there are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sfumato.classical.completion import patches
from sfumato.classical.deconvolve import richardson_lucy, wiener
from sfumato.classical.fill import biharmonic, laplace, telea
from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.extras import missing
from sfumato.core.tensors import Images, Kernels, Maps, Resized
from sfumato.nn import resample

_PATCH, _DISTANCE = 5, 6
"""Of non-local means: the side of what is compared, and how far away it is looked for, in pixels."""


@torch.no_grad()
def median(images: Images, *, size: int = 3) -> Images:
    """Each value replaced by the middle one of `size` x `size` around it, in its channel; outside the border the image is mirrored.

    Tukey 1977: edges stay, single wrong pixels go. Raises SettingError for a size that is even or outside [1, 15].
    """
    if size % 2 == 0 or not 1 <= size <= 15:
        raise SettingError(f"size = {size} must be odd and in [1, 15] pixels")
    made = torch.empty_like(images)
    for image, place in zip(images, made, strict=True):  # one after another: every pixel becomes size^2
        around = resample.mirror(image[None], size // 2)[0].unfold(1, size, 1).unfold(2, size, 1)
        place.copy_(around.flatten(3).median(dim=3).values)
    return made.clamp(0, 1)


@torch.no_grad()
def non_local_means(images: Images, *, noise: float) -> Images:
    """Each pixel replaced by the mean of those with similar surroundings, in [0, 1] (scikit-image).

    Buades, Coll & Morel 2005 (https://doi.org/10.1109/CVPR.2005.38): 5 x 5 pixels of all channels are compared with those up to 6 pixels
    away; likeness counts as exp(-d / (0.7 noise)^2), d being the mean squared difference less what `noise` (standard deviation, as a
    share of full scale) makes of it. Raises SettingError if noise is outside (0, 1], MissingExtraError without scikit-image.
    """
    if not 0 < noise <= 1:
        raise SettingError(f"noise = {noise:g} is outside (0, 1] of full scale")
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError as error:
        raise missing("non_local_means needs", "scikit-image") from error
    h, w = images.shape[2:]
    reach = _PATCH + _DISTANCE  # of our own, for the library cannot go round images smaller than its patch
    made = torch.empty_like(images)
    for image, place in zip(resample.mirror(images, reach).cpu(), made, strict=True):
        clean = denoise_nl_means(
            image.permute(1, 2, 0).numpy(),
            patch_size=_PATCH,
            patch_distance=_DISTANCE,
            h=0.7 * noise,
            sigma=noise,
            fast_mode=True,
            channel_axis=-1,
        )
        # The library drops the axis of a single channel.
        whole = torch.from_numpy(clean).reshape(h + 2 * reach, w + 2 * reach, -1).permute(2, 0, 1)
        place.copy_(whole[:, reach : reach + h, reach : reach + w])
    return made.clamp(0, 1)


@torch.no_grad()
def bicubic(images: Images, *, scale: int) -> Resized:
    """Images with sides `scale` times as long by cubic interpolation, as MATLAB's imresize has it; in [0, 1].

    Raises SettingError for a scale outside [1, 16].
    """
    if not 1 <= scale <= 16:
        raise SettingError(f"scale = {scale} is outside [1, 16]")
    h, w = images.shape[2:]
    return resample.resize(images, (h * scale, w * scale)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Method:
    apply: Callable[..., Maps]
    """Takes the images, and what it needs by name."""
    needs: tuple[str, ...] = ()
    """What it must be told: some of noise, kernels, known and scale."""
    does: str
    """In a few words, for people who choose."""
    memory: float
    """Bytes for each pixel of the result in colour at the height of the work, measured."""
    memory_missing: float = 0.0
    """Bytes more for each pixel that is to be filled in."""


PATCHES = "patches"
"""The method for large holes."""

METHODS = {
    "median": Method(apply=median, does="takes out single wrong pixels", memory=200),
    "non-local-means": Method(apply=non_local_means, needs=("noise",), does="takes out even noise", memory=150),
    "wiener": Method(apply=wiener, needs=("kernels", "noise"), does="undoes a known blur, weighed against the noise", memory=200),
    "richardson-lucy": Method(apply=richardson_lucy, needs=("kernels",), does="undoes a known blur, step by step", memory=230),
    "laplace": Method(apply=laplace, needs=("observed",), does="fills in with a soap film", memory=380),
    "biharmonic": Method(apply=biharmonic, needs=("observed",), does="fills in with slopes that go on", memory=110, memory_missing=1800),
    "telea": Method(apply=telea, needs=("observed",), does="fills in from the border of the hole, in 8 bits", memory=75),
    PATCHES: Method(apply=patches, needs=("observed",), does="fills in with patches from elsewhere", memory=450, memory_missing=200),
    "bicubic": Method(apply=bicubic, needs=("scale",), does="enlarges by cubic interpolation", memory=30),
}
"""What there is, by the name that users type."""


def apply(
    name: str,
    images: Images,
    *,
    noise: float | None = None,
    kernels: Kernels | None = None,
    observed: Maps | None = None,
    scale: int | None = None,
) -> Maps:
    """What the method called `name` makes of the images, in [0, 1].

    Raises UnknownNameError if there is no such method, SettingError if it is not told what it needs or is told what it has no use for, and
    what the method raises.
    """
    if name not in METHODS:
        raise UnknownNameError(f"no classical method is called {name!r}{suggest(name, METHODS)}; there are {', '.join(METHODS)}")
    method, told = METHODS[name], {"noise": noise, "kernels": kernels, "observed": observed, "scale": scale}
    given = {key: value for key, value in told.items() if value is not None}
    for key in method.needs:
        if key not in given:
            raise SettingError(f"{name} needs {key}; it takes {', '.join(method.needs)}")
    for key in given:
        if key not in method.needs:
            raise SettingError(f"{name} has no use for {key}; it takes {', '.join(method.needs) or 'nothing but the images'}")
    return method.apply(images, **given)

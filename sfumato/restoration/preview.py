"""The mask of what would be filled in, as a picture file: to look at, to correct in an editor, and to give back as a mask."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import torch

from sfumato.core import outputs
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import Images
from sfumato.io import files, streaming
from sfumato.io.channels import as_images, as_pixels, fill_transparent
from sfumato.restoration.holes import masked
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.repair import held
from sfumato.restoration.request import RestorationRequest

OPTION = "--preview"


@contextlib.contextmanager
def previewing(
    name: str | Path | None,
    pictures: Sequence[Path],
    request: RestorationRequest,
    mask: Path | None,
    *,
    reads: Collection[Path],
    overwrite: bool,
) -> Iterator[None]:
    """Writes the mask of the one picture to the file `name` at the start, if there is one: white where it will be filled in.

    Before, raises SettingError for several pictures, for a request that looks for no damage, and for a name that is not free or no
    picture's; StorageError if it cannot be written; ImageError for a picture that cannot be read whole.
    """
    if name is None:
        yield
        return
    path = Path(name)
    if len(pictures) != 1:
        raise SettingError(f"{OPTION} {path} shows the mask of one picture, and there are {len(pictures)}; give one")
    if not request.find:
        raise SettingError(f"{OPTION} {path} shows the damage that is found; say what to look for, as in --find dust")
    outputs.check_ending(path, files.FORMATS, "pictures", option=OPTION)
    with outputs.reserved([path], by="restore", overwrite=overwrite, reads=reads, option=OPTION):
        files.save_image(path, as_pixels(_missing(pictures[0], request, mask), torch.uint8))
        yield


def _missing(path: Path, request: RestorationRequest, mask: Path | None) -> Images:
    """1 where the picture would be filled in, 0 elsewhere."""
    if (need := BASE + held(streaming.megapixels(path) * 1e6, request)) > request.memory:
        raise ImageError(f"{path}: {OPTION} takes the whole picture, which needs {need / 1e9:.1f} GB; give more --memory")
    picture, observed = masked(files.read(path, lossless=True), mask, path, request)
    images = as_images(picture.pixels)
    if picture.alpha is not None:
        images = fill_transparent(images, as_images(picture.alpha))
    plan = make_plan(request, images, observed=observed, networks=Networks(request.backend))
    return images.new_zeros(1, 1, *images.shape[2:]) if plan.observed is None else 1 - plan.observed

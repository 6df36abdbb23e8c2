"""Small copies of the pictures of an index, for sheets and pages."""

import contextlib
from collections.abc import Iterator, Sequence

import torch

from sfumato.core.errors import DataError, ImageError, MissingExtraError
from sfumato.core.tensors import Images, to_images
from sfumato.embeddings.index import Index
from sfumato.embeddings.sources import ImageSource, Source, opened
from sfumato.io.decode import EightBit

SIDE = 96
"""Side of a thumbnail, in pixels, of a picture that is larger."""


class Thumbnails:
    """The pictures of an index, by their paths."""

    def __init__(self, images: ImageSource, side: tuple[int, int]) -> None:
        self._images, self._side = images, side
        self._numbers = {path: i for i, path in enumerate(images.paths)}

    def pixels(self, path: str) -> EightBit | None:
        """The picture at `path` in RGB, cut to the shape of a thumbnail; None if it is not there any more or cannot be read."""
        if path not in self._numbers:
            return None
        with contextlib.suppress(ImageError, MissingExtraError):
            return self._images.pixels(self._numbers[path], channels=3, size=self._side, crop="centre")
        return None


@contextlib.contextmanager
def opened_thumbnails(index: Index) -> Iterator[Thumbnails]:
    """Yields the pictures of an index as thumbnails. Raises DataError, saying what to do, if the place of the pictures is not known."""
    side = (SIDE, SIDE) if max(index.size) > SIDE else index.size
    with opened(place_of(index)) as images:
        yield Thumbnails(images, side)


def place_of(index: Index) -> Source:
    """The folder, the zip or the data set of the index, for `opened`. Raises DataError if it is not known where that is."""
    if index.place is not None:
        return index.place
    raise DataError(
        f"it is not known where the pictures of the index lie: {index.source!r} is not beside it; put it there, or name "
        "the folder with --place"
    )


def thumbnails(index: Index, paths: Sequence[str]) -> Images:
    """The pictures at `paths`, (n, 3, h, w) in [0, 1]; grey for one that is gone. Raises DataError as `opened_thumbnails`."""
    with opened_thumbnails(index) as pictures:
        pixels = [pictures.pixels(path) for path in paths]
    whole = next((each for each in pixels if each is not None), None)
    if whole is None:
        raise DataError(f"none of the pictures of the index is in {index.source!r} any more; name their folder with --place")
    blank = torch.full(whole.shape, 128, dtype=torch.uint8)
    stacked = torch.stack([blank if each is None else torch.from_numpy(each) for each in pixels])
    return to_images(stacked.permute(0, 3, 1, 2))

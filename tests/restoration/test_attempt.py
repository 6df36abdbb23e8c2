"""Which mask belongs to which picture."""

from pathlib import Path

import pytest

from sfumato.core.errors import ImageError
from sfumato.restoration import pictures


@pytest.fixture
def masks(tmp_path):
    """A function that writes masks, whose content is no matter, and returns their folder."""

    def put(*names):
        for name in names:
            path = tmp_path / "masks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x89PNG\r\n\x1a\n")
        return tmp_path / "masks"

    return put


def test_a_mask_has_the_name_of_its_picture(masks, monkeypatch):
    monkeypatch.setattr(pictures.formats, "readable", lambda path: path.suffix == ".png")
    picture, below = Path("in/x.jpg"), Path()
    folder = masks("x.png", "y.png", "x.txt")
    assert pictures._mask_of(None, picture, below, [picture]) is None
    assert pictures._mask_of(folder / "y.png", picture, below, [picture]) == folder / "y.png", "a file is the mask of all"
    assert pictures._mask_of(folder, picture, below, [picture]) == folder / "x.png"
    masks("x.jpg.png")
    assert pictures._mask_of(folder, picture, below, [picture]) == folder / "x.jpg.png", "with the ending is nearer"
    masks("in/x.png")
    assert pictures._mask_of(folder, picture, Path("in"), [picture]) == folder / "in" / "x.png", "its own folder is nearest"
    with pytest.raises(ImageError, match="holds no mask called z"):
        pictures._mask_of(folder, Path("in/z.jpg"), below, [Path("in/z.jpg")])


def test_masks_that_could_be_of_several_are_nobodys(masks, monkeypatch):
    monkeypatch.setattr(pictures.formats, "readable", lambda _: True)
    one, other, elsewhere = Path("in/x.jpg"), Path("in/x.tif"), Path("out/x.jpg")
    folder = masks("x.png", "x.bmp")
    with pytest.raises(ImageError, match="could both be its mask"):
        pictures._mask_of(folder, one, Path(), [one])
    (folder / "x.bmp").unlink()
    assert pictures._mask_of(folder, one, Path("in"), [one, other]) == folder / "x.png"
    with pytest.raises(ImageError, match="holds no mask"):
        pictures._mask_of(folder, one, Path("in"), [one, elsewhere])
    masks("x.tif")
    assert pictures._mask_of(folder, one, Path("in"), [one, other]) == folder / "x.png", "x.tif is the mask of the other"

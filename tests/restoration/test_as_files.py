"""`restore_pictures` takes every kind of picture, and its results are those of the same pictures in files."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import ImageError
from sfumato.io import files
from sfumato.models import MODELS
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.request import RestorationRequest

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def request_():
    torch.manual_seed(0)
    return RestorationRequest(task="denoise", model=MODELS["gated"](width=4, middle=1, residual=False).build().eval(), device="cpu")


def encoded(kind, pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def test_every_kind_gives_the_pixels_of_the_file(request_, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded("PNG"))
    kinds = [
        path,
        str(path),
        encoded("PNG"),
        bytearray(encoded("PNG")),
        io.BytesIO(encoded("PNG")),
        Image.fromarray(PIXELS),
        PIXELS,
        torch.from_numpy(PIXELS / np.float32(255)).permute(2, 0, 1),
        files.read(path),
    ]
    (wanted,) = restore_pictures([path], tmp_path / "wanted", request_)
    for i, kind in enumerate(kinds):
        (entry,) = restore_pictures([kind], tmp_path / str(i), request_)
        assert torch.equal(
            files.read(tmp_path / "wanted" / "photo.png").pixels, files.read(tmp_path / str(i) / Path(entry.out).name).pixels
        )
        assert entry.source == (str(path) if i < 2 else "picture-1.png")
    assert wanted.source == str(path)


def test_bytes_keep_their_format_and_metadata(request_, tmp_path):
    sources = [encoded("JPEG", dpi=(72, 72)), encoded("TIFF")]
    reported = []
    restore_pictures(sources, tmp_path, request_, on_progress=lambda entry, number, count: reported.append((entry.source, number, count)))
    assert reported == [("picture-1.jpg", 1, 2), ("picture-2.tif", 2, 2)]
    with Image.open(tmp_path / "picture-1.jpg") as result:
        assert (result.format, result.info["dpi"]) == ("JPEG", (72, 72))


def test_one_picture_and_its_mask_need_no_list(tmp_path):
    mask = np.zeros((20, 24), np.uint8)
    mask[5:9, 5:9] = 255
    (entry,) = restore_pictures(PIXELS, tmp_path / "filled.png", RestorationRequest(task="inpaint", method="laplace"), mask=mask)
    assert entry.status == "done"
    changed = (files.read(tmp_path / "filled.png").pixels.numpy() != PIXELS).any(axis=2)
    assert changed.any()
    assert not changed[mask == 0].any()


def test_the_same_call_skips_what_is_done(request_, tmp_path):
    assert [entry.status for entry in restore_pictures([PIXELS], tmp_path, request_)] == ["done"]
    assert [entry.status for entry in restore_pictures([PIXELS], tmp_path, request_)] == ["skipped"]


def test_bytes_that_are_no_picture_are_refused(request_, tmp_path):
    with pytest.raises(ImageError, match="the picture: is not an image"):
        restore_pictures([b"text"], tmp_path, request_)

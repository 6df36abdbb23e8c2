"""The same picture in every kind gives the same result, bit for bit; what is no picture is refused by its shape, type or range."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sfumato as sf
from sfumato.core.tensors import to_bytes
from sfumato.io import inputs
from sfumato.io.fitting import fit
from sfumato.io.inputs import brightness, convert, opened
from sfumato.metrics.features import Pixels
from sfumato.models import MODELS


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, kind)
    return file.getvalue()


class Thumbnail(Pixels):
    """The means of 2 x 2 fields of small pictures."""

    size = (16, 16)
    channels = 3


class Pipe:
    """A binary file that can only be read, a few bytes at a time."""

    def __init__(self, content):
        self.file = io.BytesIO(content)

    def read(self, size=-1, /):
        return self.file.read(min(size, 100) if size >= 0 else 100)


def kinds(pixels, folder):
    """A uint8 picture (h, w, c) as every kind that an input may have."""
    content = encoded(pixels)
    path = folder / "picture.png"
    path.write_bytes(content)
    alone = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    found = {
        "path": path,
        "text": str(path),
        "bytes": content,
        "file": io.BytesIO(content),
        "pipe": Pipe(content),
        "image": Image.open(io.BytesIO(content)),
        "read": sf.read(path),
        "uint8": alone,
        "uint16": alone.astype(">u2") * np.uint16(257),
        "float32": (alone / np.float32(255)).astype(np.float32),
        "float64": alone / 255,
    }
    if pixels.shape[2] in (1, 3):
        planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255
        found |= {"tensor": planes, "batch": planes[None]}
    return found


def picture(size, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)


@settings(max_examples=12)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([1, 2, 3, 4]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_images_and_opacity_are_the_same_in_every_kind(size, channels, seed, data, tmp_path_factory):
    pixels = picture(size, channels, seed)
    found = kinds(pixels, tmp_path_factory.mktemp("kinds"))
    expected = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    name = data.draw(st.sampled_from(sorted(found)))
    source = convert(found[name], lossless=True)
    assert torch.equal(source.images, expected[:, : 1 if channels < 3 else 3]), name
    assert (source.alpha is None) == (channels in (1, 3))
    if source.alpha is not None:
        assert torch.equal(source.alpha, expected[:, -1:]), name


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_output_is_of_the_kind_of_its_input(channels, tmp_path):
    pixels = picture((5, 7), channels)
    for name, given_picture in kinds(pixels, tmp_path).items():
        source = convert(given_picture, lossless=True)
        result = source.output(source.images, source.alpha)
        if isinstance(given_picture, np.ndarray):
            assert result.dtype == given_picture.dtype.newbyteorder("="), name
            assert np.array_equal(np.float32(result), np.float32(given_picture)), name
        elif isinstance(given_picture, torch.Tensor):
            assert torch.equal(result, given_picture), name
        elif isinstance(given_picture, sf.Picture):
            assert torch.equal(result.pixels, given_picture.pixels)
        else:
            assert isinstance(result, Image.Image), name
            assert np.array_equal(np.asarray(result).reshape(pixels.shape), pixels), name


def stored(result):
    """A result of any kind as bytes (h, w, c)."""
    if isinstance(result, torch.Tensor):
        return to_bytes(result if result.ndim == 4 else result[None])[0].permute(1, 2, 0).numpy()
    if isinstance(result, sf.Picture):
        return result.pixels.numpy()
    array = np.asarray(result)
    array = array if array.ndim == 3 else array[..., None]
    if array.dtype.kind == "f":
        return np.round(np.clip(array.astype(np.float32), 0, 1) * np.float32(255)).astype(np.uint8)
    return np.round(array / 257).astype(np.uint8) if array.dtype == np.uint16 else array


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network


def test_restore_is_the_same_for_every_kind(network, tmp_path):
    pixels, mask = picture((20, 24), 3), np.zeros((20, 24, 1), np.uint8)
    mask[4:9, 5:11] = 255
    masks = [*kinds(mask, tmp_path / "..").values(), mask[..., 0] > 0]
    results = {}
    for i, (name, given_picture) in enumerate(kinds(pixels, tmp_path).items()):
        results[name] = stored(sf.restore(given_picture, network, task="inpaint", mask=masks[i % len(masks)]))
    first = results.pop("path")
    assert (first != pixels).any()
    for name, result in results.items():
        assert np.abs(result.astype(int) - first).max() == 0, name


def test_a_picture_is_fitted_the_same_in_every_kind(tmp_path):
    for channels, size in ((3, (9, 12)), (1, (20, 24)), (3, (30, 8))):
        found = kinds(picture((20, 24), 3), tmp_path)
        first = fit(found["path"], channels=channels, size=size)
        assert first.shape == (1, channels, *size)
        for name, given_picture in found.items():
            assert torch.equal(fit(given_picture, channels=channels, size=size), first), name


def test_project_and_diagnose_take_every_kind(untrained, tmp_path):
    generator = untrained("dcgan", size=(32, 32))
    projections, diagnoses = [], []
    for seed in (0, 1):
        for given_picture in kinds(picture((40, 32), 3), tmp_path).values():
            if seed:
                projections.append(fit(given_picture, channels=3, size=(32, 32)))
            else:
                diagnoses.append(sf.diagnose(given_picture))
    assert all(torch.equal(each, projections[0]) for each in projections)
    assert set(diagnoses) == {diagnoses[0]}
    by_path, by_bytes = (
        sf.project(generator, given_picture, steps=2) for given_picture in (tmp_path / "picture.png", encoded(picture((40, 32), 3)))
    )
    assert torch.equal(by_path.image, by_bytes.image)


def test_dream_takes_every_kind(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3))
    found, mask = kinds(picture((40, 36), 3), tmp_path), np.ones((40, 36), np.uint8) * 255
    options = sf.Dream(layers=("0",), steps=1, octaves=1, jitter=0)
    first = sf.dream(found["path"], module, options, guide=found["image"], mask=mask).images
    for name in ("bytes", "image", "uint8", "uint16", "float64", "tensor"):
        assert torch.equal(sf.dream(found[name], module, options, guide=found["path"], mask=torch.ones(40, 36)).images, first), name


def test_an_index_a_search_and_duplicates_take_every_kind(tmp_path):
    pytest.importorskip("pyvips", reason="writes 16 bits of colour")
    pixels = picture((20, 24), 3)
    index = sf.embed([*kinds(pixels, tmp_path).values(), tmp_path / "picture.png"], Thumbnail(side=2))
    assert len(set(index.paths)) == len(index.paths) == 12, "a path that is given twice counts once"
    assert "picture-3.png" in index.paths
    assert torch.equal(index.vectors, index.vectors[:1].expand_as(index.vectors))
    other = sf.embed([picture((20, 24), 3, seed=1), pixels], Thumbnail(side=2))
    for name, given_picture in kinds(pixels, tmp_path).items():
        assert sf.search(other, given_picture, k=1, model=Thumbnail(side=2)).paths == ("picture-2.png",), name
    (group,) = sf.duplicates([each for name, each in kinds(pixels, tmp_path).items() if name != "uint16"]).groups
    assert (group.kind, len(group.paths)) == ("exact", 11)


def test_an_empty_list_is_no_collection():
    with pytest.raises(sf.DataError, match="an empty list has no pictures"):
        sf.embed([], Thumbnail(side=2))


def test_a_restorer_is_evaluated_on_pictures_of_every_kind(tmp_path):
    found = kinds(picture((24, 24), 3), tmp_path)
    reports = [sf.evaluate_restorer("median", "noise:25", [found[name]]) for name in ("path", "image", "uint16", "tensor")]
    assert len({str([row.as_dict() for row in report]) for report in reports}) == 1
    assert reports[0][0].name == "psnr"


def test_masks_may_be_of_every_kind(tmp_path):
    mask = picture((6, 5), 4)
    expected = torch.from_numpy(mask.copy()).permute(2, 0, 1)[None] / 255
    expected = expected[:, :3].amax(dim=1, keepdim=True) * expected[:, 3:]
    for name, given_picture in kinds(mask, tmp_path).items():
        assert torch.equal(brightness(given_picture), expected), name
    assert torch.equal(brightness(mask[..., 0] > 99), (torch.from_numpy(mask[..., 0].copy()) > 99).float()[None, None])


@pytest.mark.parametrize(
    ("given_picture", "saying"),
    [
        (np.zeros((2, 3, 4, 3), np.uint8), r"an array of shape \(2, 3, 4, 3\) is no picture; an array is \(height, width\)"),
        (np.zeros((3, 9, 9), np.uint8), r"an array of shape \(3, 9, 9\) is no picture"),
        (np.zeros((4, 0), np.uint8), r"an array of shape \(4, 0\) has no pixels"),
        (np.zeros((4, 4), np.int64), "an array of int64 is no picture; give uint8, uint16, or floating point"),
        (np.zeros((4, 4), complex), "an array of complex128 is no picture"),
        (np.full((4, 4), 200.0), "the picture holds numbers up to 200; images are in .* divide by 255"),
        (np.full((4, 4), np.nan), "the picture holds NaN"),
        (torch.zeros(4, 4), r"a tensor of shape \(4, 4\) and torch.float32 is not images"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "torch.uint8 is not images"),
        (torch.zeros(2, 3, 4, 4), "holds 2 images; give one picture"),
        (b"", "the picture: is not an image of a known kind"),
        (b"words", "the picture: is not an image of a known kind"),
        (io.StringIO("words"), "is not open for reading bytes"),
        ("absent.png", "absent.png: cannot be read"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_no_picture_is_refused_by_name(given_picture, saying):
    with pytest.raises(sf.ImageError, match=saying):
        convert(given_picture)


def test_files_are_read_whole_from_a_path_bytes_or_a_file(tmp_path):
    path = tmp_path / "a.png"
    picture_file = sf.Picture(pixels=torch.from_numpy(picture((4, 5), 3)), dpi=(72, 72), text={"Title": "words"})
    sf.write(str(path), picture_file)
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Pipe(path.read_bytes())):
        again = sf.read(source)
        assert torch.equal(again.pixels, picture_file.pixels)
        assert again.text == {"Title": "words"}
    pytest.importorskip("pyvips")
    sf.write(path, sf.Picture(pixels=torch.from_numpy(picture((4, 5), 3).astype(np.uint16))))
    assert sf.read(path, lossless=True).pixels.dtype == torch.uint16
    with pytest.raises(sf.ImageError, match="are read from a path only"):
        sf.read(path.read_bytes(), lossless=True)


def test_another_type_is_refused_by_its_name():
    with pytest.raises(sf.ImageError, match="a list is no picture; give a path, bytes, a binary file"), opened([1, 2]):
        pass


def test_an_endless_file_that_is_no_picture_is_not_read_to_its_end():
    class Endless(io.RawIOBase):
        count = 0

        def readable(self):
            return True

        def read(self, size=-1):
            self.count += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(sf.ImageError, match="is not an image of a known kind"):
        convert(endless)
    assert endless.count <= 1 << 16


def test_a_picture_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(inputs, "LONGEST", 1 << 21)
    start = encoded(picture((4, 4), 3))

    class Endless(io.RawIOBase):
        begun = False

        def read(self, size=-1):
            content, self.begun = (b"" if self.begun else start), True
            return content + bytes(size - len(content))

    with pytest.raises(sf.ImageError, match="is longer than"):
        convert(Endless())


def test_a_file_may_be_given_twice(tmp_path):
    file = io.BytesIO(encoded(picture((4, 4), 3)))
    file.seek(0, io.SEEK_END)
    assert torch.equal(convert(file).images, convert(file).images)


def test_a_user_sees_one_line_for_a_list_that_is_no_picture_and_a_picture_that_is_no_list():
    """In a process of its own: here types are checked before our own code is asked."""
    program = """
import sfumato as sf
for call in (lambda: sf.diagnose([1]), lambda: sf.duplicates(b"picture")):
    try:
        call()
    except sf.SfumatoError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "a list is no picture; give a path, bytes, a binary file, a PIL image, a NumPy array or a tensor",
        "one picture is no collection; give a list of several, or a folder",
    ]

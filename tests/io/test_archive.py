"""Zips that lie: what they promise is added up before anything is read, and what is read is held to what they promised."""

import io
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import DataError, ImageError, SfumatoError
from sfumato.data.load import load
from sfumato.io import archive
from sfumato.io.decode import reading

CASES = Path(__file__).parents[3] / "shared" / "cases" / "files"
METHODS = {"stored": zipfile.ZIP_STORED, "deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def png(seed, side=8):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def packed(contents, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        for name, content in contents.items():
            zipped.writestr(name, content)
    return file.getvalue()


def rewritten(content, field, value, *, entry=0):
    """A zip with two bytes changed at `field` in the directory's record number `entry`."""
    at = -1
    for _ in range(entry + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return content[: at + field] + value + content[at + field + len(value) :]


@pytest.fixture
def put(tmp_path):
    def write(content, name="photos.zip"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_what_was_packed(method, put):
    contents = {"1.png": png(1, 90), "2.png": png(2, 90), "empty.txt": b"", "zeros.bin": bytes(300_000)}
    with archive.opened(put(packed(contents, METHODS[method]))) as zipped:
        entries, odd = archive.members(zipped)
        assert {name: archive.content(zipped, info).read() for name, info in entries.items()} == contents
        assert {name: archive.beginning(zipped, info, 50) for name, info in entries.items()} == {n: c[:50] for n, c in contents.items()}
    assert odd == []


@pytest.mark.parametrize("method", METHODS)
def test_an_entry_that_holds_more_than_it_promises_takes_no_more_memory(method, put):
    content = packed({"bomb.png": bytes(1 << 24)}, METHODS[method])
    lying = rewritten(content, 24, (1000).to_bytes(4, "little"))
    with archive.opened(put(lying)) as zipped:
        (info,) = zipped.infolist()
        tracemalloc.start()
        with pytest.raises(ImageError), reading("bomb.png"):
            archive.content(zipped, info)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 << 20, "16 MiB are packed in there; LZMA alone takes 8 for its dictionary"


@pytest.mark.parametrize("method", METHODS)
def test_an_entry_that_holds_less_than_it_promises_is_damaged(method, put):
    content = rewritten(packed({"1.png": png(1)}, METHODS[method]), 24, (1 << 20).to_bytes(4, "little"))
    with archive.opened(put(content)) as zipped, pytest.raises(ImageError, match=r"^1\.png: "), reading("1.png"):
        archive.content(zipped, zipped.infolist()[0])


def test_promises_are_added_up_before_anything_is_read(put, monkeypatch):
    monkeypatch.setattr(archive, "FREE", 1 << 20)
    honest = {f"{i}.png": png(i) for i in range(30)}
    assert len(load(put(packed(honest)), part="all")) == 30
    monkeypatch.setattr(archive, "content", lambda *_: pytest.fail("it was read"))
    bomb = {f"{i}.png": bytes(1 << 18) for i in range(30)}
    with pytest.raises(DataError, match=r"photos\.zip: 30 files in [0-9,]+ bytes would unpack to 0\.0 GB, more than 100 times"):
        load(put(packed(bomb)))


@pytest.mark.parametrize("loader", ["load", "load_scenes"])
def test_the_bomb_of_thirty_times_half_a_gigabyte_is_one_line(loader):
    if not CASES.is_dir():
        pytest.skip("the folder shared/cases is not here")
    from sfumato.data import scenes

    with pytest.raises(DataError, match=r"30 files in 14,702 bytes would unpack to 16\.1 GB"):
        load(CASES / "bomb_bz2.zip") if loader == "load" else scenes.load_scenes(CASES / "bomb_bz2.zip", channels=3)


def test_encrypted_entries_and_those_of_unknown_methods_are_named(put):
    content = packed({f"{i}.png": png(i) for i in range(8)})
    content = rewritten(content, 8, b"\x01\x00", entry=2)
    content = rewritten(content, 10, b"\x63\x00", entry=4)
    content = rewritten(content, 10, b"\x09\x00", entry=5)
    data = load(put(content), part="all", tolerance=0.5)
    assert len(data) == 5
    assert data.skipped == (
        "2.png: is encrypted; unpack the zip with its password and give the folder",
        "4.png: is compressed by method 99, which is not supported; pack it again with Deflate",
        "5.png: is compressed by Deflate64, which is not supported; pack it again with Deflate",
    )


def test_entries_without_a_name_or_with_anothers_are_named(put):
    content = packed({name: png(i) for i, name in enumerate(["a.png", "..", "b.png", "A.png", "/", "c.png"])}, zipfile.ZIP_STORED)
    data = load(put(content.replace(b"A.png", b"a.png")), part="all")
    assert data.skipped == (
        "entry 2 of the zip: has no name; left out",
        "a.png: is in the zip more than once; the last one is used",
    )
    assert len(data) == 3
    assert data.pixels[0].permute(1, 2, 0).numpy().tobytes() == np.asarray(Image.open(io.BytesIO(png(3)))).tobytes()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("../../evil.png", "evil.png"),
        ("/root/./a.png", "root/a.png"),
        ("cat\\a.png", "cat/a.png"),
        ("..", ""),
        ("/", ""),
        ("", ""),
        ("b\u00fcro/1.png".encode().decode("cp437"), "b\u00fcro/1.png"),
        ("b\u00fcro/1.png", "b\u00fcro/1.png"),
    ],
)
def test_a_name_is_a_path_below_the_zip(raw, name):
    info = zipfile.ZipInfo("x")
    info.filename = raw
    assert archive.entry_name(info) == name


def test_a_zip_inside_a_zip_is_counted_and_not_opened(put):
    inner = packed({f"{i}.png": png(i) for i in range(3)})
    data = load(put(packed({f"{i}.png": png(i) for i in range(3)} | {"more.zip": inner, "read me": b"hello"})), part="all")
    assert len(data) == 3
    assert data.passed_over == "passed over 2 files with no picture in: 1 .zip, 1 without an ending"
    with pytest.raises(DataError, match=r"holds no picture that can be read.*passed over 1 file with no picture in: 1 \.zip"):
        load(put(packed({"more.zip": inner})))


def test_a_zip_is_known_by_its_content(put):
    content = packed({f"{i}.png": png(i) for i in range(3)})
    assert len(load(put(content, "photos.cbz"), part="all")) == len(load(put(content, "photos"), part="all")) == 3


@pytest.mark.parametrize(("name", "count"), [("dataset-0.zip", 5), ("dataset-1.zip", None)])
def test_odd_zips_from_elsewhere(name, count):
    if not CASES.is_dir():
        pytest.skip("the folder shared/cases is not here")
    if count is not None:
        assert len(load(CASES / name, part="all")) == count
        return
    with pytest.raises(DataError, match=r"dataset-1\.zip: the directory of the zip cannot be read \(zip file version 24\.9\)"):
        load(CASES / name)


def mutant(content, rng):
    """`content` with a few bytes changed, a piece taken out, or a piece put twice."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                changed[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
            case 3:
                del changed[at : at + rng.randrange(1, 40)]
            case 4:
                changed[at:at] = changed[at : at + rng.randrange(1, 40)]
            case _:
                # The directory is where a zip is most easily misunderstood.
                at = min(len(changed) - 1, changed.rfind(b"PK\x01\x02") + rng.randrange(50)) if b"PK\x01\x02" in changed else at
                changed[at] = rng.randrange(256)
        if not changed:
            return b""
    return bytes(changed)


@pytest.mark.parametrize("method", METHODS)
def test_mutants_of_a_zip_are_read_or_refused_in_one_line(method, put):
    contents = {f"{kind}/{i}.png": png(i, 2) for i in range(2) for kind in ("cat", "d\u00f6g")} | {"dataset.json": b'{"labels": null}'}
    whole, rng = packed(contents, METHODS[method]), random.Random(method)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(100 if method in ("stored", "deflate") else 25):  # the others take their time to begin
        path = put(mutant(whole, rng))
        try:
            load(path, part="all", tolerance=0.9)
            outcomes["read"] += 1
        except SfumatoError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 2, outcomes

"""Pictures out of lists, tar shards and addresses, and results in tar shards."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.batch import addresses, tar_shards
from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item, fetched
from sfumato.batch.manifest import Status
from sfumato.batch.sources import listed
from sfumato.batch.workers import Workers
from sfumato.core.errors import DataError, ImageError, MissingExtraError
from tests.batch.tasks import Hashing


def png(shade):
    content = io.BytesIO()
    Image.fromarray(np.full((5, 6, 3), shade, np.uint8)).save(content, "PNG")
    return content.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)
    return path


@pytest.fixture
def shard(tmp_path):
    """Two samples, and members that are never unpacked."""
    members = [("a/1.png", png(10)), ("a/1.cls", b"3"), ("a/2.png", png(20)), ("a/2.json", b"{}"), ("note.txt", b"no picture")]
    odd = [("a/3.png", (tarfile.SYMTYPE, "/etc/passwd")), ("a/4.png", (tarfile.CHRTYPE, "")), (".hidden/5.png", png(5))]
    return write_tar(tmp_path / "photos-000.tar", [*members, *odd])


def test_a_list_names_sources_of_every_kind(tmp_path, shard):
    (tmp_path / "x.png").write_bytes(png(1))
    (tmp_path / "list.txt").write_text(f"# pictures\n\n{tmp_path / 'x.png'}\n{shard}\n")
    found = listed([f"@{tmp_path / 'list.txt'}"])
    assert [name for _, name in found] == [Path("x.png"), Path("photos-000/a/1.png"), Path("photos-000/a/2.png")]
    with pytest.raises(DataError, match="list"):
        listed([f"@{tmp_path / 'missing.txt'}"])


def test_the_ordinary_pictures_of_shards_are_found_and_read(tmp_path, shard):
    write_tar(tmp_path / "photos-001.tar", [("../../evil.png", png(30))])
    found = listed([str(tmp_path / "photos-*.tar")])
    assert [str(name) for _, name in found] == ["photos-000/a/1.png", "photos-000/a/2.png", "photos-001/evil.png"]
    for (source, _), shade in zip(found, (10, 20, 30), strict=True):
        with fetched(source) as path:
            assert path.read_bytes() == png(shade)
        assert not path.exists(), "a copy is removed"


@pytest.mark.parametrize("name", ["a/3.png", "a/4.png", "a/9.png", ".."])
def test_what_is_no_ordinary_file_of_a_shard_is_not_read(shard, name):
    with pytest.raises(ImageError), fetched(f"{shard}!{name}"):
        pass


@pytest.mark.parametrize("cut", [1, 100, 520, 600, 700])
def test_a_damaged_shard_is_one_line(tmp_path, shard, cut):
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(b"\x80" * 300 + shard.read_bytes()[300:] if cut == 1 else shard.read_bytes()[:cut])
    problem, contents = "", []
    try:
        for source, _ in listed([str(damaged)]):
            with fetched(source) as path:
                contents.append(path.read_bytes())
    except (DataError, ImageError) as error:
        problem = str(error)
    assert "damaged.tar" in problem
    assert "\n" not in problem
    assert all(content in (png(10), png(20)) for content in contents), "nothing is read in part"


def test_a_packed_shard_has_the_samples_with_results_and_the_same_bytes_each_time(tmp_path, shard):
    (tmp_path / "r.jpg").write_bytes(b"result")
    for name in ("one.tar", "two.tar"):
        assert tar_shards.pack(str(shard), {"a/1.png": tmp_path / "r.jpg"}, tmp_path / name) == 1
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as packed:
        assert {info.name: packed.extractfile(info).read() for info in packed} == {"a/1.jpg": b"result", "a/1.cls": b"3"}
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_results_of_shards_are_the_same_in_two_processes_and_are_known_again(tmp_path, shard):
    results = {}
    for name, workers in (("alone", Workers(jobs=1)), ("two", Workers(jobs=2)), ("two", Workers())):
        out = tmp_path / name
        with held(out, {"v": 1}, workers) as manifest:
            items = [Item(source=source, target=out / place) for source, place in listed([shard])]
            entries = run_batch(Hashing(request={"v": 1}), items, manifest, workers=workers)
        results[name] = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.png")}
        assert [entry.source for entry in entries] == [f"{shard}!a/1.png", f"{shard}!a/2.png"]
    assert [entry.status for entry in entries] == [Status.SKIPPED] * 2
    assert results["alone"] == results["two"]
    assert len(results["two"]) == 2
    assert str(tmp_path) not in (out / "manifest.jsonl").read_text()


def test_objects_at_addresses_are_listed_read_and_worked_on(tmp_path, shard):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for name, content in (("a.png", png(1)), ("deep/b.png", png(2)), ("c.txt", b"no"), ("photos-000.tar", shard.read_bytes())):
        with system.open(f"/bucket/{name}", "wb") as file:
            file.write(content)
    found = listed(["memory://bucket"])
    assert [str(name) for _, name in found] == ["a.png", "deep/b.png", "photos-000/a/1.png", "photos-000/a/2.png"]
    assert [str(name) for _, name in listed(["memory://bucket/*.png"])] == ["a.png"]
    with held(tmp_path, {}, Workers()) as manifest:
        items = [Item(source=source, target=tmp_path / name) for source, name in found]
        entries = run_batch(
            Hashing(request={}), [*items, Item(source="memory://bucket/gone.png", target=tmp_path / "g")], manifest, workers=Workers()
        )
    assert [entry.status for entry in entries] == [*[Status.DONE] * 4, Status.FAILED]
    assert entries[0].source.startswith("memory://")
    for address in ("memory://nothing", "memory://bucket/*.jpg", "unknown-protocol://x"):
        with pytest.raises(DataError, match=address[:12]):
            listed([address])
    system.rm("/bucket", recursive=True)


def test_an_address_without_the_package_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match="pip install fsspec"):
        addresses.listed("s3://bucket/a.png")

"""Restoration by several processes and by shards: the same bytes as by one."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.batch.manifest import Status
from sfumato.batch.workers import Workers
from sfumato.cli import main
from sfumato.models import MODELS
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.request import RestorationRequest
from sfumato.store import checkpoint


@pytest.fixture
def request_(tmp_path):
    torch.manual_seed(0)
    config = MODELS["gated"](width=8, middle=1)
    checkpoint.save(tmp_path / "net.safetensors", config.build(), config, {"data": {"name": "none"}})
    return RestorationRequest(task="denoise", model=tmp_path / "net.safetensors")


@pytest.fixture
def folder(tmp_path):
    """Pictures of one size, which would share a batch, with masks, a file that is none, and names that are equal but for the ending."""
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "b.png", "c.png", "deep/a.png", "deep/d.jpg"):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_text("no picture")
    return tmp_path / "in"


def results(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.suffix in (".png", ".bmp", ".jpg")}


def test_every_choice_of_workers_gives_the_same_bytes(tmp_path, folder, request_):
    runs = {"one": [Workers(jobs=1)], "two": [Workers(jobs=2)], "shards": [Workers(shard="1/2"), Workers(shard="2/2")]}
    for name, several in runs.items():
        entries = [entry for workers in several for entry in restore_pictures([folder], tmp_path / name, request_, workers=workers)]
        assert [entry.status for entry in entries].count(Status.DONE) == 6, name
        assert [Path(entry.source).name for entry in entries if entry.status == Status.FAILED] == ["bad.png"]
    assert results(tmp_path / "one") == results(tmp_path / "two") == results(tmp_path / "shards")
    assert len(results(tmp_path / "one")) == 6
    again = restore_pictures([folder], tmp_path / "shards", request_)
    assert [entry.status for entry in again].count(Status.SKIPPED) == 6, "whoever did them"


def test_files_that_are_there_originals_and_masks_are_kept_by_every_process(tmp_path, folder, request_):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_text("precious")
    (entry,) = [e for e in restore_pictures([folder], out, request_, workers=Workers(jobs=2)) if e.source.endswith("in/b.png")]
    assert (entry.status, (out / "b.png").read_text()) == (Status.FAILED, "precious")
    before = results(folder)
    entries = restore_pictures([folder / "a.png", folder / "b.png"], folder, request_, workers=Workers(jobs=2))
    assert {entry.status for entry in entries} == {Status.FAILED}
    assert results(folder) == before


def test_a_tar_shard_becomes_a_tar_shard(tmp_path, folder, request_, capsys):
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(folder / "b.png", "x/1.png")
        archive.add(folder / "bad.png", "x/2.png")
        archive.add(tmp_path / "net.safetensors", "x/1.bin")
    command = ["restore", str(tmp_path / "photos.tar"), "--task", "denoise", "--model", str(request_.model), "--out", str(tmp_path / "out")]
    for _ in range(2):
        with pytest.raises(SystemExit):
            main([*command, "--pack"])
    with tarfile.open(tmp_path / "out" / "photos.tar") as packed:
        content = {info.name: packed.extractfile(info).read() for info in packed}
    assert sorted(content) == ["x/1.bin", "x/1.png"]
    assert content["x/1.png"] == (tmp_path / "out" / "photos" / "x" / "1.png").read_bytes()
    assert "photos.tar!x/2.png" in capsys.readouterr().out

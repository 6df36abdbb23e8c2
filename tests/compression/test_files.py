"""Folders of pictures to files and back, with a manifest; the verbs; and `PIL.Image.open`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.batch.manifest import Status
from sfumato.batch.workers import Workers
from sfumato.cli import main
from sfumato.compression.compress import compress
from sfumato.compression.files import compress_pictures, decompress_files
from sfumato.compression.request import CompressionRequest
from sfumato.core.errors import DataError, SettingError
from sfumato.store.checkpoint import save_model
from sfumato.store.loaded import LoadedModel


@pytest.fixture
def folder(tmp_path, photograph, monkeypatch):
    for name, shape in (("one.png", (20, 30)), ("below/two.jpg", (33, 18))):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(*shape)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size(path):
    with Image.open(path) as image:
        return image.size


def sizes(place):
    return {path.relative_to(place).as_posix(): size(path) for path in sorted(place.rglob("*.png"))}


def test_a_folder_goes_there_and_back(folder, codec):
    request = CompressionRequest(model=codec, quality=70)
    entries = compress_pictures(["in"], "small", request)
    assert [entry.status for entry in entries] == [Status.DONE, Status.DONE]
    assert {path.relative_to(folder / "small").as_posix() for path in (folder / "small").rglob("*.sfm")} == {"one.sfm", "below/two.sfm"}
    assert [entry.status for entry in compress_pictures(["in"], "small", request)] == [Status.SKIPPED, Status.SKIPPED]
    decompress_files(["small"], "back", model=codec)
    assert sizes(folder / "back") == {"one.png": (30, 20), "below/two.png": (18, 33)}


def test_one_picture_goes_to_a_file_by_name(folder, codec):
    compress_pictures(["in/one.png"], "a.sfm", CompressionRequest(model=codec, max_kb=1.0))
    assert (folder / "a.sfm").stat().st_size <= 1000
    decompress_files(["a.sfm"], "a.jpg", model=codec)
    assert size("a.jpg") == (30, 20)
    assert not (folder / "manifest.jsonl").exists()


def test_a_file_that_fails_does_not_end_the_others(folder, codec):
    compress_pictures(["in"], "small", CompressionRequest(model=codec))
    (folder / "small/one.sfm").write_bytes(b"\x8fSFM something else")
    entries = decompress_files(["small"], "back", model=codec)
    assert sorted(entry.status for entry in entries) == [Status.DONE, Status.FAILED]
    assert sizes(folder / "back") == {"below/two.png": (18, 33)}


def test_damage_is_told_and_the_picture_written(folder, codec):
    compress_pictures(["in/one.png"], "a.sfm", CompressionRequest(model=codec))
    (folder / "a.sfm").write_bytes((folder / "a.sfm").read_bytes()[:-6])
    (entry,) = decompress_files(["a.sfm"], "a.png", model=codec)
    assert entry.damage
    assert entry.message.startswith(f"{entry.damage}: ")
    assert size("a.png") == (30, 20)


@pytest.mark.parametrize(
    ("sources", "out", "error"), [(["in"], "a.sfm", SettingError), (["in/notes.txt"], "small", None), (["nothing"], "small", DataError)]
)
def test_wrong_sources_and_places(folder, codec, sources, out, error):
    request = CompressionRequest(model=codec)
    if error is None:
        assert [entry.status for entry in compress_pictures(sources, out, request)] == [Status.FAILED]
        return
    with pytest.raises(error):
        compress_pictures(sources, out, request)


def test_an_unfinished_run_makes_files(folder, codec):
    """The tables are computed at the end of a training; before, they are computed as the model is opened."""
    network = codec.config.build().eval().requires_grad_(False)
    assert not network.tables()[1].any()
    model = LoadedModel(network=network, config=codec.config)
    assert compress(np.zeros((16, 16, 3), dtype=np.uint8), model=model)
    assert network.tables()[1].any()


def test_the_verbs(folder, codec, capsys):
    save_model(folder / "codec.safetensors", codec)
    main(["compress", "in", "--model", "codec.safetensors", "--quality", "30", "--out", "small"])
    main(["decompress", "small", "--model", "codec.safetensors", "--out", "back"])
    assert sizes(folder / "back") == {"one.png": (30, 20), "below/two.png": (18, 33)}
    capsys.readouterr()
    content = (folder / "small/one.sfm").read_bytes()
    (folder / "small/one.sfm").write_bytes(content[:-8])
    with pytest.raises(SystemExit) as ended:
        main(["decompress", "small/one.sfm", "--model", "codec.safetensors", "--out", "one.png"])
    assert ended.value.code == 2
    assert size("one.png") == (30, 20)
    assert "small/one.sfm: the picture" in capsys.readouterr().err.replace("\n", " ")


def test_processes_decompress_to_the_same_bytes(folder, codec):
    """Damage is told by every way; the shards together have all pictures."""
    save_model(folder / "codec.safetensors", codec)
    compress_pictures(["in"], "small", CompressionRequest(model=codec))
    content = (folder / "small/one.sfm").read_bytes()
    (folder / "small/one.sfm").write_bytes(content[:-8])
    entries = {}
    for name, workers in {"alone": Workers(), "jobs": Workers(jobs=2), "one": Workers(shard="1/2"), "two": Workers(shard="2/2")}.items():
        entries[name] = decompress_files(["small"], name, model="codec.safetensors", workers=workers)
        assert all(entry.status == Status.DONE for entry in entries[name])
        assert [Path(entry.source).name for entry in entries[name] if entry.damage] == ["one.sfm"] * any(
            entry.source.endswith("one.sfm") for entry in entries[name]
        )
    assert len(entries["one"]) + len(entries["two"]) == len(entries["alone"]) == 2
    bytes_of = {name: {p.relative_to(name).as_posix(): p.read_bytes() for p in Path(name).rglob("*.png")} for name in entries}
    assert bytes_of["alone"] == bytes_of["jobs"] == bytes_of["one"] | bytes_of["two"]


def test_pillow_opens_files_without_importing_anything_early(folder, codec):
    (folder / "a.sfm").write_bytes(compress(np.zeros((16, 20), dtype=np.uint8), model=codec))
    script = (
        "import sys, sfumato; assert 'PIL.Image' not in sys.modules; from PIL import Image; assert 'torch' not in sys.modules; "
        "image = Image.open('a.sfm'); assert (image.format, image.size, image.mode) == ('SFM', (20, 16), 'L'), image"
    )
    import sfumato

    own = {"PATH": "", "PYTHONPATH": str(Path(sfumato.__file__).parents[1]), "HOME": str(folder)}
    subprocess.run([sys.executable, "-c", script], env=own, check=True, cwd=folder)


def test_pillow_has_the_pixels(folder, codec, monkeypatch):
    from sfumato.compression import pillow_plugin
    from sfumato.compression.decompress import decompress

    monkeypatch.setattr(pillow_plugin, "decompress", lambda data: decompress(data, model=codec))
    pixels = np.dstack([np.full((16, 20, 3), 90, dtype=np.uint8), np.arange(320, dtype=np.uint8).reshape(16, 20)])
    (folder / "a.sfm").write_bytes(compress(pixels, model=codec))
    with Image.open("a.sfm") as image:
        assert (image.size, image.mode) == ((20, 16), "RGBA")
        assert np.array_equal(np.asarray(image)[:, :, 3], pixels[:, :, 3])
    (folder / "a.sfm").write_bytes((folder / "a.sfm").read_bytes()[:9])
    with pytest.raises(OSError, match="cannot identify"):
        Image.open("a.sfm")

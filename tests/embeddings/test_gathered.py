"""Indexes of lists, patterns, tar shards and addresses: names, places, and the same vectors as of a folder."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.batch.workers import Workers
from sfumato.cli import main
from sfumato.core.errors import DataError
from sfumato.data.glyphs import glyphs
from sfumato.embeddings.embed import embed
from sfumato.embeddings.gathered import gathered, index_name
from sfumato.embeddings.index import load_index
from sfumato.embeddings.search import Request, search_file
from sfumato.embeddings.sources import existing_source, opened
from sfumato.models import MODELS
from sfumato.store.cards import ModelCard
from sfumato.store.checkpoint import save_model
from sfumato.store.loaded import LoadedModel


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a folder of three pictures, a list of them, a shard with them, and an untrained VAE."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/deep/b.png", "photos/deep/c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(name)
    Path("list.txt").write_text("# two of them\n\nphotos/a.png\nphotos/deep/b.png\n")
    with tarfile.open("shard-0.tar", "w") as shard:
        shard.add("photos", "in")
    config = MODELS["vae"](size=(16, 16), channels=3, classes=0, latent_dim=4, width=4, max_width=4, blocks=0)
    save_model(tmp_path / "vae.safetensors", LoadedModel(network=config.build(), config=config, card=ModelCard(name="vae")))
    return tmp_path


def rows(index):
    return {path: vector.tolist() for path, vector in zip(index.paths, index.vectors, strict=True)}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("@list.txt", {"a.png": "a.png", "deep/b.png": "deep/b.png"}),
        ("photos/**/*.png", {"a.png": "a.png", "deep/b.png": "deep/b.png", "deep/c.png": "deep/c.png"}),
        ("photos/deep/*.png", {"b.png": "deep/b.png", "c.png": "deep/c.png"}),
        ("shard-*.tar", {f"shard-0.tar!in/{name}": name for name in ("a.png", "deep/b.png", "deep/c.png")}),
        ("shard-0.tar", {f"shard-0.tar!in/{name}": name for name in ("a.png", "deep/b.png", "deep/c.png")}),
    ],
)
def test_the_vectors_are_those_of_the_folder(place, source, names):
    folder = rows(embed("photos", "vae.safetensors", workers=Workers(jobs=1)))
    index = embed(source, "vae.safetensors", workers=Workers(jobs=1))
    assert rows(index) == {name: folder[below] for name, below in names.items()}
    assert str(place) not in " ".join(index.paths), "no folder above the pictures is told"
    (place / "x.index").unlink(missing_ok=True)
    index.save(place / "x.index")
    again = embed(source, "vae.safetensors", earlier=place / "x.index")
    assert again.changes is not None
    assert again.changes.kept == len(names)
    assert rows(again) == rows(index), "nothing is computed again"


def test_several_processes_read_a_list_and_a_shard(place):
    for source in ("@list.txt", "shard-0.tar"):
        assert rows(embed(source, "vae.safetensors", workers=Workers(jobs=2))) == rows(
            embed(source, "vae.safetensors", workers=Workers(jobs=1))
        )


def test_objects_are_called_by_their_address(place):
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
    system = fsspec.filesystem("memory")
    for path in place.rglob("*.png"):
        system.pipe(f"/gathered/{path.relative_to(place).as_posix()}", path.read_bytes())
    index = embed("memory://gathered/photos", "vae.safetensors", workers=Workers(jobs=1))
    folder = rows(embed("photos", "vae.safetensors", workers=Workers(jobs=1)))
    assert rows(index) == {f"memory:///gathered/photos/{path}": vector for path, vector in folder.items()}
    assert index.source == "photos"


def test_a_search_finds_the_pictures_again(place):
    embed("@list.txt", "vae.safetensors").save("photos.index")
    matches = search_file("photos.index", Request(pictures=("photos/a.png",), k=1, model="vae.safetensors"))
    assert matches.paths == ("a.png",)
    matches.write(Path("sheet.png"))
    with Image.open("sheet.png") as sheet:
        assert len(sheet.convert("L").getcolors()) > 50, "the pictures lie in the folder photos beside the index"
    embed("shard-0.tar", "vae.safetensors").save("shard.index")
    request = Request(pictures=("photos/a.png",), k=1, model="vae.safetensors", place="shard-0.tar")
    assert search_file("shard.index", request).paths == ("shard-0.tar!in/a.png",)


def test_the_command(place, capsys):
    main(["embed", "@list.txt", "--model", "vae.safetensors"])
    assert load_index("list.index").paths == ("a.png", "deep/b.png")
    main(["duplicates", "photos/**/*.png"])
    assert "3 pictures" in capsys.readouterr().out
    for source in ("@nowhere.txt", "nowhere/*.png", "nowhere.tar"):
        with pytest.raises(SystemExit):
            main(["embed", source, "--model", "vae.safetensors", "--out", "other.index"])
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_what_is_there_under_its_name_is_no_pattern(place):
    Path("photos [1]").mkdir()
    Image.new("RGB", (16, 16)).save("photos [1]/a.png")
    assert embed("photos [1]", "vae.safetensors").paths == ("a.png",)
    assert existing_source("photos [1]") == "photos [1]"
    assert existing_source("@list.txt") == "list.txt", "the file that must not be written over"
    assert index_name("photos [1]") == "photos [1]"


def test_originals_are_known_for_files_alone(place):
    with opened("photos/deep/*.png") as images:
        assert images.original(0) == place / "photos/deep/b.png"
        assert images.length(0) == (place / "photos/deep/b.png").stat().st_size
    with opened("shard-0.tar") as images:
        assert images.original(0) is None
        assert images.content(0) == (place / "photos/a.png").read_bytes()
    with pytest.raises(DataError):
        gathered("photos/*.txt")


@pytest.mark.parametrize("source", ["photos", "@list.txt", "shard-0.tar", glyphs(5, (8, 8))], ids=["folder", "list", "shard", "data set"])
def test_the_names_of_all_pictures_are_listed_once(place, source):
    """One list for each picture would take minutes for a data set of 60,000."""
    with opened(gathered(source) if isinstance(source, str) and source != "photos" else source) as images:
        assert images.paths is images.paths

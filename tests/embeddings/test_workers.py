"""Indexes made by several processes and by shards: the same bytes, and an interrupted call continues."""

import pytest
import torch
from PIL import Image

from sfumato.batch.workers import Workers
from sfumato.cli import main
from sfumato.core.errors import ImageError, SettingError
from sfumato.embeddings import workers as shares
from sfumato.embeddings.embed import embed
from sfumato.models import MODELS
from sfumato.store import checkpoint
from sfumato.store.cards import ModelCard
from sfumato.store.loaded import LoadedModel

PICTURES = 20
CONFIG = MODELS["vae"](size=(8, 8), channels=1, classes=0, latent_dim=4, width=4, max_width=4, blocks=0)


@pytest.fixture
def model():
    """A small VAE of 8x8 grey images."""
    torch.manual_seed(0)
    return CONFIG.build().eval()


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures, two of them equal, and a file that is none."""
    place = tmp_path / "photos"
    (place / "inside").mkdir(parents=True)
    for i in range(PICTURES):
        rng = torch.Generator().manual_seed(min(i, PICTURES - 2))
        pixels = torch.randint(0, 256, (16, 16, 3), generator=rng, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(place / ("inside" if i % 3 else "") / f"{i:02}.png")
    (place / "bad.png").write_text("no picture")
    return place


def content(index, tmp_path):
    """The bytes of the file of an index."""
    index.write(tmp_path / "bytes.index")
    return (tmp_path / "bytes.index").read_bytes()


def test_processes_shards_and_this_process_make_the_same_bytes(model, folder, tmp_path):
    alone = embed(folder, model, workers=Workers(jobs=1))
    assert len(alone) == PICTURES
    assert [line.split(":")[0] for line in alone.changes.skipped] == ["bad.png"]
    parts = [embed(folder, model, workers=Workers(shard=f"{i}/3")) for i in (1, 2, 3)]
    assert sorted(path for part in parts for path in part.paths) == sorted(alone.paths)
    together = embed(folder, model, parts=parts)
    shared = embed(folder, model, workers=Workers(jobs=2), folder=tmp_path / "work")
    assert content(alone, tmp_path) == content(together, tmp_path) == content(shared, tmp_path)
    assert shared.changes.skipped == alone.changes.skipped
    torch.testing.assert_close(alone.vectors.float(), embed(folder, model).vectors.float(), atol=2e-3, rtol=2e-3)


def test_an_interrupted_call_computes_only_what_its_folder_lacks(model, folder, tmp_path, monkeypatch):
    computed, original = [], shares.vector_of

    def counted(images, i, *rest):
        if len(computed) == shares.LIST + 3:
            raise KeyboardInterrupt
        computed.append(images.paths[i])
        return original(images, i, *rest)

    monkeypatch.setattr(shares, "vector_of", counted)
    with pytest.raises(KeyboardInterrupt):
        embed(folder, model, workers=Workers(jobs=1), folder=tmp_path / "work")
    before, computed[:] = computed[: shares.LIST], []
    monkeypatch.setattr(shares, "vector_of", lambda images, i, *rest: computed.append(images.paths[i]) or original(images, i, *rest))
    index = embed(folder, model, workers=Workers(jobs=1), folder=tmp_path / "work")
    assert not set(before) & set(computed)
    assert content(index, tmp_path) == content(embed(folder, model, workers=Workers(jobs=1)), tmp_path)


def test_changed_pictures_and_another_model_are_computed_anew(model, folder, tmp_path):
    first = embed(folder, model, workers=Workers(jobs=1), folder=tmp_path / "work")
    Image.new("RGB", (16, 16), "red").save(folder / "00.png")
    changed = embed(folder, model, workers=Workers(jobs=1), folder=tmp_path / "work")
    assert [path for path, old, new in zip(first.paths, first.vectors, changed.vectors, strict=True) if not torch.equal(old, new)] == [
        "00.png"
    ]
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.1)
    other = embed(folder, model, parts=[changed], workers=Workers(jobs=1), folder=tmp_path / "work")
    assert torch.equal(other.vectors, embed(folder, model, workers=Workers(jobs=1)).vectors)
    assert not torch.equal(other.vectors, changed.vectors)


def test_a_picture_whose_vector_is_not_finite_is_left_out_alone(model, folder, monkeypatch):
    original = shares.vector_of

    def failing(images, i, *rest):
        if images.paths[i] == "03.png":
            raise ImageError("03.png: has no vector")
        return original(images, i, *rest)

    monkeypatch.setattr(shares, "vector_of", failing)
    index = embed(folder, model, workers=Workers(jobs=1))
    assert len(index) == PICTURES - 1
    assert "03.png: has no vector" in index.changes.skipped


def test_the_command_puts_the_indexes_of_shards_together(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint.save_model(tmp_path / "m.safetensors", LoadedModel(network=model, config=CONFIG, card=ModelCard(name="m")))
    words = ["embed", "photos", "--model", "m.safetensors"]
    for i in (1, 2):
        main([*words, "--shard", f"{i}/2"])
    assert {path.name for path in tmp_path.glob("*.index")} == {"photos-1-of-2.index", "photos-2-of-2.index"}
    main([*words, "--jobs", "1", "--out", "alone.index"])
    monkeypatch.setattr(shares, "vector_of", None)  # nothing is left to compute
    main(words)
    assert (tmp_path / "photos.index").read_bytes() == (tmp_path / "alone.index").read_bytes()
    assert not list(tmp_path.glob(".*sfumato-work"))
    capsys.readouterr()
    main([*words, "--shard", "1/1000"])
    assert "no picture belongs to this shard" in capsys.readouterr().out
    assert not (tmp_path / "photos-1-of-1000.index").exists()


def test_a_list_is_embedded_by_one_process(model, folder):
    pictures = sorted(folder.glob("*.png"))[:2]
    with pytest.raises(SettingError, match="a list is embedded without them"):
        embed(pictures, LoadedModel(network=model, config=CONFIG), workers=Workers(jobs=2))

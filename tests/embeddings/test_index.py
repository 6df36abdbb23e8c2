"""Indexes: made, updated, written and read; whatever else is in a file is refused in one line."""

import shutil

import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import CheckpointError, DataError, SettingError
from sfumato.data.dataset import Dataset
from sfumato.embeddings.embed import embed
from sfumato.embeddings.index import load_index
from sfumato.models import MODELS
from sfumato.store import checkpoint


@pytest.fixture
def model():
    """A small VAE of 8x8 grey images."""
    torch.manual_seed(0)
    return MODELS["vae"](size=(8, 8), channels=1, classes=0, latent_dim=4, width=4, max_width=4, blocks=0).build().eval()


@pytest.fixture
def folder(tmp_path):
    """Six pictures, one of them in a folder of its own."""
    place = tmp_path / "photos"
    (place / "inside").mkdir(parents=True)
    for i in range(6):
        picture(place / ("inside/f.png" if i == 5 else f"{'abcde'[i]}.png"), i)
    return place


def picture(path, seed):
    rng = torch.Generator().manual_seed(seed)
    Image.fromarray(torch.randint(0, 256, (16, 16, 3), generator=rng, dtype=torch.uint8).numpy()).save(path)


def test_an_index_has_a_vector_for_each_picture_whatever_is_beside_it(model, folder):
    index = embed(folder, model)
    assert index.paths == ("a.png", "b.png", "c.png", "d.png", "e.png", "inside/f.png")
    assert index.vectors.shape == (6, 4)
    (folder / "a.png").unlink()
    assert torch.equal(embed(folder, model).vectors, index.vectors[1:])


def test_the_vectors_of_a_data_set_are_those_of_the_network(model, bars):
    index = embed(bars, model)
    expected = model.posterior(bars.pixels / 255)[0]
    torch.testing.assert_close(index.vectors.float(), expected, atol=2e-3, rtol=2e-3)


def test_files_come_back_as_they_were(model, folder, tmp_path):
    index = embed(folder, model)
    index.save(tmp_path / "photos.index")
    again = load_index(tmp_path / "photos.index")
    assert torch.equal(again.vectors, index.vectors)
    assert torch.equal(again.ids, index.ids)
    assert torch.equal(again.digests, index.digests)
    assert (again.paths, again.weights, again.size, again.next_id) == (index.paths, index.weights, (8, 8), 6)
    assert again.place == folder


def test_an_update_computes_what_is_new_or_changed_and_keeps_numbers(model, folder, monkeypatch):
    before = embed(folder, model)
    (folder / "b.png").unlink()
    picture(folder / "c.png", 20)
    picture(folder / "new.png", 21)
    shutil.move(folder / "d.png", folder / "moved.png")
    computed = []
    vectors = type(model).posterior
    monkeypatch.setattr(type(model), "posterior", lambda self, images, labels=None: computed.append(len(images)) or vectors(self, images))
    after = embed(folder, model, earlier=before)
    assert computed[1:] == [2]  # after the blank picture that tells the length of a vector
    changes = after.changes
    assert (changes.added, changes.changed, changes.removed, changes.kept) == (2, 1, 2, 3)
    assert dict(zip(after.paths, after.ids.tolist(), strict=True)) == {
        "a.png": 0, "c.png": 2, "e.png": 4, "inside/f.png": 5, "moved.png": 6, "new.png": 7,
    }  # fmt: skip
    monkeypatch.undo()
    assert torch.equal(after.vectors, embed(folder, model).vectors)


def test_a_number_is_never_given_twice(model, folder):
    index = embed(folder, model)
    (folder / "inside/f.png").unlink()
    index = embed(folder, model, earlier=index)
    picture(folder / "g.png", 9)
    assert embed(folder, model, earlier=index).ids.tolist() == [0, 1, 2, 3, 4, 6]


def test_an_index_of_another_model_is_not_used(model, folder):
    before = embed(folder, model)
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1)
    after = embed(folder, model, earlier=before)
    assert after.changes.added == 6
    assert not torch.equal(after.vectors, before.vectors)


def test_equal_pictures_are_computed_once_and_have_one_vector(model, folder):
    shutil.copy(folder / "a.png", folder / "z.png")
    index = embed(folder, model)
    assert torch.equal(index.vectors[0], index.vectors[-1])
    assert torch.equal(index.digests[0], index.digests[-1])


def test_a_damaged_picture_is_left_out_and_named(model, folder):
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    index = embed(folder, model)
    assert "b.png" not in index.paths
    assert len(index) == 5
    assert len(index.changes.skipped) == 1
    assert "b.png" in index.changes.skipped[0]


def test_the_files_of_a_zip_have_the_vectors_of_those_of_a_folder(model, folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert torch.equal(embed(archive, model).vectors, embed(folder, model).vectors)


def test_a_network_without_vectors_is_refused():
    with pytest.raises(SettingError):
        embed(
            Dataset(name="two", pixels=torch.zeros(2, 1, 16, 16, dtype=torch.uint8)), MODELS["dncnn"](channels=1, depth=3, width=4).build()
        )


def test_a_gan_gives_vectors_with_its_discriminator_and_is_refused_without():
    data = Dataset(name="two", pixels=torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    sizes = {"size": (8, 8), "channels": 1, "classes": 0, "latent_dim": 4, "width": 4, "max_width": 4}
    assert len(embed(data, MODELS["dcgan"](**sizes, discriminator_width=4).build())) == 2
    with pytest.raises(SettingError, match="saved without its discriminator"):
        embed(data, MODELS["dcgan"](**sizes, discriminator_width=0).build())


def test_an_encoder_that_needs_classes_is_refused():
    with pytest.raises(SettingError, match="class of each picture"):
        embed("glyphs", MODELS["vae"](size=(8, 8), channels=1, classes=2, latent_dim=4, width=4).build())


def test_a_folder_without_pictures_is_refused(model, tmp_path):
    with pytest.raises(DataError):
        embed(tmp_path, model)


def written(index, path, **changes):
    """A file of an index whose tensors or header were changed."""
    index.write(path)
    tensors, header = checkpoint.read_tensors(path)
    entry = header["index"] | {name: value for name, value in changes.items() if name not in tensors}
    checkpoint.write_tensors(path, tensors | {n: v for n, v in changes.items() if n in tensors}, {"index": entry})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": torch.tensor([0, 1, 2, 3, 4, 4])},
        {"ids": torch.tensor([0, 1, 2, 3, 4, -5])},
        {"ids": torch.tensor([0, 1, 2, 3, 4])},
        {"ids": torch.tensor([0, 1, 2, 3, 4, 6])},
        {"digests": torch.zeros(6, 31, dtype=torch.uint8)},
        {"vectors": torch.zeros(6, 4)},
        {"vectors": torch.full((6, 4), float("nan"), dtype=torch.float16)},
        {"paths": torch.tensor(list(b"a\0b\0c\0d\0e\0a"), dtype=torch.uint8)},
        {"paths": torch.tensor(list(b"a\0b\0c\0d\0e\0"), dtype=torch.uint8)},
        {"crop": "left"},
        {"next_id": -1},
        {"size": [0, 8]},
        {"model": None},
    ],
)
def test_an_index_that_cannot_be_is_refused(changes, model, folder, tmp_path):
    with pytest.raises(CheckpointError):
        load_index(written(embed(folder, model), tmp_path / "it.index", **changes))


@pytest.mark.parametrize("source", ["../photos", "/photos", "a/b", "..", ""])
def test_no_place_outside_of_the_folder_of_the_index_is_taken_from_a_file(source, model, folder, tmp_path):
    assert load_index(written(embed(folder, model), tmp_path / "it.index", source=source)).place is None


def test_a_file_that_is_no_index_is_refused(tmp_path):
    checkpoint.write_tensors(tmp_path / "other.index", {"a": torch.zeros(1)}, {})
    for path in (tmp_path / "other.index", tmp_path / "gone.index", sf.bundled()["digits-vae"]):
        with pytest.raises(CheckpointError):
            load_index(path)

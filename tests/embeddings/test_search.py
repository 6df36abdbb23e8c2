"""Search: by pictures, regions, sums and differences, and generated images; sheets and lists of the matches."""

import json
import shutil

import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import DataError, SettingError
from sfumato.data.dataset import Dataset
from sfumato.embeddings.embed import embed
from sfumato.embeddings.index import load_index
from sfumato.embeddings.search import combined, search
from sfumato.metrics.features import Pixels

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 40, 210), "yellow": (230, 220, 30), "grey": (128, 128, 128)}


class Small(Pixels):
    """The means of 2 x 2 fields of small pictures."""

    size = (16, 16)
    channels = 3


@pytest.fixture
def model():
    return Small(side=2)


@pytest.fixture
def folder(tmp_path):
    """Plain pictures of five colours, and one that is half red and half blue."""
    place = tmp_path / "colours"
    place.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 20), colour).save(place / f"{name}.png")
    both = Image.new("RGB", (40, 20), COLOURS["red"])
    both.paste(COLOURS["blue"], (20, 0, 40, 20))
    both.save(tmp_path / "both.png")
    return place


def test_a_picture_finds_itself_first(model, folder):
    index = embed(folder, model)
    for name in COLOURS:
        found = search(index, folder / f"{name}.png", k=5, model=model)
        assert found.paths[0] == f"{name}.png"
        assert found.similarities[0] == pytest.approx(1, abs=1e-3)
        assert sorted(found.similarities, reverse=True) == list(found.similarities)
        assert sorted(found.paths) == sorted(index.paths)


def test_a_region_is_that_part_alone(model, folder, tmp_path):
    index = embed(folder, model)
    for region, name in (((0, 0, 20, 20), "red"), ((20, 0, 20, 20), "blue"), ((25, 5, 3, 7), "blue")):
        assert search(index, tmp_path / "both.png", region=region, k=1, model=model).paths == (f"{name}.png",)


@pytest.mark.parametrize("region", [(0, 0, 41, 20), (0, 0, 0, 20), (-1, 0, 5, 5), (39, 19, 2, 2)])
def test_a_region_outside_of_the_picture_is_refused(region, model, folder, tmp_path):
    with pytest.raises(SettingError):
        search(embed(folder, model), tmp_path / "both.png", region=region, model=model)


def test_pictures_are_added_and_subtracted(model, folder):
    """Yellow without green is red, in colours that are sums of light."""
    index = embed(folder, model)
    found = search(index, [folder / "yellow.png"], minus=[folder / "green.png"], k=2, model=model)
    assert "red.png" in found.paths
    assert "green.png" not in found.paths


def test_several_pictures_are_averaged_and_one_less_itself_is_the_mean():
    mean, a, b = torch.zeros(1, 3), torch.tensor([[1.0, 2, 3]]), torch.tensor([[3.0, 0, 1]])
    assert combined(mean, [a, b], []).tolist() == [[2, 1, 2]]
    assert combined(mean + 1, [a], [a]).tolist() == [[1, 1, 1]]
    assert combined(mean, [a, b], [b]).tolist() == a.tolist()


def test_tensors_arrays_and_vectors_are_queries_too(model, folder):
    index = embed(folder, model)
    image = torch.tensor(COLOURS["blue"])[:, None, None].expand(3, 16, 16) / 255
    assert search(index, image, k=1, model=model).paths == ("blue.png",)
    assert search(index, vectors=index.vectors[:1].float(), k=1).paths == index.paths[:1]


def test_of_a_small_index_all_pictures_are_found(model, folder):
    index = embed(folder, model)
    assert set(search(index, folder / "blue.png", model=model).paths) == set(index.paths)
    with pytest.raises(SettingError, match="k = 0"):
        search(index, folder / "blue.png", k=0, model=model)


def test_matches_are_saved_as_a_list_or_a_sheet(model, folder, tmp_path):
    embed(folder, model).save(tmp_path / "colours.index")
    found = search(load_index(tmp_path / "colours.index"), folder / "green.png", k=3, model=model)
    found.save(tmp_path / "found.json")
    rows = json.loads((tmp_path / "found.json").read_text())["matches"]
    assert [row["path"] for row in rows] == list(found.paths)
    found.save(tmp_path / "found.png")
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.size == (2 * 16 + 2, 2 * 16 + 2)
        assert sheet.getpixel((5, 5)) == COLOURS["green"]
        assert sheet.getpixel((25, 5)) == COLOURS["green"]


def test_a_picture_that_is_gone_is_grey_and_a_folder_that_is_gone_is_told(model, folder, tmp_path):
    embed(folder, model).save(tmp_path / "colours.index")
    (folder / "green.png").unlink()
    found = search(load_index(tmp_path / "colours.index"), torch.zeros(3, 8, 8), k=5, model=model)
    grey = found.sheet()[1 + found.paths.index("green.png")]
    assert grey.unique().tolist() == [pytest.approx(128 / 255)]
    shutil.rmtree(folder)
    with pytest.raises(DataError):
        search(load_index(tmp_path / "colours.index"), torch.zeros(3, 8, 8), k=5, model=model).sheet()


def test_another_model_than_that_of_the_index_is_refused(model, folder):
    with pytest.raises(SettingError):
        search(embed(folder, model), folder / "red.png", model=Small(side=4))


@pytest.mark.parametrize("query", [None, []])
def test_nothing_to_look_for_is_refused(query, model, folder):
    with pytest.raises(SettingError):
        search(embed(folder, model), query, model=model)


def test_a_bundled_model_is_found_again_by_the_name_in_the_index(tmp_path):
    pixels = torch.arange(3 * 28 * 28, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(3, 1, 28, 28)
    embed(Dataset(name="three", pixels=pixels), sf.load("digits-vae")).save(tmp_path / "three.index")
    assert load_index(tmp_path / "three.index").model == "digits-vae"
    assert search(tmp_path / "three.index", pixels[1] / 255, k=1).ids == (1,)

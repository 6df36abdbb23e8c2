"""Groups: found where they are plain, as many as there are, and shown on a page; folders of them leave originals alone."""

import dataclasses
import re

import pytest
import torch
from PIL import Image

from sfumato.core.errors import DataError, SettingError
from sfumato.embeddings import cluster as module
from sfumato.embeddings.cluster import cluster
from sfumato.embeddings.embed import embed
from sfumato.embeddings.index import Index, load_index
from sfumato.embeddings.sorting import sort_into
from sfumato.metrics.features import Pixels

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


def index_of(vectors):
    n = len(vectors)
    return Index(
        vectors=vectors.half(),
        ids=torch.arange(n),
        digests=torch.zeros(n, 32, dtype=torch.uint8),
        paths=tuple(f"{i}.png" for i in range(n)),
        model="none",
        weights="",
        source="drawn",
        size=(8, 8),
        next_id=n,
    )


def blobs(sizes, seed=0):
    """Vectors around as many centres, and the number of the centre of each."""
    rng = torch.Generator().manual_seed(seed)
    centres = 4 * torch.nn.functional.one_hot(torch.arange(len(sizes)), 8).float()
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return centres[labels] + 0.4 * torch.randn(len(labels), 8, generator=rng), labels


@pytest.mark.parametrize("method", ["spectral", "kmeans", "mixture"])
def test_plain_groups_are_found_and_ordered_by_size(method):
    vectors, labels = blobs([30, 60, 45])
    groups = cluster(index_of(vectors), 3, method=method)
    assert groups.sizes == [60, 45, 30]
    assert torch.equal(groups.labels, torch.tensor([2, 0, 1])[labels])


def test_as_many_groups_are_found_as_there_are(monkeypatch):
    monkeypatch.setattr(module, "MOST", 7)
    vectors, _ = blobs([40, 40, 40, 40])
    groups = cluster(index_of(vectors))
    assert groups.count == 4
    assert groups.stability[4] == max(groups.stability.values())


def test_the_same_seed_gives_the_same_groups():
    vectors = torch.randn(80, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cluster(index_of(vectors), 5, seed=3).labels, cluster(index_of(vectors), 5, seed=3).labels)


def test_pictures_beyond_a_large_number_join_the_group_of_their_neighbours(monkeypatch):
    monkeypatch.setattr(module, "LARGE", 60)
    vectors, labels = blobs([50, 70, 60])
    groups = cluster(index_of(vectors), 3)
    assert torch.equal(groups.labels, torch.tensor([2, 0, 1])[labels])


def test_equal_vectors_do_no_harm():
    vectors, _ = blobs([20, 20])
    assert cluster(index_of(vectors.repeat(2, 1)), 2).sizes == [40, 40]


def test_the_medoid_is_the_most_typical_and_a_group_is_an_index(tmp_path):
    vectors, labels = blobs([30, 20])
    groups = cluster(index_of(vectors), 2)
    members = groups.members(0)
    assert members[0] == int((groups.typicality - 10 * groups.labels).argmax())
    assert sorted(members) == (labels == 0).nonzero().flatten().tolist()
    group = groups.group(1)
    assert group.ids.tolist() == list(range(30, 50))
    group.save(tmp_path / "group.index")
    assert load_index(tmp_path / "group.index").paths == group.paths


@pytest.mark.parametrize("count", [1, 0, 50, 2000])
def test_a_number_of_groups_out_of_range_is_refused(count):
    with pytest.raises(SettingError):
        cluster(index_of(blobs([25, 25])[0]), count)


def test_three_pictures_are_too_few():
    with pytest.raises(DataError):
        cluster(index_of(torch.eye(3)), 2)


class Small(Pixels):
    """The means of 2 x 2 fields of small pictures, which decode into fields."""

    size = (16, 16)
    channels = 3

    def decoded_vectors(self, vectors):
        return vectors.reshape(-1, 3, 2, 2).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)


@pytest.fixture
def folder(tmp_path):
    """Ten reddish and six bluish pictures, some with names that HTML would read as tags."""
    place = tmp_path / "colours"
    place.mkdir()
    for i in range(16):
        colour = (200 + i, 5 * i, 20) if i < 10 else (20, 5 * i, 200 + i)
        Image.new("RGB", (20, 20), colour).save(place / f"<b>{i}&.png")
    return place


def test_the_page_shows_every_group_in_one_file(folder, tmp_path):
    groups = cluster(embed(folder, Small(side=2)), 2)
    groups.save(tmp_path / "groups.html", model=Small(side=2))
    page = (tmp_path / "groups.html").read_text()
    assert "Group 1: 10 pictures, 62.5%" in page
    assert "Group 2: 6 pictures, 37.5%" in page
    assert page.count("mean, decoded") == 2
    assert page.count("the others, the most typical first") == 2
    assert page.count("data:image/png;base64,") == 16 + 2
    assert not re.search(r"<script|<b>|https?:|src=\"(?!data:)", page)


def test_folders_of_groups_hold_links_or_copies_and_originals_stay(folder, tmp_path):
    groups = cluster(embed(folder, Small(side=2)), 2)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for by in ("links", "copies"):
        places = sort_into(groups, tmp_path / by, by=by)
        assert [len(list(place.iterdir())) for place in places] == [10, 6]
        assert {path.is_symlink() for place in places for path in place.iterdir()} == {by == "links"}
        assert {path.read_bytes() for place in places for path in place.iterdir()} == set(before.values())
        assert len(load_index(places[1].with_suffix(".index"))) == 6
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(SettingError):
        sort_into(groups, tmp_path / "links")


def test_names_from_an_index_lead_to_no_place_outside_of_the_new_folder(folder, tmp_path):
    index = embed(folder, Small(side=2))
    foreign = dataclasses.replace(index, paths=("../../x.png", *index.paths[1:]))
    sort_into(cluster(foreign, 2), tmp_path / "new")
    assert sum(len(list(place.iterdir())) for place in (tmp_path / "new").iterdir() if place.is_dir()) == 15
    assert not (tmp_path / "x.png").exists()

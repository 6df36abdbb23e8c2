"""Dust on prints: found by the bundled network, the same in tiles, filled in on request, and shown as a mask."""

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.io import files
from sfumato.restoration.dust import undamaged
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest

DUST = RestorationRequest(find=("dust",))


@pytest.fixture(scope="module")
def pair():
    """A soft picture, and the same with specks."""
    rows, columns = torch.linspace(0.3, 0.6, 96)[:, None], torch.linspace(0.4, 0.55, 80)[None]
    clean = ((rows + columns) / 2)[None, None]
    config = DEGRADATIONS["dust"](specks=(100.0, 100.0), hairs=(0.0, 0.0), scratches=(0.0, 0.0), radius=(1.0, 2.0), cover=(0.9, 1.0))
    return clean, degrade(config, clean, rng=torch.Generator().manual_seed(0))


def test_specks_are_found_and_little_else(pair):
    _, dusty = pair
    found = undamaged(dusty.images, DUST, Networks()) == 0
    damaged = dusty.observed == 0
    assert damaged.sum() > 50
    assert (found & damaged).sum() > 0.9 * damaged.sum()
    assert found.sum() < 5 * damaged.sum()


def test_tiles_find_the_same(pair):
    images = pair[1].images.expand(-1, 3, -1, -1)
    whole, tiles = (undamaged(images, RestorationRequest(find=("dust",), tile=tile), Networks()) for tile in (None, 32))
    assert torch.equal(whole, tiles)


def test_what_is_found_is_filled_in_and_the_rest_stays(pair):
    clean, dusty = pair
    output = sf.restore(dusty.images, find=("dust",))
    observed = output.plans[0].observed
    assert torch.equal(torch.Tensor(output)[observed == 1], dusty.images[observed == 1])
    before, after = ((images - clean).square().mean() for images in (dusty.images, torch.Tensor(output)))
    assert after < before / 15
    assert "dust" in output.plans[0].summary


def test_a_picture_without_dust_stays(pair):
    plan = make_plan(DUST, pair[0])
    assert plan.nothing
    assert plan.look is not None, "the next frame of a film may have dust"


def test_a_preview_is_the_mask_of_the_repair(pair, tmp_path):
    pixels = (pair[1].images[0, 0] * 255).round().byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sf.restore_pictures([tmp_path / "a.png"], tmp_path / "out", DUST, preview=tmp_path / "mask.png")
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    changed = np.asarray(Image.open(tmp_path / "out" / "a.png")) != pixels
    assert set(np.unique(mask)) == {0, 255}
    assert not (changed & (mask == 0)).any()
    again = sf.restore(tmp_path / "a.png", mask=tmp_path / "mask.png")
    assert np.array_equal(np.asarray(again), files.read(tmp_path / "out" / "a.png").pixels[..., 0].numpy()), "the mask does the same"


@pytest.mark.parametrize(
    ("name", "count", "find", "words"),
    [
        ("mask.png", 2, ("dust",), "one picture"),
        ("mask.png", 1, (), "say what to look for"),
        ("mask.txt", 1, ("dust",), "mask.txt"),
        ("0.png", 1, ("dust",), "read and would be written over"),
        ("theirs.png", 1, ("dust",), "there already"),
    ],
)
def test_a_preview_that_cannot_be_is_told_before_the_work(tmp_path, name, count, find, words):
    for i in range(2):
        Image.new("L", (16, 16), 90).save(tmp_path / f"{i}.png")
    (tmp_path / "theirs.png").write_text("precious")
    sources = [tmp_path / f"{i}.png" for i in range(count)]
    with pytest.raises(SettingError, match=words):
        sf.restore_pictures(sources, tmp_path / "out", RestorationRequest(find=find), preview=tmp_path / name)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "theirs.png").read_text() == "precious"

"""The generators with styles that come with the toolkit: small, honest about where they come from, and near to real photographs."""

import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import sfumato as sf
from sfumato.core.tensors import to_images
from sfumato.data.load import load
from sfumato.editing.inversion import project
from sfumato.editing.mix import mix
from sfumato.metrics.features import describe
from sfumato.metrics.kernel import discrepancy
from sfumato.store import weights

each = pytest.mark.parametrize("name", ["cats", "eurosat"])


@each
def test_it_is_small_and_says_where_it_comes_from(name):
    path = weights.bundled()[name]
    assert path.stat().st_size <= 12e6
    card = sf.load(name).card
    assert card.name == name
    assert {"licence", "training", "minutes", "images_seen"} <= card.dump().keys()
    assert card.data.terms
    assert {"frechet", "kid", "floor_frechet"} <= {m.name for m in card.metrics}


@each
def test_a_seed_is_one_picture_in_any_batch(name):
    many = sf.generate(name, 11, seed=5)
    assert torch.equal(sf.generate(name, 1, seed=12)[0], many[7])
    assert many.flatten(1).std(dim=1).min() > 0.02


def test_cats_are_nearer_to_photographs_than_blurred_photographs_are(real_data, tmp_path):
    folder = os.environ.get("SFUMATO_WEIGHTS")
    if not folder or not any(Path(folder).glob("squeezenet*")):
        pytest.skip("SFUMATO_WEIGHTS does not hold SqueezeNet")
    eyes = weights.load("squeezenet").network
    some = tmp_path / "cats.zip"  # decoding all 6,000 would take half a minute
    with zipfile.ZipFile(real_data / "cats64.zip") as every, zipfile.ZipFile(some, "w") as few:
        for name in sorted(name for name in every.namelist() if not name.endswith("/"))[::45]:
            few.writestr(name, every.read(name))
    real = to_images(load(some, size=(64, 64), part="all").pixels)
    half, rest = real[0::2], real[1::2]
    blurred = F.interpolate(F.avg_pool2d(half, 4), scale_factor=4, mode="bilinear")
    reference = describe(eyes, rest)
    ours, floor, smooth = (discrepancy(reference, describe(eyes, x)) for x in (sf.generate("cats", 64), half, blurred))
    assert floor < ours < smooth / 5


def test_a_cat_is_found_again():
    one = sf.generate("cats", 1, seed=3)
    assert project("cats", one[0], steps=40).psnr > 30


def test_coarse_layers_of_one_cat_and_fine_ones_of_another_are_neither():
    rows, columns = (sf.generate("cats", 1, seed=s) for s in (1, 2))
    made = mix("cats", rows=[1], columns=[2], layers=(0, 3))
    assert min((made[-1:] - x).abs().mean().item() for x in (rows, columns)) > 0.01

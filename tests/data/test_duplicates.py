"""Copies are found whatever was done to them, and other pictures are not taken for copies."""

import pytest
import torch
from torch.nn import functional as F

import sfumato as sf
from sfumato.core.errors import DataError
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.duplicates import NEAR, Pair, components, pairs_of, without_duplicates


def scene(seed, side=128):
    """A smooth colour picture with edges, as photographs have them."""
    rng = torch.Generator().manual_seed(seed)
    image = F.interpolate(torch.rand(1, 3, 5, 5, generator=rng), (side, side), mode="bicubic").clamp(0, 1)
    for _ in range(6):
        y, x, h, w = (torch.rand(4, generator=rng) * side * 0.7).int().tolist()
        image[:, :, y : y + h + 8, x : x + w + 8] = torch.rand(1, 3, 1, 1, generator=rng)
    return image


def thumbnail(image):
    return (F.interpolate(image, (64, 64), mode="bilinear", antialias=True)[0] * 255).round().clamp(0, 255).to(torch.uint8)


CHANGES = {
    "smaller": lambda x: F.interpolate(x, (70, 70), mode="bilinear", antialias=True),
    "larger": lambda x: F.interpolate(x, (250, 250), mode="bicubic"),
    "mirrored": lambda x: x.flip(3),
    "cropped": lambda x: x[:, :, 3:118, 9:125],
    "cropped and mirrored": lambda x: x[:, :, 11:128, 0:119].flip(3),
    "darker": lambda x: x * 0.7,
    "noisy": lambda x: x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found_among_other_pictures(name):
    pictures = [scene(seed) for seed in range(12)]
    thumbnails = torch.stack([thumbnail(each) for each in [*pictures, CHANGES[name](pictures[3])]])
    pairs = pairs_of(thumbnails)
    assert [{pair.first, pair.second} for pair in pairs] == [{3, 12}]
    assert pairs[0].mirrored == ("mirrored" in name)
    assert NEAR <= pairs[0].correlation <= 1.0001


def test_plain_pictures_of_different_colours_are_no_copies():
    rng = torch.Generator().manual_seed(0)
    plain = torch.rand(6, 3, 1, 1, generator=rng).mul(250).to(torch.uint8).expand(-1, -1, 64, 64)
    noise = torch.randint(0, 2, (6, 3, 64, 64), generator=rng, dtype=torch.uint8)
    assert pairs_of(plain + noise) == []


def test_grey_pictures_and_a_single_one_are_taken():
    grey = torch.stack([thumbnail(scene(seed))[:1] for seed in (0, 1, 0)])
    assert [(pair.first, pair.second) for pair in pairs_of(grey)] == [(0, 2)]
    assert pairs_of(grey[:1]) == []


def test_the_order_of_the_pictures_does_not_change_what_is_found():
    thumbnails = torch.stack([thumbnail(each) for each in (scene(0), scene(1), scene(0)[:, :, 6:, 6:], scene(2))])
    turned = pairs_of(thumbnails.flip(0))
    assert (
        [{3 - pair.first, 3 - pair.second} for pair in turned] == [{pair.first, pair.second} for pair in pairs_of(thumbnails)] == [{0, 2}]
    )


def test_pairs_that_share_a_picture_are_one_group():
    pairs = [Pair(1, 4, 1, False), Pair(4, 2, 1, False), Pair(0, 5, 1, False)]
    assert components(7, pairs) == [[0, 5], [1, 2, 4]]


def test_data_without_duplicates_has_the_first_of_each_group():
    pictures = [scene(0), scene(1), scene(0).flip(3), scene(2), scene(1)]
    data = Dataset(name="five", pixels=torch.stack([thumbnail(each) for each in pictures]), labels=torch.arange(5), classes=tuple("abcde"))
    less = without_duplicates(data)
    assert less.labels.tolist() == [0, 1, 3]
    assert torch.equal(less.pixels, data.pixels[[0, 1, 3]])
    assert less.passed_over == "left out 2 copies of other images"
    assert without_duplicates(less) is less


def test_pictures_of_different_sizes_are_compared_too():
    small = F.interpolate(scene(0), (50, 70), mode="bilinear", antialias=True)[0]
    pictures = [(each * 255).clamp(0, 255).to(torch.uint8) for each in (scene(0)[0], scene(1)[0], small)]
    assert len(without_duplicates(Scenes(name="three", pictures=tuple(pictures)))) == 2


def test_data_that_is_one_image_is_refused():
    with pytest.raises(DataError):
        without_duplicates(Dataset(name="same", pixels=thumbnail(scene(0))[None].repeat(3, 1, 1, 1)))


def test_training_leaves_copies_out(tmp_path):
    pixels = torch.stack([thumbnail(scene(seed % 4))[:, ::4, ::4] for seed in range(8)])
    settings = sf.override(
        sf.recipe("dcgan"), "without_duplicates=true", "model.width=4", "model.discriminator_width=4", "images=16", "batch=8"
    )
    model = sf.fit(settings, data=Dataset(name="copies", pixels=pixels), run=tmp_path / "run")
    assert model.card.data.images == 4

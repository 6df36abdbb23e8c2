"""Real and synthetic images in one data set."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.data.dataset import Dataset
from sfumato.data.mixed import MixedDataset


def some(count, classes=("a", "b"), seed=0, name="real"):
    pixels = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Dataset(name=name, pixels=pixels, labels=torch.arange(count) % len(classes), classes=classes)


@pytest.mark.parametrize(("ratio", "added"), [(0, 0), (0.5, 10), (1, 20), (2, 40)])
def test_synthetic_images_keep_the_proportions_of_the_classes(ratio, added):
    mixed = MixedDataset.mix(some(20), some(60, seed=1), ratio=ratio)
    assert torch.equal(mixed.pixels[:20], some(20).pixels)
    assert mixed.labels[mixed.synthetic].bincount(minlength=2).tolist() == [added // 2, added // 2]
    assert len(mixed.pixels.flatten(1).unique(dim=0)) == 20 + added


def test_images_that_are_too_few_are_repeated_evenly_and_a_class_without_any_gets_none():
    few = some(6, seed=1).selected(torch.tensor([True, False, True, False, True, False]))
    mixed = MixedDataset.mix(some(20), few, repeat=True)
    counts = mixed.pixels[mixed.synthetic].flatten(1).unique(dim=0, return_counts=True)[1]
    assert sorted(counts.tolist()) == [3, 3, 4]
    assert mixed.labels[mixed.synthetic].tolist() == [0] * 10
    enough = some(60, seed=1)
    assert MixedDataset.mix(some(20), enough, repeat=True).fingerprint == MixedDataset.mix(some(20), enough).fingerprint


def test_labels_are_matched_by_the_names_of_the_classes():
    more = some(40, classes=("b", "a"), seed=1)
    mixed = MixedDataset.mix(some(20), more)
    for row in range(20, 40):
        source = (more.pixels == mixed.pixels[row]).flatten(1).all(dim=1).nonzero().item()
        assert mixed.classes[mixed.labels[row]] == more.classes[more.labels[source]]


def test_only_real_images_are_held_out():
    mixed = MixedDataset.mix(some(200), some(400, seed=1), ratio=2)
    train, held = mixed.split(0.3, purpose="validation")
    assert not held.synthetic.any()
    assert train.synthetic.sum() == 400
    assert torch.equal(held.pixels, some(200).split(0.3, purpose="validation")[1].pixels)


def test_the_seed_decides_which_images_are_drawn():
    first, again, other = (MixedDataset.mix(some(20), some(60, seed=1), seed=seed).fingerprint for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("synthetic", "ratio", "named"),
    [
        (some(10, seed=1), 1, "5 synthetic images, and 10 are wanted"),
        (some(60, classes=("a", "c")), 1, "'c'"),
        (some(60), -1, "ratio = -1"),
        (Dataset(name="bare", pixels=some(60).pixels), 1, "bare has no classes"),
        (Dataset(name="wide", pixels=torch.zeros(9, 1, 4, 5, dtype=torch.uint8), labels=torch.zeros(9).long(), classes=("a",)), 1, "wide"),
    ],
)
def test_images_that_do_not_fit_are_refused(synthetic, ratio, named):
    with pytest.raises(SettingError, match=named):
        MixedDataset.mix(some(20), synthetic, ratio=ratio)

"""The embedded data set: legible, varied, and each image a function of its seed and number."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.data.glyphs import CHARACTERS, glyphs
from sfumato.data.load import load


def test_what_comes_out():
    data = glyphs(3000, (28, 28))
    assert data.pixels.shape == (3000, 1, 28, 28)
    assert data.classes == tuple(CHARACTERS)
    assert len(data.classes) == 36
    assert data.labels.bincount(minlength=36).min() > 40
    assert len({p.numpy().tobytes() for p in data.pixels}) == 3000


def test_good_contrast_on_both_grounds():
    data = glyphs(1000).pixels.flatten(1).float()
    low, high = data.quantile(0.02, dim=1), data.quantile(0.98, dim=1)
    assert (high - low).quantile(0.02) > 70
    assert 0.4 < (data.median(dim=1).values < 128).float().mean() < 0.6


def test_an_image_depends_on_seed_and_number_alone():
    for channels in (1, 3):
        many = glyphs(1100, channels=channels, seed=5)
        for first, count in ((0, 3), (37, 1), (1019, 10)):
            few = glyphs(count, channels=channels, seed=5, first=first)
            assert torch.equal(few.pixels, many.pixels[first : first + count])
            assert torch.equal(few.labels, many.labels[first : first + count])
    assert not torch.equal(glyphs(4, seed=0).pixels, glyphs(4, seed=1).pixels)


def test_grey_is_the_luma_of_colour():
    grey, colour = glyphs(200, seed=2), glyphs(200, seed=2, channels=3)
    luma = (colour.pixels.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    assert torch.equal(grey.labels, colour.labels)
    assert (luma - grey.pixels).abs().median() <= 1
    assert (colour.pixels.float().std(dim=1).mean() > 8).item()


def test_sizes_and_characters():
    for size in ((64, 64), (20, 40), (41, 17)):
        assert glyphs(5, size, channels=3).pixels.shape == (5, 3, *size)
    data = glyphs(20, characters="ab?")
    assert data.classes == ("a", "b", "?")
    for wrong in ("", "AA", "A ", "A\u4e00"):
        with pytest.raises(SettingError, match="characters"):
            glyphs(2, characters=wrong)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": (4, 32)}, {"channels": 2}, {"first": -1}, {"size": (32, 2000)}])
def test_what_cannot_be_drawn(wrong):
    with pytest.raises(SettingError, match="cannot draw"):
        glyphs(**{"count": 2, **wrong})


def test_a_simple_classifier_tells_them_apart():
    """Nearest neighbour on contrast-normalised pixels: far above chance, so the labels belong to the images."""

    def features(data):
        x = data.pixels.flatten(1).float()
        x = x - x.median(dim=1, keepdim=True).values
        x = x * x.mean(dim=1, keepdim=True).sign()
        return torch.nn.functional.normalize(x, dim=1)

    train, test = glyphs(4000, (16, 16)), glyphs(200, (16, 16), first=4000)
    nearest = (features(test) @ features(train).T).argmax(dim=1)
    assert (train.labels[nearest] == test.labels).float().mean() > 0.4  # by chance 0.03


def test_load_draws_disjoint_parts(monkeypatch):
    monkeypatch.setattr("sfumato.data.load._GLYPHS", {"train": range(40), "test": range(40, 50), "all": range(50)})
    train, test, both = (load("glyphs", part=part, size=(16, 16), channels=3) for part in ("train", "test", "all"))
    assert torch.equal(torch.cat([train.pixels, test.pixels]), both.pixels)
    assert test.pixels.shape == (10, 3, 16, 16)
    assert not torch.equal(load("glyphs", part="test", seed=1).labels, test.labels)

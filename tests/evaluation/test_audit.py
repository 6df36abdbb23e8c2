"""The audit: a generator that copies is found out, one that repeats itself too, and one that draws afresh is not accused."""

import dataclasses
import json

import pytest
import torch
from PIL import Image

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation.audit import Verdict, audit, save, verdict, verdict_line
from sfumato.evaluation.audit_search import threshold
from sfumato.evaluation.generators import judge_images
from sfumato.generation.generate import generate
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.features import Pixels
from sfumato.models.roles.style_generator import StyleGenerator


def smooth(count, seed):
    """Grey 16x16 images of one kind, all different."""
    coarse = torch.rand(count, 1, 4, 4, generator=seeded_generator(seed, "coarse"))
    return (torch.nn.functional.interpolate(coarse, 16, mode="bilinear") * 255).round().to(torch.uint8)


class Pupil(StyleGenerator):
    """Shows, for a latent, one of its images."""

    def __init__(self, pixels, noise=0.0):
        super().__init__()
        self.latent_dim, self.channels, self.size, self.classes = 1, 1, (16, 16), 0
        self.images, self.noise = to_images(pixels), noise
        self.anything = torch.nn.Parameter(torch.zeros(1))

    def synthesize(self, styles, labels=None, steering=None):
        place = torch.special.ndtr(styles[:, 0, 0].double())
        return self.images[(place * len(self.images)).long().clamp(max=len(self.images) - 1)]


@pytest.fixture
def parts(monkeypatch):
    train, test = Dataset(name="smooth", pixels=smooth(800, 0)), Dataset(name="smooth", pixels=smooth(300, 1))
    monkeypatch.setattr("sfumato.evaluation.audit.compared", lambda *_: (train, test))
    return train, test


def figures(found):
    return {m.name: m for m in found.report}


def of(images):
    return audit(Pupil(images), features=Pixels(channels=1, side=8), count=200)


def test_copies_and_their_mirror_images_are_found(parts):
    train, _ = parts
    for images in (train.pixels, train.pixels.flip(3)):
        found = of(images)
        assert figures(found)["copied"].value == 1
        assert figures(found)["closeness"].value < 0.01
        best = found.copies[0]
        shown = found.images[best.seed]
        twin = to_images(train.pixels[best.other, None])[0]
        assert torch.equal(shown, twin) or torch.equal(shown, twin.flip(2))
        assert "copies training images: 100.0% against at most 2.9% by chance" in verdict_line(found)


def test_new_images_are_not_accused(parts):
    found = of(smooth(5000, 2))
    assert figures(found)["copied"].value < 0.05
    assert 0.9 < figures(found)["closeness"].value < 1.1
    assert figures(found)["duplicated"].value < 0.1
    assert "no sign that it copies" in verdict_line(found)
    assert "300 real images that were not trained on are nearer" in figures(found)["copied"].protocol.settings


def test_few_images_accuse_nobody(monkeypatch):
    """A hundred images to learn from and twenty-five unseen ones: the threshold is hardly known, and the nearest of many is nearer."""
    for seed in range(0, 15, 3):
        train, test = (Dataset(name="smooth", pixels=smooth(count, seed + i)) for i, count in enumerate((100, 25)))
        monkeypatch.setattr("sfumato.evaluation.audit.compared", lambda *_, parts=(train, test): parts)
        verdict_told = verdict_line(found := of(smooth(5000, seed + 2)))
        assert "too few images to tell whether it copies training images: 200 generated and 25 real images, and 100 of each" in verdict_told
        assert found.verdicts == {"copied": Verdict.TOO_FEW, "duplicated": Verdict.NO_SIGN}
        assert len(found.duplicates) == 100
        assert of(train.pixels).verdicts["copied"] is Verdict.DETECTED


@pytest.mark.parametrize(("count", "limit", "by_chance"), [(20, 1.0, 1 / 21), (99, 1.0, 0.01), (100, 1.99, 0.01), (1000, 10.99, 0.01)])
def test_of_fewer_than_a_hundred_images_the_threshold_is_the_nearest(count, limit, by_chance):
    found = threshold(torch.arange(1.0, count + 1), "those")
    assert (found.limit, found.by_chance) == (pytest.approx(limit), pytest.approx(by_chance))


def test_few_images_convict_and_do_not_acquit():
    share = Measurement(name="copied", value=0.0, interval=(0.0, 0.16), higher_is_better=False, protocol=Protocol())
    assert [verdict(share, 0.24, count) for count in (20, 99, 100)] == [Verdict.TOO_FEW, Verdict.TOO_FEW, Verdict.NO_SIGN]
    assert verdict(dataclasses.replace(share, value=1.0, interval=(0.84, 1.0)), 0.24, 20) is Verdict.DETECTED


def test_a_collapsed_generator_repeats_itself(parts):
    found = of(smooth(5, 3))
    assert figures(found)["duplicated"].value == 1
    assert figures(found)["copied"].value == 0
    assert "repeats itself: 100.0%" in verdict_line(found)


@pytest.mark.parametrize("count", [201, 202, 203])
def test_any_number_of_images_may_repeat_themselves(count, parts):
    found = audit(Pupil(smooth(2, 3)), features=Pixels(channels=1, side=8), count=count)
    assert figures(found)["duplicated"].value == 1
    assert figures(found)["duplicated"].protocol.generated == count


def test_without_unseen_images_training_images_stand_in(monkeypatch, parts):
    train, _ = parts
    monkeypatch.setattr("sfumato.evaluation.audit.compared", lambda *_: (train, train))
    assert figures(of(train.pixels))["copied"].value == 1
    found = of(smooth(5000, 2))
    assert figures(found)["copied"].value < 0.08
    assert "80 training images, measured to the others" in figures(found)["copied"].protocol.settings


def test_sheets_show_pairs_and_the_file_every_one_that_was_flagged(parts, tmp_path):
    train, _ = parts
    found = of(train.pixels)
    paths = save(found, tmp_path)
    assert [p.name for p in paths] == ["nearest.png", "duplicates.png", "audit.json"]
    assert found.sheets()["nearest"].shape == (64, 1, 16, 16)
    with Image.open(paths[0]) as sheet:
        assert sheet.size == (8 * 18 - 2, 8 * 18 - 2)
    stored = json.loads(paths[2].read_text())
    assert len(stored["copied"]) == 200
    assert stored["by_chance"].keys() == {"copied", "duplicated"}
    assert stored["verdicts"] == {"copied": "found", "duplicated": str(found.verdicts["duplicated"])}
    assert stored["copied"][0].keys() == {"seed", "other", "distance", "flagged"}


def test_only_generators_are_audited():
    with pytest.raises(SettingError, match="makes no images"):
        audit("digits-classifier")


def test_of_too_few_images_nothing_is_said(monkeypatch):
    few, eyes = Dataset(name="few", pixels=smooth(30, 0)), Pixels(channels=1, side=8)
    monkeypatch.setattr("sfumato.evaluation.audit.compared", lambda *_: (few, few))
    with pytest.raises(SettingError, match="count = 8 is below 20"):
        audit(Pupil(few.pixels), features=eyes, count=8)
    with pytest.raises(DataError, match="few has 30 images to compare with; an audit wants at least 40"):
        audit(Pupil(few.pixels), features=eyes, count=20)
    with pytest.raises(DataError, match=r"few has 30 images; .* 40 are the least"):
        judge_images(few, eyes, torch.device("cpu"), count=10, seed=0)


def test_a_sheet_shows_the_images_of_its_seeds_and_each_pair_once(parts):
    train, _ = parts
    network = Pupil(train.pixels[:40])
    result = audit(network, features=Pixels(channels=1, side=8), count=40, seed=70)
    sheets, nearest = result.sheets(), result.copies[0]
    assert 70 <= nearest.seed < 110
    assert torch.equal(sheets["nearest"][0], generate(network, seeds=[nearest.seed])[0])
    assert torch.equal(sheets["nearest"][1], to_images(train.pixels[nearest.other, None])[0])
    pairs = {frozenset((n.seed, n.other)) for n in result.duplicates}
    assert len(pairs) < len(result.duplicates) == 40
    assert len(sheets["duplicates"]) == 2 * min(32, len(pairs))
    first = result.duplicates[0]
    assert torch.equal(sheets["duplicates"][:2], generate(network, seeds=[first.seed, first.other]))
    assert [n.distance for n in result.copies] == sorted(n.distance for n in result.copies)

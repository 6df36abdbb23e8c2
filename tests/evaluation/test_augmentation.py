"""More training images with a generator, their filters and their provenance, and the verdict on whether they help."""

import csv
import dataclasses
import json

import pytest
import torch

import sfumato as sf
from sfumato.core.config import changed
from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_bytes, to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation import augmentation
from sfumato.evaluation import augmentation_verdict as augmentation_verdicts
from sfumato.evaluation.augmentation import TABLE, augment, augmentation_verdict
from sfumato.evaluation.augmentation_arms import arm_settings, draw_split, small_classifier, with_placebo
from sfumato.evaluation.augmentation_verdict import Experiment, Gain, conclusion, run_experiment
from sfumato.evaluation.synthetic import copy_test
from sfumato.generation.generate import generate
from sfumato.io.embedded import recipe_text
from sfumato.metrics.features import weights_hash
from sfumato.metrics.paired import Difference
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store.loaded import LoadedModel


def images_of(count, seed, *, spread=0.15):
    """Grey 8x8 images of two classes, half of each: bright above, or bright below."""
    labels = torch.arange(count) % 2
    base = torch.zeros(2, 1, 8, 8)
    base[0, :, :4], base[1, :, 4:] = 0.6, 0.6
    noise = torch.rand(count, 1, 8, 8, generator=seeded_generator(seed, "noise")) * spread
    return Dataset(name="halves", pixels=to_bytes(base[labels] + noise), labels=labels, classes=("above", "below"))


class Halves(StyleGenerator):
    """Shows one of its images for a latent: for a share of latents a training image, for another share an image of the other class."""

    def __init__(self, train):
        super().__init__()
        self.latent_dim, self.channels, self.size, self.classes = 1, 1, (8, 8), 2
        fresh = images_of(400, 7)
        self.shown = {
            label: (
                to_images(train.pixels[train.labels == label]),
                *(to_images(fresh.pixels[fresh.labels == k]) for k in (label, 1 - label)),
            )
            for label in (0, 1)
        }
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def synthesize(self, styles, labels=None, steering=None):
        places = torch.special.ndtr(styles[:, 0, 0].double()).clamp(0, 0.9999)
        rows = []
        for place, label in zip(places.tolist(), labels.tolist(), strict=True):
            kind, rest = divmod(place * 3, 1)
            images = self.shown[label][int(kind)]
            rows.append(images[int(rest * len(images))])
        return torch.stack(rows)


TINY = dataclasses.replace(
    sf.recipe("classifier"),
    model=changed(sf.recipe("classifier").model, widths=(4,), depth=1, hidden=(8,), dropout=0.0),
    images=320,
    batch=16,
    lr=0.02,
)
"""Twenty steps, after which the classes of `images_of` are told apart."""


@pytest.fixture(scope="module")
def result():
    train = images_of(60, 0)
    return augment(train, per_class=20, model=LoadedModel(network=Halves(train)), classifier=TINY)


def test_copies_and_other_classes_are_left_out(result):
    assert result.images.labels.bincount().tolist() == [20, 20]
    assert result.kept.copies > 0
    assert result.kept.off_class > 0
    assert copy_test(result.train).share(result.images.pixels) == 0
    bright = (
        result.images.pixels[:, :, :4].float().mean(dim=(1, 2, 3)) < result.images.pixels[:, :, 4:].float().mean(dim=(1, 2, 3))
    ).long()
    assert torch.equal(bright, result.images.labels)


def test_each_picture_says_where_it_comes_from(result, tmp_path):
    result.save(tmp_path / "more")
    rows = list(csv.DictReader((tmp_path / "more" / TABLE).read_text().splitlines()))
    assert len(rows) == 40
    for row in rows[:3] + rows[-3:]:
        facts = json.loads(recipe_text(tmp_path / "more" / row["file"]))
        assert (facts["seed"], facts["label"]) == (int(row["seed"]), row["class"])
        assert facts["weights"] == row["model"] == weights_hash(result.model.network)
        again = to_bytes(generate(result.model, seeds=[int(row["seed"])]))
        assert torch.equal(again[0], torch.from_numpy(sf.read(tmp_path / "more" / row["file"]).pixels.numpy()).permute(2, 0, 1))
    loaded = sf.load_dataset(tmp_path / "more", part="all")
    assert (loaded.classes, len(loaded)) == (("above", "below"), 40)


def test_a_folder_with_files_is_refused_and_overwrite_leaves_no_stale_picture(result, tmp_path):
    (tmp_path / "theirs.txt").write_text("precious")
    with pytest.raises(SettingError, match=r"theirs\.txt"):
        result.save(tmp_path)
    result.save(tmp_path, overwrite=True)
    fewer = dataclasses.replace(result, kept=dataclasses.replace(result.kept, images=result.images.selected(torch.arange(40) < 5)))
    kept = dataclasses.replace(fewer.kept, **{name: getattr(result.kept, name)[:5] for name in ("seeds", "nearest", "distances")})
    dataclasses.replace(fewer, kept=kept).save(tmp_path, overwrite=True)
    assert len(list(tmp_path.rglob("*.png"))) == 5
    assert (tmp_path / "theirs.txt").read_text() == "precious"


def test_copies_are_memorised_and_new_images_are_not():
    train = images_of(300, 0)
    test = copy_test(train)
    assert test.share(train.pixels) == 1
    assert test.share(train.pixels.flip(3)) == 1
    assert test.share(images_of(300, 1).pixels) < 0.05


def test_splits_are_disjoint_balanced_and_reproducible():
    pool = images_of(100, 0)
    split = draw_split(pool, 10, seed=0, number=3)
    again, other = draw_split(pool, 10, seed=0, number=3), draw_split(pool, 10, seed=0, number=4)
    assert split.train.labels.bincount().tolist() == [10, 10]
    assert split.validation.labels.bincount().tolist() == [40, 40]
    assert len(torch.cat([split.train.pixels, split.validation.pixels]).flatten(1).unique(dim=0)) == 100
    assert split.train.fingerprint == again.train.fingerprint != other.train.fingerprint
    assert len(draw_split(pool, None, seed=0, number=0).train) == 80
    with pytest.raises(DataError, match="'above'"):
        draw_split(pool, 50, seed=0, number=0)


def test_all_arms_have_the_same_length_and_no_validation():
    settings = arm_settings(None, 200, None)
    assert (settings.images, settings.validation) == (6_400, 0)
    assert settings.lr_warmup <= 640
    assert arm_settings(None, 600, None).images == 18_000
    assert arm_settings(None, 1_000_000, None).images == small_classifier().images
    with pytest.raises(SettingError, match="adversarial"):
        arm_settings(sf.recipe("dcgan"), 200, None)


def test_all_arms_are_trained_for_30_passes_over_the_largest(monkeypatch):
    lengths = []

    def untrained(settings, data, **_):
        lengths.append((settings.images, len(data)))
        return changed(TINY.model, size=(8, 8), channels=1, classes=2).build()

    monkeypatch.setattr(augmentation_verdicts, "trained", untrained)
    run_experiment(Experiment(source=lambda *_: images_of(400, 1), per_class=50, ratios=(1.0, 4.0)), images_of(120, 0), images_of(20, 2))
    assert {length for length, _ in lengths} == {30 * 500}
    assert max(count for _, count in lengths) == 500


@pytest.mark.parametrize(("ratio", "most"), [(0.5, 2), (1, 2), (2, 3)])
def test_a_placebo_repeats_real_images_evenly(ratio, most):
    real = images_of(20, 0)
    placebo = with_placebo(real, ratio, seed=0)
    counts = placebo.pixels.flatten(1).unique(dim=0, return_counts=True)[1]
    assert (len(counts), len(placebo), counts.max()) == (20, 20 + 20 * ratio, most)


def test_the_images_of_a_model_are_filtered_by_the_images_of_the_split(monkeypatch):
    pool = images_of(60, 0)
    train = pool.selected(torch.arange(60) < 20)
    experiments = []

    def stop(experiment, *_):
        experiments.append(experiment)
        raise KeyboardInterrupt

    monkeypatch.setattr(augmentation, "run_experiment", stop)
    with pytest.raises(KeyboardInterrupt):
        augmentation_verdict(pool, test=pool, model=LoadedModel(network=Halves(train)), classifier=TINY)
    (experiment,) = experiments
    assert experiment.repeat
    more = experiment.source(train, 12)
    assert more.labels.bincount().tolist() == [12, 12]
    assert copy_test(train).share(more.pixels) == 0


def test_a_class_that_a_generator_cannot_make_is_named(monkeypatch):
    def untrained(settings, data, **_):
        return changed(TINY.model, size=(8, 8), channels=1, classes=2).build()

    monkeypatch.setattr(augmentation_verdicts, "trained", untrained)
    pool, above = images_of(60, 0), images_of(8, 1)
    above = above.selected(above.labels == 0)
    experiment = Experiment(source=lambda *_: above, repeat=True, per_class=10, classifier=TINY)
    verdict = run_experiment(experiment, pool, images_of(20, 2))
    assert verdict.missing == ("below",)
    with pytest.raises(SettingError, match="'above' has 4 synthetic images"):
        run_experiment(dataclasses.replace(experiment, repeat=False), pool, pool)


@pytest.mark.parametrize(
    ("interval", "gain"), [((0.001, 0.05), Gain.HELPS), ((0, 0.05), Gain.NONE), ((-0.1, 0.1), Gain.NONE), ((-0.1, -0.01), Gain.HARMS)]
)
def test_only_a_whole_interval_on_one_side_of_zero_is_a_verdict(interval, gain):
    difference = Difference(sum(interval) / 2, *interval)
    assert conclusion(difference) == conclusion(difference, difference) == gain
    assert conclusion(difference, Difference(0, -0.2, 0.2)) == Gain.NONE


@pytest.mark.usefixtures("unchecked")
def test_what_repeated_real_images_do_too_is_no_gain():
    pool, test = images_of(60, 0, spread=0.4), images_of(60, 2, spread=0.4)
    verdict = augmentation_verdict(pool, test=test, synthetic=images_of(80, 3, spread=0.4), per_class=10, ratios=(2.0,), classifier=TINY)
    better = dataclasses.replace(verdict, gain=Difference(0.02, 0.01, 0.03), over_placebo=Difference(0.01, -0.01, 0.03))
    assert better.verdict == Gain.NONE
    assert better.sentence.endswith("beside 20 real ones; as many repeated real images do about the same")
    assert dataclasses.replace(better, over_placebo=Difference(0.02, 0.01, 0.03)).verdict == Gain.HELPS
    assert verdict.over_placebo.mean == pytest.approx(verdict.gain.mean - verdict.placebo.mean)


@pytest.mark.usefixtures("unchecked")
def test_wrong_labels_harm(tmp_path):
    pool, test = images_of(60, 0, spread=0.4), images_of(60, 2, spread=0.4)
    wrong = images_of(80, 3, spread=0.4)
    wrong = dataclasses.replace(wrong, labels=1 - wrong.labels)
    verdict = augmentation_verdict(pool, test=test, synthetic=wrong, per_class=10, ratios=(2.0,), classifier=TINY)
    assert verdict.accuracy > 0.9
    assert verdict.verdict == Gain.HARMS
    assert verdict.gain.high < -0.1
    assert verdict.gain.mean < verdict.placebo.mean - 0.1
    assert verdict.sentence.startswith("harms by ")
    assert (verdict.train, verdict.test, verdict.ratio, verdict.splits) == (20, 60, 2.0, 5)
    assert verdict.validation[2.0] < verdict.validation[0.0]
    assert verdict.mcnemar.lost > verdict.mcnemar.won
    assert sum(row.images for row in verdict.classes) == 60
    assert sum(row.baseline for row in verdict.classes) / 2 == pytest.approx(verdict.accuracy)
    verdict.save(tmp_path / "verdict.json")
    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] == "harms"


def test_a_verdict_on_few_splits_or_two_sources_is_refused():
    pool = images_of(60, 0)
    with pytest.raises(SettingError, match="splits = 4"):
        augmentation_verdict(pool, test=pool, synthetic=pool, splits=4)
    with pytest.raises(SettingError, match="in one way"):
        augmentation_verdict(pool, test=pool, synthetic=pool, budget="1min")
    with pytest.raises(SettingError, match="runs = 1"):
        augmentation_verdict(pool, test=pool, synthetic=pool, runs=1)
    with pytest.raises(SettingError, match="give only one"):
        augment(pool, model="digits", budget="1min")
    with pytest.raises(DataError, match="no classes"):
        augment(Dataset(name="bare", pixels=pool.pixels), budget="1min")

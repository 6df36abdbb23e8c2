"""Each benchmark degradation is the same for everybody, and each figure is what its protocol says."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_bytes, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.evaluation import benchmark
from sfumato.evaluation.audit_search import Search
from sfumato.evaluation.benchmark import judge, judge_restorer
from sfumato.evaluation.benchmark_degradations import benchmark_degradation
from sfumato.evaluation.diversity import coloured, pairs, partners
from sfumato.evaluation.evaluate import compared, judge_classifier, output_files
from sfumato.evaluation.features import feature_facts, matching_features, suited
from sfumato.evaluation.generators import floor_of_halves
from sfumato.evaluation.picture_fidelity import luma
from sfumato.evaluation.score import check, generated
from sfumato.metrics.base import Protocol
from sfumato.metrics.features import Pixels
from sfumato.metrics.fidelity import psnr
from sfumato.models import MODELS
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.store import weights
from sfumato.store.cards import ModelCard
from sfumato.store.loaded import LoadedModel


def smooth(h, w, channels=3, seed=0):
    coarse = torch.rand(1, channels, 6, 6, generator=seeded_generator(seed))
    return to_images(to_bytes(torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic").clamp(0, 1)))


def figures(report):
    return {m.name: m.value for m in report}


CLEAN = smooth(20, 24)


# Degradations.


def test_salt_and_pepper_falls_where_numpys_generator_says():
    u = np.random.default_rng(0).random((20, 24))
    degraded = benchmark_degradation("salt-and-pepper:30").degrade(CLEAN, 3).images[0].numpy()
    assert (degraded[:, u < 0.15] == 0).all()
    assert (degraded[:, u > 0.85] == 1).all()
    untouched = (u >= 0.15) & (u <= 0.85)
    assert (degraded[:, untouched] == CLEAN[0].numpy()[:, untouched]).all()


def test_missing_pixels_are_those_of_numpys_generator_and_are_black():
    hole = torch.from_numpy(np.random.default_rng(0).random((20, 24)) < 0.4)
    degraded = benchmark_degradation("missing:40").degrade(CLEAN, 3)
    assert torch.equal(degraded.observed[0, 0] == 0, hole)
    assert (degraded.images[0][:, hole] == 0).all()
    assert torch.equal(degraded.images[0][:, ~hole], CLEAN[0][:, ~hole])


def test_photons_are_those_of_numpys_generator():
    theirs = np.random.RandomState(0).poisson(CLEAN[0].permute(1, 2, 0).double().numpy() * 40) / 40
    degraded = benchmark_degradation("poisson:40").degrade(CLEAN, 1)
    np.testing.assert_allclose(degraded.images[0].permute(1, 2, 0), theirs, atol=1e-6)
    assert degraded.noise.item() == pytest.approx((CLEAN.mean().item() / 40) ** 0.5)


def test_motion_is_at_0_45_90_and_135_degrees_in_turn():
    kernels = [benchmark_degradation("motion:9").kernels(i)[0] for i in range(5)]
    across, rising, down, falling, again = kernels
    assert torch.equal(again, across)
    assert across.sum(dim=0).count_nonzero() >= 9 > 3 >= across.sum(dim=1).count_nonzero()
    torch.testing.assert_close(down, across.T)
    torch.testing.assert_close(rising, rising.flip(0, 1).T, msg="it leads through the corner")
    torch.testing.assert_close(falling, rising.flip(1))
    assert not torch.allclose(rising, falling)


@pytest.mark.parametrize("name", ["blur:1.6", "motion:5"])
def test_a_blur_spreads_a_point_by_its_kernel_and_adds_noise_of_2_in_255(name):
    kind = benchmark_degradation(name)
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    for i in (0, 1):
        degraded, kernel = kind.degrade(point, i), kind.kernels(i)[0]
        noise = torch.from_numpy(np.random.RandomState(0).normal(0, 2 / 255, (41, 41, 1)))[..., 0].float()
        half = len(kernel) // 2
        spread = (degraded.images[0, 0] - noise)[20 - half : 21 + half, 20 - half : 21 + half]
        torch.testing.assert_close(spread, kernel.float(), atol=2e-3, rtol=0)
        assert degraded.noise.item() == pytest.approx(2 / 255)


@pytest.mark.parametrize(
    ("name", "scale", "in_luma", "stored"),
    [
        ("noise:25", 1, False, False),
        ("poisson:30", 1, False, False),
        ("salt-and-pepper:30", 1, False, True),
        ("missing:50", 1, False, True),
        ("text", 1, False, True),
        ("blur:1.6", 1, False, False),
        ("jpeg:10", 1, True, True),
        ("x3", 3, True, True),
        ("x2-jpeg:70", 2, True, True),
    ],
)
def test_each_degradation_has_the_protocol_of_the_papers(name, scale, in_luma, stored):
    kind = benchmark_degradation(name)
    assert (kind.name, kind.scale, kind.luma, kind.stored) == (name, scale, in_luma, stored)
    degraded = kind.degrade(smooth(24, 24), 0).images
    assert degraded.shape[2:] == (24 // scale, 24 // scale)
    if stored:
        assert torch.allclose(degraded * 255, (degraded * 255).round(), atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "noise:0",
        "noise:255",
        "poisson:1",
        "missing:99",
        "blur:0.1",
        "blur:20",
        "motion:60",
        "jpeg:1",
        "jpeg:100",
        "x2-jpeg:1",
        "x8-jpeg:100",
    ],
)
def test_amounts_at_the_limits_are_taken(name):
    assert benchmark_degradation(name).name == name


@pytest.mark.parametrize(
    "name", ["noise:256", "poisson:0.5", "missing:100", "blur:0.05", "blur:21", "motion:61", "jpeg:0", "jpeg:101", "x2-jpeg:0"]
)
def test_amounts_beyond_the_limits_are_refused(name):
    with pytest.raises(SettingError, match="is outside"):
        benchmark_degradation(name)


# Figures.


def same(degraded, kernels):
    return degraded.images


def scenes(*pictures):
    return Scenes(name="drawn", pictures=tuple(to_bytes(p)[0] for p in pictures))


def test_psnr_is_that_of_the_rounded_result_over_all_channels():
    report = figures(judge_restorer("none", "noise:25", scenes(CLEAN), method=same))
    degraded = benchmark_degradation("noise:25").degrade(CLEAN, 0).images.clamp(0, 1)
    assert report["psnr"] == pytest.approx(psnr(to_images(to_bytes(degraded)), CLEAN).item(), rel=1e-6)
    assert report["psnr_unrounded"] == pytest.approx(psnr(degraded, CLEAN).item(), rel=1e-6)
    assert report["psnr"] != report["psnr_unrounded"]
    unclipped = benchmark_degradation("noise:25").degrade(CLEAN, 0).images
    assert report["psnr_before"] == pytest.approx(psnr(unclipped, CLEAN).item(), rel=1e-6)
    assert report["psnr_luma"] == pytest.approx(psnr(luma(to_images(to_bytes(degraded))), luma(CLEAN)).item(), rel=1e-6)


def test_grey_pictures_in_three_channels_are_measured_in_one():
    grey = smooth(20, 24, channels=1).expand(-1, 3, -1, -1)
    report = figures(judge_restorer("none", "noise:25", scenes(grey), method=same))
    assert report.keys() == {"psnr", "ssim", "psnr_before", "psnr_unrounded", "psnr_of_8_bit_input"}


def test_enlarged_pictures_are_measured_on_luma_without_a_border_of_the_factor():
    clean = smooth(21, 26)

    def wrong_at_the_border(degraded, kernels):
        output = clean[:, :, :20, :26].clone()
        output[:, :, :2], output[:, :, :, -2:] = 1 - output[:, :, :2], 1 - output[:, :, :, -2:]
        return output

    report = figures(judge_restorer("none", "x2", scenes(clean), method=wrong_at_the_border))
    assert report["psnr"] == 100, "inside the border it is the picture itself"
    assert report["ssim"] == pytest.approx(1)
    assert report["psnr_rgb"] == 100
    assert report["psnr_no_border_cut"] < 30
    assert report["psnr_before"] < 60


def test_luma_of_the_full_range_is_the_stricter_one():
    report = figures(judge_restorer("none", "jpeg:10", scenes(CLEAN), method=same))
    shift = 20 * math.log10(255 / 219)
    assert report["psnr_luma_full_range"] == pytest.approx(report["psnr"] - shift, abs=0.01)


def test_pictures_smaller_than_a_window_have_no_ssim():
    for side, finite in ((10, False), (11, True)):
        report = figures(judge_restorer("none", "noise:25", scenes(smooth(side, 16)), method=same))
        assert math.isfinite(report["ssim"]) == finite
        assert math.isfinite(report["psnr"])


def test_the_figure_is_the_mean_over_pictures_and_needs_two_for_an_interval():
    one, other = (figures(judge_restorer("none", "noise:25", scenes(p), method=same)) for p in (CLEAN, smooth(16, 16, seed=1)))
    report = judge_restorer("none", "noise:25", scenes(CLEAN, smooth(16, 16, seed=1)), method=same)
    both = figures(report)
    assert both["psnr"] == pytest.approx((one["psnr"] + other["psnr"]) / 2)
    assert all(m.interval is not None and m.protocol.generated == 2 for m in report)
    assert all(m.interval is None for m in judge_restorer("none", "noise:25", scenes(CLEAN), method=same))
    assert {m.unit for m in report if m.name.startswith("psnr")} == {"dB"}


def test_auto_leaves_a_picture_in_which_it_finds_nothing_and_gets_a_mask_only_if_there_is_one(monkeypatch):
    masks = []

    def plan(request, images, *, observed, networks):
        masks.append(observed)
        return SimpleNamespace(nothing=True)

    monkeypatch.setattr(benchmark, "make_plan", plan)
    for name in ("salt-and-pepper:30", "missing:50"):
        report = figures(judge("auto", name, scenes(CLEAN)))
        assert report["psnr"] == report["psnr_before"]
    assert masks[0] is None
    assert torch.equal(masks[1], benchmark_degradation("missing:50").degrade(CLEAN, 0).observed)


def test_auto_repairs_by_its_plan(monkeypatch):
    monkeypatch.setattr(benchmark, "make_plan", lambda *_, **__: SimpleNamespace(nothing=False))
    monkeypatch.setattr(benchmark, "repaired", lambda images, plan, request, networks: CLEAN)
    assert figures(judge("auto", "noise:25", scenes(CLEAN)))["psnr"] == 100


# Data, features and classes.


def test_a_model_without_a_record_of_its_data_needs_their_name():
    for card in ({}, {"training": {}}, {"training": {"data": "two\nlines"}}):
        with pytest.raises(SettingError, match="does not say what it was trained on"):
            compared(LoadedModel(network=network(1, (8, 8)), card=ModelCard.read(card, "the card")), None)
    away = LoadedModel(network=network(1, (8, 8)), card=ModelCard(training={"data": "/no/such/folder"}))
    with pytest.raises(SettingError, match="/no/such/folder, cannot be found"):
        compared(away, None)
    with pytest.raises(DataError):
        compared(away, "/no/such/other/folder")


def test_a_data_set_that_is_handed_in_is_both_parts(bars):
    assert compared(LoadedModel(network=network(1)), bars) == (bars, bars)


def network(channels, size=(16, 16)):
    shape = nn.Identity()
    shape.channels, shape.size, shape.classes = channels, size, 0
    return shape


def test_a_bundled_classifier_serves_the_images_that_it_was_trained_on_and_no_others():
    card = weights.load("digits-classifier").card.data
    digits = Dataset(name=card.name, pixels=torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    chosen = matching_features(network(1, (28, 28)), digits)
    assert isinstance(chosen.network, Classifier)
    assert feature_facts(chosen)["features"].endswith(f"classifier {card.name}")
    assert isinstance(matching_features(network(3, (28, 28)), digits).network, Pixels)
    other = Dataset(name="others", pixels=digits.pixels)
    assert matching_features(network(1, (28, 6)), other).network.feature_dim == 36, "no side of the grid is longer than the image"
    assert matching_features(network(3, (28, 28)), other).network.feature_dim == 3 * 64
    classifier = weights.load("digits-classifier")
    assert suited(classifier, network(1, (28, 28))) is classifier
    with pytest.raises(SettingError, match=r"size \(28, 28\) and 1 channels; these have \(16, 16\) and 1"):
        suited(classifier, network(1))


def test_a_published_network_takes_grey_and_colour_images():
    published = MODELS["features"](classes=0).build()
    for channels in (1, 3):
        assert suited(published, network(channels)).network is published
    for channels in (2, 4):
        with pytest.raises(SettingError, match=f"takes grey or coloured images; these have {channels} channels"):
            suited(published, network(channels))


def test_a_classifier_is_not_measured_on_other_classes():
    two = Dataset(name="two", pixels=torch.zeros(2, 1, 28, 28, dtype=torch.uint8), labels=torch.tensor([0, 1]), classes=("a", "b"))
    with pytest.raises(SettingError, match="two has 2 classes, the classifier 10"):
        judge_classifier(weights.load("digits-classifier").network, two)


def test_generated_images_have_the_labels_of_their_seeds(untrained):
    data = generated(untrained("dcgan", classes=3, size=(16, 16)), 5, seed=4)
    assert data.labels.tolist() == [1, 2, 0, 1, 2]
    assert data.classes == ("0", "1", "2")
    assert data.pixels.shape == (5, 3, 16, 16)


def test_a_score_is_measured_on_the_classes_of_the_model_alone(untrained, bars):
    three = untrained("dcgan", classes=3, size=(8, 8), channels=1)
    assert check(three, bars) is bars
    with pytest.raises(SettingError, match="bars has 3 classes, the model 2"):
        check(untrained("dcgan", classes=2, size=(8, 8), channels=1), bars)


def test_the_floor_of_halves_compares_equal_numbers_and_needs_20_in_each():
    vectors = torch.randn(60, 2, generator=seeded_generator(0))
    for count, half in ((1000, 30), (25, 25), (20, 20)):
        report = floor_of_halves(vectors, {"features": "x"}, count=count, seed=0)
        assert {m.protocol.generated for m in report} == {half}
        assert all(m.name.startswith("floor_") for m in report)
    assert floor_of_halves(vectors, {"features": "x"}, count=19, seed=0) == []
    assert floor_of_halves(vectors[:39], {"features": "x"}, count=1000, seed=0) == []


@pytest.mark.parametrize("name", ["figures.json", "figures", "figures.JSON"])
def test_figures_are_written_as_json(name, tmp_path):
    assert output_files(tmp_path / name) == [tmp_path / name]
    assert output_files(None) == []
    with pytest.raises(SettingError, match=r"written as \.json"):
        output_files(tmp_path / "figures.png")


# Pairs.


class Distance(PerceptualMetric):
    channels, least = 3, 8

    def distance(self, images, reference):
        return (images - reference).abs().mean(dim=(1, 2, 3))


def test_pairs_are_of_neighbours_and_the_odd_one_is_left_out():
    images = torch.tensor([0.0, 0.5, 0.1, 0.2, 0.9])[:, None, None, None].expand(-1, 1, 8, 8)
    assert pairs(Distance(), images).tolist() == pytest.approx([0.5, 0.1])
    assert pairs(Distance(), to_bytes(images)).tolist() == pytest.approx([0.5, 0.1], abs=0.005)


def test_grey_images_are_compared_in_three_channels_and_four_are_refused():
    for channels in (1, 3):
        assert coloured(torch.zeros(2, channels, 8, 8), Distance()).shape == (2, 3, 8, 8)
    for channels in (2, 4):
        with pytest.raises(SettingError, match=f"these have {channels}"):
            coloured(torch.zeros(2, channels, 8, 8), Distance())


def test_partners_are_of_one_class_and_every_image_has_at_most_one():
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 1, 1, 0])
    chosen = partners(labels, seeded_generator(0))
    assert len(chosen) == 8
    assert len(chosen.unique()) == 8
    assert torch.equal(labels[chosen[::2]], labels[chosen[1::2]])
    assert not torch.equal(chosen, partners(labels, seeded_generator(1)))


# The search of an audit.


def search(distances, real, **changes):
    options = {"name": "copied", "others": list(range(len(distances))), "source": "some images"} | changes
    return Search(distances=torch.tensor(distances), real=torch.tensor(real), **options)


def test_flagged_is_what_is_nearer_than_the_threshold_and_the_nearest_come_first():
    found = search([3.0, 0.5, 1.0], [1.0, 2.0, 3.0, 4.0]).neighbours(seed=70)
    assert [(n.seed, n.other, n.distance, n.flagged) for n in found] == [(71, 1, 0.5, True), (72, 2, 1.0, False), (70, 0, 3.0, False)]


def test_a_share_has_its_threshold_and_numbers_in_the_protocol():
    share = search([3.0, 0.5, 1.0], [1.0, 2.0, 3.0, 4.0]).share(Protocol(reference="some"))
    assert share.value == pytest.approx(1 / 3)
    assert (share.protocol.generated, share.protocol.real, share.protocol.reference) == (3, 4, "some")
    assert share.protocol.settings == "threshold 1: none of some images is nearer"
    assert "20.0% would be by chance" in share.protocol.notes
    assert not share.higher_is_better


def test_two_images_that_flag_each_other_are_one_event():
    distances, real = [0.1] * 20 + [5.0] * 80, [float(i + 1) for i in range(100)]
    alone, mutual = search(distances, real), search(distances, real, mutual=True)
    assert alone.share(Protocol()).value == mutual.share(Protocol()).value == pytest.approx(0.2)
    width = [m.interval[1] - m.interval[0] for m in (alone.share(Protocol()), mutual.share(Protocol()))]
    assert width[1] == pytest.approx(width[0] * 2**0.5, rel=0.05)
    assert mutual.by_chance > alone.by_chance


def test_closeness_is_the_ratio_of_medians():
    assert search([1.0, 2.0, 9.0], [4.0, 4.0, 5.0]).closeness(Protocol()).value == 0.5
    assert search([1.0, 2.0, 9.0], [0.0, 0.0, 5.0]).closeness(Protocol()).value == math.inf
    assert search([1.0, 2.0], [4.0, 5.0, 6.0]).fewest == 2

"""One share and one estimate for a whole evaluation, and costs in proportion to the work."""

import dataclasses

import pytest
import torch
from torch import nn

from sfumato.core.progress import heard
from sfumato.core.rng import seeded_generator
from sfumato.data.dataset import Dataset
from sfumato.evaluation import audit_search, diversity, generators
from sfumato.evaluation.audit import audit
from sfumato.evaluation.evaluate import evaluate
from sfumato.evaluation.features import feature_operations
from sfumato.evaluation.stages import OVERHEAD, distance_operations, generate_images, image_operations, operations, stages
from sfumato.generation.generate import generate
from sfumato.metrics.features import Pixels
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.store.loaded import LoadedModel


class Distance(PerceptualMetric):
    """Mean squared difference, in colour."""

    channels, least = 3, 8

    def distance(self, images, reference):
        return (images - reference).square().mean(dim=(1, 2, 3))


def pixels(count, channels=3, seed=0):
    return torch.randint(0, 256, (count, channels, 16, 16), dtype=torch.uint8, generator=seeded_generator(seed))


@pytest.fixture
def real():
    return Dataset(name="some", pixels=pixels(120), labels=torch.arange(120) % 3, classes=tuple("012"))


def shares(work):
    """The share of the whole after each report of `work`."""
    moments = []
    with heard(moments.append):
        work()
    return moments


def test_the_share_of_an_evaluation_only_grows_from_its_first_report_to_1(untrained, real):
    network, report = untrained("vae", size=(16, 16), classes=3), []
    told = shares(lambda: report.extend(evaluate(network, real, features=Pixels(side=2), count=64, samples=3, images=20)))
    assert [m.name for m in report[:2]] == ["negative_log_likelihood", "frechet"]
    assert [m.protocol.real for m in report[:2]] == [20, 120]
    assert "against the 120 images of some" in report[1].protocol.notes
    parts = [moment.share for moment in told]
    assert parts == sorted(parts)
    assert 0 < parts[0] < 0.5
    assert parts[-1] == pytest.approx(1)
    assert len({moment.text for moment in told}) > 10
    assert all(moment.text.startswith("parts ") for moment in told)


def test_the_share_of_an_audit_only_grows_too(untrained, real):
    told = shares(lambda: audit(untrained("dcgan", size=(16, 16)), real, features=Pixels(side=4), count=40))
    parts = [moment.share for moment in told]
    assert parts == sorted(parts)
    assert 0 < parts[0] < 0.5
    assert parts[-1] == pytest.approx(1)
    assert all(moment.text.startswith("stages ") for moment in told)


def test_stages_count_for_their_costs_and_work_inside_for_its_share_of_them():
    def work():
        with stages("stages", {"long": 6.0, "none": 0.0, "short": 2.0}) as stage:
            with stage("long"), stages("steps", {"a": 1.0, "b": 2.0}) as step:
                with step("a"):
                    pass
                with step("b"):
                    pass
            with stage("none"):
                pass
            with stage("short"):
                pass

    assert [m.share for m in shares(work)] == pytest.approx([0.25, 0.75, 0.75, 0.75, 1.0])


def test_images_in_chunks_are_those_of_one_call(untrained):
    network = untrained("stylegan", size=(16, 16), classes=3)
    images = generate_images(network, 21, seed=5, device="cpu")
    assert torch.equal(images, generate(network, 21, seed=5, device="cpu"))


def test_operations_are_those_of_the_products():
    layer = torch.nn.Linear(10, 20, bias=False).train()
    assert operations(layer, lambda: layer(torch.ones(3, 10))) - OVERHEAD == 2 * 3 * 10 * 20
    assert layer.training
    assert operations(layer, lambda: None) == OVERHEAD > 0, "work without products takes time too"


def test_operations_of_an_image_and_of_its_features_are_counted_on_one(untrained, real):
    network = untrained("dcgan", size=(16, 16), classes=3)
    z, label = torch.zeros(1, network.latent_dim), torch.zeros(1, dtype=torch.long)
    assert image_operations(network) == operations(network, lambda: network.sample(z, label))
    assert feature_operations(Pixels(), real) == OVERHEAD


@pytest.mark.parametrize(("count", "dimension", "seconds"), [(2000, 64, 1.83), (4000, 64, 5.31), (2000, 512, 4.49), (4000, 512, 13.34)])
def test_distances_cost_what_was_measured_once(count, dimension, seconds):
    assert distance_operations(count, count, dimension) / 60e9 == pytest.approx(seconds, rel=0.1)


def test_distances_of_unequal_sets_cost_the_pairs_of_the_smaller():
    assert distance_operations(100, 50_000, 8) == distance_operations(50_000, 100, 8)
    small, large = distance_operations(1000, 1000, 8), distance_operations(1000, 50_000, 8)
    assert small < large < 30 * small


@pytest.fixture
def unit_costs(monkeypatch):
    """An image costs 10, its features 3, a comparison 7, and a distance of two sets one million."""
    for module in (generators, diversity, audit_search):
        for name, cost in (("image_operations", 10.0), ("feature_operations", 3.0), ("operations", 7.0), ("distance_operations", 1e6)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_, cost=cost: cost)


def with_classes(count):
    network = nn.Identity()
    network.classes = count
    return LoadedModel(network=network)


NETWORK = with_classes(3)


def test_a_generator_costs_its_images_their_features_and_the_distances(unit_costs, real):
    held_out, extractor = dataclasses.replace(real, pixels=pixels(50, seed=1), labels=None, classes=()), LoadedModel(network=Pixels())
    costs = generators.generator_operations
    base = 200 * 10 + 120 * 3 + 200 * 3 + 1e6
    assert costs(NETWORK, real, real, extractor, count=200) == base
    assert costs(NETWORK, real, held_out, extractor, count=200) == base + 50 * 3 + 1e6
    assert costs(NETWORK, real, held_out, extractor, count=200, halves=True) == base + 1e6
    assert costs(NETWORK, real, held_out, extractor, count=30) == 30 * 10 + 120 * 3 + 30 * 3 + 1e6 + 30 * 3 + 1e6


def test_diversity_costs_two_images_a_path_and_one_comparison_a_pair(unit_costs, real):
    count = 50
    paths, images, variety = 50 * (2 * 10 + 7), 2 * 50 * 10, 50 * 7
    assert diversity.diversity_operations(NETWORK, real, Distance(), count=count) == paths + images + 4 * variety
    unlabelled = dataclasses.replace(real, labels=None, classes=())
    assert diversity.diversity_operations(NETWORK, unlabelled, Distance(), count=count) == paths + images + 2 * variety
    plain = with_classes(0)
    assert diversity.diversity_operations(plain, unlabelled, Distance(), count=count) == paths + images + 2 * variety
    few = dataclasses.replace(real, pixels=real.pixels[:20], labels=None, classes=())
    assert diversity.diversity_operations(NETWORK, few, Distance(), count=count) == paths + images + variety + 10 * 7
    most = diversity.diversity_operations(NETWORK, unlabelled, Distance(), count=10**6)
    assert most == diversity.diversity_operations(NETWORK, unlabelled, Distance(), count=2000)


def test_an_audit_costs_features_of_images_and_of_their_mirror_images_and_all_distances(unit_costs, real):
    pair = 4 * Pixels(side=1).feature_dim
    assert pair == 12, "twice, for a product and a sum in each dimension, to an image and to its mirror image"
    held_out = dataclasses.replace(real, pixels=pixels(50, seed=1), labels=None, classes=())
    costs = audit_search._costs(NETWORK, Pixels(side=1), real, held_out, 100)
    assert costs == {
        "images": 1000,
        "features of training images": 360,
        "features of generated images": 300,
        "features of unseen images": 150,
        "distances of unseen images": 50 * (3 + 120 * 12),
        "distances of generated images": 100 * (3 + 120 * 12),
        "duplicates": 100 * 100 * 12,
    }
    alone = audit_search._costs(NETWORK, Pixels(side=1), real, real, 100)
    assert alone["features of unseen images"] == 0
    assert alone["distances of unseen images"] == 20 * (3 + 120 * 12), "twenty training images stand in"
    thousand = dataclasses.replace(real, pixels=pixels(1000), labels=None, classes=())
    assert audit_search._costs(NETWORK, Pixels(side=1), thousand, thousand, 100)["distances of unseen images"] == 100 * (3 + 1000 * 12)

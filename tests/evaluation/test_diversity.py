"""What is said of a generator by a network that compares two images."""

import dataclasses
import math

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation import benchmark
from sfumato.evaluation import diversity as job
from sfumato.evaluation.benchmark_degradations import benchmark_degradation
from sfumato.evaluation.diversity import paths, perceptual_diversity
from sfumato.evaluation.evaluate import evaluate
from sfumato.models.roles.perceptual_metric import PerceptualMetric


class Distance(PerceptualMetric):
    """Mean squared difference, in colour."""

    channels, least = 3, 8

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def distance(self, images, reference):
        return self.weight * (images - reference).square().mean(dim=(1, 2, 3))


@pytest.fixture
def real():
    pixels = torch.randint(0, 256, (300, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Dataset(name="some", pixels=pixels)


@pytest.mark.parametrize(("kind", "classes"), [("stylegan", 0), ("stylegan", 3), ("vae", 0), ("dcgan", 3)])
def test_every_generator_has_a_path_length_and_variety(kind, classes, untrained, real):
    network = untrained(kind, classes=classes, size=(16, 16))
    report = {m.name: m for m in perceptual_diversity(network, real, Distance(), name="mean square", count=120, seed=0)}
    assert report.keys() == {f"path_length_{'w' if kind == 'stylegan' else 'z'}", "variety", "real_variety"}
    assert all(math.isfinite(m.value) and m.value > 0 for m in report.values())
    assert report["real_variety"].value == pytest.approx(1 / 6, rel=0.05), "of two uniform numbers"
    assert report["variety"].protocol.generated == 240


def test_a_generator_that_makes_one_image_of_each_class_is_found_out(untrained, real, monkeypatch):
    network = untrained("dcgan", classes=3, size=(16, 16))
    real = dataclasses.replace(real, labels=torch.arange(300) % 3, classes=tuple("012"))
    one = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(job, "generate_images", lambda network, count, seed, device: one[torch.arange(seed, seed + count) % 3])
    report = {m.name: m.value for m in perceptual_diversity(network, real, Distance(), name="mean square", count=120, seed=4)}
    assert report["variety"] == pytest.approx(1 / 6 * 2 / 3, rel=0.15)
    assert report["variety_in_class"] == 0
    assert report["real_variety_in_class"] == pytest.approx(1 / 6, rel=0.05)


def test_both_ends_of_a_path_are_of_one_class_and_every_class_has_its_share(untrained, monkeypatch):
    network = untrained("dcgan", classes=3, size=(16, 16))
    seen, sample = [], network.sample
    monkeypatch.setattr(network, "sample", lambda z, labels=None: seen.append(labels) or sample(z, labels))
    assert len(paths(network, Distance(), space="z", count=100, rng=torch.Generator().manual_seed(0))) == 100
    assert all(len(labels.unique()) == 1 for labels in seen)
    assert torch.cat(seen).bincount().tolist() == [68, 66, 66]


def test_the_length_is_that_of_the_slope(untrained):
    """Of a mean square distance it is |dx/dt|² per number, whatever epsilon."""
    network = untrained("stylegan", size=(16, 16))
    rng = torch.Generator().manual_seed(1)
    (found,) = paths(network, Distance(), space="w", count=1, rng=torch.Generator().manual_seed(1))
    a, b = (network.map_latent(torch.randn(1, network.latent_dim, generator=rng))[:, 0] for _ in range(2))
    t = torch.rand(1, generator=rng, dtype=torch.float64).float()
    ends = [network.synthesize((a + (b - a) * (t + step))[:, None].expand(-1, network.styles, -1)) for step in (0, 1e-3)]
    slope = (ends[1] - ends[0]) / 1e-3
    assert found.item() == pytest.approx(slope.square().mean().item(), rel=0.05)


def test_too_few_pairs_and_networks_that_compare_nothing_are_refused(untrained, real):
    with pytest.raises(SettingError, match="at least 100"):
        perceptual_diversity(untrained("vae", size=(16, 16)), real, Distance(), name="some", count=50, seed=0)
    with pytest.raises(SettingError, match="lpips-squeeze"):
        job.comparer("fashion")
    with pytest.raises(SettingError, match="1 or 3 channels"):
        job.coloured(torch.zeros(1, 4, 16, 16), Distance())


def test_evaluate_and_the_trials_of_restorers_report_it(untrained, real, monkeypatch):
    monkeypatch.setattr("sfumato.evaluation.evaluate.comparer", lambda name, count: Distance())
    names = [m.name for m in evaluate(untrained("vae", size=(16, 16)), real, compare="some", count=120, samples=2)]
    assert names[-3:] == ["path_length_z", "variety", "real_variety"]
    monkeypatch.setattr(benchmark, "comparer", lambda name: Distance())
    pictures = Dataset(name="some", pixels=real.pixels[:2])
    report = {m.name: m for m in benchmark.judge("median", "salt-and-pepper:30", pictures, compare="some")}
    assert report["lpips_before"].value > 0
    assert report["lpips"].protocol.features == "some"
    assert not report["lpips"].higher_is_better
    clean = to_images(pictures.pixels)
    spoiled = torch.cat([benchmark_degradation("salt-and-pepper:30").degrade(x[None], 0).images for x in clean])
    assert report["lpips_before"].value == pytest.approx((spoiled - clean).square().mean().item(), rel=1e-3)

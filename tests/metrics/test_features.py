"""Features: order, batches, devices, modes; and a fingerprint that changes exactly when the network does."""

import pytest
import torch
from torch import nn

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_bytes
from sfumato.metrics.features import Pixels, describe, weights_hash
from sfumato.models.roles.feature_extractor import FeatureExtractor


class Tiny(FeatureExtractor):
    """Records how it is asked."""

    def __init__(self, seed=0):
        super().__init__()
        self.feature_dim, self.batches = 4, []
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 16 * 16, 4, bias=False))
        self.register_buffer("scale", torch.ones(1))
        with torch.no_grad():
            self.layers[2].weight.normal_(generator=seeded_generator(seed))

    def features(self, images):
        self.batches.append(len(images))
        return self.layers(images)


def test_features_come_in_order_whatever_the_batch(photos):
    network = Tiny()
    whole = describe(network, photos)
    assert whole.shape == (8, 4)
    assert not whole.requires_grad
    torch.testing.assert_close(describe(network, photos, batch=3), whole)
    assert network.batches == [8, 3, 3, 2]


def test_a_stream_of_batches_is_the_same_as_one_tensor(photos):
    network = Tiny()
    torch.testing.assert_close(describe(network, (p for p in photos.split([1, 5, 2])), batch=4), describe(network, photos))
    assert network.batches[:4] == [1, 4, 1, 2]


def test_bytes_are_taken_for_images(photos):
    stored = to_bytes(photos)
    torch.testing.assert_close(describe(Tiny(), stored), describe(Tiny(), stored.float() / 255), rtol=0, atol=0)


def test_dropout_is_off_inside_and_on_again_after(photos):
    network = Tiny().train()
    assert torch.equal(describe(network, photos), describe(network, photos))
    assert network.training
    assert network.layers[1].training


def test_nothing_to_describe_is_refused(photos):
    with pytest.raises(DataError, match="no images"):
        describe(Tiny(), iter([]))
    with pytest.raises(SettingError, match="batch = 0"):
        describe(Tiny(), photos, batch=0)


def test_the_fingerprint_changes_exactly_when_the_network_does():
    first = weights_hash(Tiny())
    assert first == weights_hash(Tiny().eval().requires_grad_(False))
    assert len(first) == 64
    others = [Tiny(seed=1), Tiny(), Tiny().double(), Pixels()]
    with torch.no_grad():
        others[1].scale += 1e-6
    assert len({first, *map(weights_hash, others)}) == 5


def test_the_fingerprint_reads_every_type_and_layout_in_any_order():
    a, b = nn.Module(), nn.Module()
    for module, names in ((a, "xy"), (b, "yx")):
        for name in names:
            module.register_buffer(name, torch.zeros(2))
    assert weights_hash(a) == weights_hash(b)
    b.x = torch.zeros(2, dtype=torch.int32)
    assert weights_hash(a) != weights_hash(b)
    network = nn.Conv2d(3, 4, 3)
    before = weights_hash(network)
    assert weights_hash(network.to(memory_format=torch.channels_last)) == before
    assert weights_hash(network.to(torch.bfloat16)) != before


def test_pixels_are_local_means():
    images = torch.arange(32.0).view(1, 2, 4, 4) / 32
    assert describe(Pixels(channels=2, side=2), images)[0, :2].tolist() == pytest.approx([2.5 / 32, 4.5 / 32])
    assert Pixels(channels=2, side=2).feature_dim == 8

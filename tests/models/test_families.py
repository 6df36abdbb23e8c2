"""What is particular to one family of networks."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.models import MODELS

SMALL = {"size": (16, 16), "channels": 1, "classes": 3}


def test_labels_change_the_generators_image_and_a_trained_discriminators_logit():
    net = MODELS["dcgan"](**SMALL, width=4, discriminator_width=4, latent_dim=5).build().eval()
    z, images, (one, two) = torch.randn(4, 5), torch.rand(4, 1, 16, 16), torch.arange(8).reshape(2, 4) % 3
    assert not torch.equal(net.sample(z, one), net.sample(z, two))
    assert torch.equal(net.discriminate(images, one).logit, net.discriminate(images, two).logit), "the projection of labels starts at zero"
    torch.nn.init.ones_(net.discriminator.projection.weight[1:2])
    assert not torch.equal(net.discriminate(images, one).logit, net.discriminate(images, two).logit)


def test_a_small_difference_between_large_logits_survives_bf16():
    net = MODELS["dcgan"](**SMALL, discriminator_width=4).build().eval()
    images, labels = torch.rand(4, 1, 16, 16), torch.arange(4) % 3
    spread = []
    for offset in (0.0, 100.0):
        torch.nn.init.constant_(net.discriminator.score.bias, offset)
        with torch.autocast("cpu", torch.bfloat16):
            logit = net.discriminate(images, labels).logit
        spread.append(logit - logit.mean())
    assert spread[0].std() > 0
    torch.testing.assert_close(spread[1], spread[0], rtol=0, atol=1e-4)


def test_without_a_discriminator_it_samples_the_same_and_says_why_it_cannot_judge():
    whole = MODELS["dcgan"](**SMALL, width=4, discriminator_width=4).build().eval()
    slim = MODELS["dcgan"](**SMALL, width=4, discriminator_width=0).build().eval()
    slim.load_state_dict({k: v for k, v in whole.state_dict().items() if k.startswith("generator.")})
    z, labels = torch.randn(3, 64), torch.arange(3)
    assert torch.equal(slim.sample(z, labels), whole.sample(z, labels))
    with pytest.raises(SettingError, match="no discriminator"):
        slim.discriminate(torch.rand(3, 1, 16, 16), labels)


def test_the_classic_form_starts_from_the_papers_weights_and_keeps_to_its_range():
    net = MODELS["dcgan"](**{**SMALL, "classes": 0}, width=32, output="up-tanh", normalise="batch", init="normal").build()
    kernels = [w for name, w in net.named_parameters() if w.ndim == 4]
    assert all(0.015 < w.std().item() < 0.025 for w in kernels)
    images = net.sample(torch.randn(8, 64) * 100)
    assert 0 <= images.min().item() < images.max().item() <= 1


def test_dropout_is_for_training_alone():
    net = MODELS["classifier"](**SMALL, widths=(4,), hidden=(32,), dropout=0.5).build()
    images = torch.rand(4, 1, 16, 16)
    assert not torch.equal(net.train().classify(images), net.classify(images))
    assert torch.equal(net.eval().classify(images), net.classify(images))


def test_scores_are_a_function_of_the_features():
    net = MODELS["classifier"](**SMALL, widths=(4, 8), hidden=(16, 6)).build().eval()
    features = net.features(torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (4, 6)
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net.scores(features), net.classify(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "must be at least 2"),
        ({"widths": (4,) * 6}, "6 stages are too many for images of 16 x 16"),
    ],
)
def test_a_classifier_that_cannot_be_says_why(change, message):
    with pytest.raises(SettingError, match=message):
        MODELS["classifier"](**{**SMALL, **change}).build()


@pytest.mark.parametrize(
    ("change", "message"), [({"kernel": 4}, "must be odd"), ({"widths": ()}, "at least one number"), ({"hidden": ()}, "at least")]
)
def test_classifier_settings_that_contradict_themselves_are_refused(change, message):
    with pytest.raises(SettingError, match=message):
        MODELS["classifier"](**{**SMALL, **change})

"""Images with the channels that a network takes."""

import pytest
import torch

from sfumato.nn.channels import average_channels, colourless, separate_channels

IMAGES = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("adapt", [average_channels, separate_channels])
def test_images_that_fit_are_the_same_object(adapt):
    assert adapt(IMAGES, 3) is IMAGES


@pytest.mark.parametrize("adapt", [average_channels, separate_channels])
def test_grey_is_repeated_for_networks_of_colour(adapt):
    assert torch.equal(adapt(IMAGES[:, :1], 3), IMAGES[:, :1].expand(2, 3, 4, 5))


def test_colour_is_averaged_or_taken_apart_for_networks_of_grey():
    assert torch.equal(average_channels(IMAGES, 1), IMAGES.mean(dim=1, keepdim=True))
    apart = separate_channels(IMAGES, 1)
    assert apart.shape == (6, 1, 4, 5)
    assert torch.equal(apart.reshape(IMAGES.shape), IMAGES)


def test_images_of_equal_channels_are_colourless():
    grey = IMAGES[:1, :1].expand(1, 3, 4, 5)
    assert colourless(torch.cat([IMAGES[:1], grey])).tolist() == [False, True]

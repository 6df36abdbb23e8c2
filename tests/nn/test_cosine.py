"""Cosine transforms: scipy's, images that come back from their squares, and noise of known power."""

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.nn.cosine import SIDE, STRIDE, cosine_matrix, from_squares, square_transform


@pytest.mark.parametrize("length", [1, 3, 8, 16])
def test_the_matrix_is_the_cosine_transform_of_scipy(length):
    values = np.random.default_rng(0).normal(size=length)
    assert np.allclose(cosine_matrix(length).numpy() @ values, scipy.fft.dct(values, norm="ortho"))


@given(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40))
def test_images_of_any_size_come_back_from_their_squares(n, c, h, w):
    images = torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(h * 41 + w))
    squares = square_transform(images)
    assert squares.shape == (n, c, -(-h // STRIDE) + 3, -(-w // STRIDE) + 3, SIDE, SIDE)
    assert torch.allclose(from_squares(squares, (h, w)), images, atol=1e-5)


def test_a_square_inside_is_the_transform_of_its_pixels():
    image = torch.rand(1, 1, 40, 44, generator=torch.Generator().manual_seed(0))
    inside = image[0, 0, 8:24, 12:28].numpy()  # the square that begins 12 pixels before the image is number 0
    assert np.allclose(square_transform(image)[0, 0, 5, 6].numpy(), scipy.fft.dctn(inside, norm="ortho"), atol=1e-5)


def test_white_noise_has_the_same_power_at_all_frequencies_and_in_all_channels():
    noise = torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)) * 0.1
    powers = square_transform(noise)[:, :, 3:-3, 3:-3].square().mean(dim=(0, 2, 3))
    assert powers.shape == (3, SIDE, SIDE)
    assert (powers / 0.01 - 1).abs().max().item() < 0.2
    assert (powers.mean(dim=(1, 2)) / 0.01 - 1).abs().max().item() < 0.02

"""Samples of 16 bits as 8 bits: one rule for files, previews, compressed pictures and pages."""

import numpy as np
import torch

import sfumato as sf
from sfumato.io.bit_depth import eight_bits


def test_16_bits_become_the_nearest_8_bits():
    samples = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).reshape(256, 256, 1)
    nearest = np.rint(samples.numpy() * (255 / 65535)).astype(np.uint8)
    assert np.array_equal(eight_bits(samples).numpy(), nearest)
    assert samples.numpy()[255, 255, 0] == 65535, "the argument is not changed"


def test_8_bits_stay_and_widened_samples_come_back():
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(eight_bits(stored), stored)
    wide = torch.from_numpy(stored.numpy().astype(np.uint16) * np.uint16(257))
    assert torch.equal(sf.Picture(pixels=wide.reshape(16, 16, 1)).in_8_bits().flatten(), stored)

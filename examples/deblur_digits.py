"""Trains CVANet's gated convolutions to sharpen blurred digits and measures the gain in dB.

    python deblur_digits.py
    python deblur_digits.py images=20000 model.channel_gate=mean

MNIST (11 MB) is downloaded once; the whole training takes about eight minutes. Arguments are settings of the recipe `deblur-digits`.
"""

import sys

import torch

import sfumato as sf
from sfumato.core.tensors import to_images
from sfumato.metrics.fidelity import psnr

settings = sf.override(sf.recipe("deblur-digits"), *sys.argv[1:])
model = sf.fit(settings, run="runs/deblur-digits")

digits = to_images(sf.load_dataset(settings.data, part="test").pixels[:256])  # digits that the training did not see, in [0, 1]
blurred = sf.degrade(settings.degrade, digits, rng=torch.Generator().manual_seed(0)).images
restored = sf.apply_restorer(model, blurred).clamp(0, 1)
print(f"blurred {psnr(blurred.clamp(0, 1), digits).mean():.2f} dB, restored {psnr(restored, digits).mean():.2f} dB")

"""Trains a GAN on a folder or a zip of pictures and draws sixteen new ones.

    python train_gan.py photos/ budget=30min
    python train_gan.py photos/ images=20000 model.size=[32,32]

The same command again continues an interrupted run. Arguments behind the folder are settings of the recipe `dcgan`.
"""

import sys

import sfumato as sf

folder, *changes = sys.argv[1:]
settings = sf.override(sf.recipe("dcgan"), f"data={folder}", *changes)
model = sf.fit(settings, run="runs/gan")

images = sf.generate(model, n=16, seed=0)  # a tensor (16, channels, height, width) in [0, 1]; seed i always gives the same image
images.save("gan.png")
print(f"{tuple(images.shape)} in gan.png; sfumato generate runs/gan draws more")

"""Trains a variational auto-encoder and makes a film that walks through its latent space.

    python vae_latent_walk.py data=photos/ budget=20min
    python vae_latent_walk.py data=mnist images=200000

Arguments are settings of the recipe `vae`. Without `data` it learns letters that the toolkit draws.
"""

import sys

import sfumato as sf

settings = sf.override(sf.recipe("vae"), *sys.argv[1:])
model = sf.fit(settings, run="runs/vae")

sf.generate(model, n=16).save("vae.png")
frames = sf.interpolate(model, seeds=(0, 1, 2, 3), steps=24)  # from seed to seed and back to the first
frames.save("walk.gif", fps=12, enlarge=4)
print(f"{len(frames)} frames in walk.gif")

"""Trains a GAN on digits with their labels and draws eight images of each class.

    python conditional_digits.py budget=10min
    python conditional_digits.py data=photos/ budget=30min

MNIST (11 MB) is downloaded once. `data` takes any folder with one sub-folder for each class. Arguments are settings of the recipe `digits`.
"""

import sys

import sfumato as sf

settings = sf.override(sf.recipe("digits"), *sys.argv[1:])
model = sf.fit(settings, run="runs/conditional")

for name in model.card.data.classes:
    images = sf.generate(model, n=8, label=name)  # the same eight seeds for every class
    images.save(f"classes/{name}.png")
    print(f"classes/{name}.png: mean brightness {images.mean():.2f}")

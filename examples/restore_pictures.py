"""Restores pictures in Python: measures the damage, repairs one picture, fills a hole, then repairs a whole folder.

    python restore_pictures.py photos/ restored/

Nothing is trained: the bundled networks do the work.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import sfumato as sf

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
first = min(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".png", ".webp", ".tif"})

print(f"{first.name}: {sf.diagnose(first).sentence()}")
clean = sf.restore(first, task="denoise")  # a PIL image; an array gives an array, a tensor a tensor
clean.save(out / "one" / f"{first.stem}.png")

picture = Image.open(first).convert("RGB")
mask = np.zeros((picture.height, picture.width), dtype=bool)
mask[picture.height // 3 : picture.height // 2, picture.width // 3 : picture.width // 2] = True  # True where pixels are to be filled in
sf.restore(picture, task="inpaint", mask=mask).save(out / "one" / f"{first.stem}-filled.png")

for entry in sf.restore_pictures([folder], out / "all", sf.RestorationRequest(task="auto")):
    print(f"{entry.source}: {entry.status}, {entry.message}")

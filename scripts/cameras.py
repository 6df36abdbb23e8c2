"""Draws docs/pictures/camera-noise.jpg: crops of scikit-image's photographs as cameras show them at three ISO speeds.

python -m scripts.cameras
"""

from pathlib import Path

import torch
from skimage import data

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, to_pixels
from sfumato.degradations import camera
from sfumato.degradations.base import degrade
from sfumato.io.files import save_image

TARGET = Path("docs/pictures/camera-noise.jpg")
CROPS = {"astronaut": (20, 150), "coffee": (150, 210), "chelsea": (70, 150)}
"""Top and left of the crop of each photograph."""
SIDE = 144
SPEEDS = (400.0, 1600.0, 6400.0)
SENSORS = {"telephone": 5_000.0, "full frame": 60_000.0}
"""Electrons of a white pixel at ISO 100."""


def crop(name: str) -> Images:
    """The part of the photograph called `name` that is shown."""
    top, left = CROPS[name]
    pixels = torch.from_numpy(getattr(data, name)()[top : top + SIDE, left : left + SIDE].copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


def main() -> None:
    clean = torch.cat([crop(name) for name in CROPS])
    rows = [clean]
    for electrons in SENSORS.values():
        for iso in SPEEDS:
            config = camera.Config(iso=(iso, iso), full_well=(electrons, electrons), scaled=0.0, compressed=1.0)
            rows.append(degrade(config, clean, rng=seeded_generator(0, "camera", int(iso))).images.clamp(0, 1))
    # A column for each camera and speed, a row for each photograph.
    sheet = torch.stack(rows, dim=1).flatten(0, 1)
    save_image(TARGET, to_pixels(sheet, columns=len(rows)))


if __name__ == "__main__":
    main()

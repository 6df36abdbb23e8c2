"""Changes a generated image along directions that the network itself has, then drags a point of it.

    python edit_and_drag.py                 # the bundled garments, seed 3
    python edit_and_drag.py runs/gan 0      # a generator of yours, and a seed

Without a seed of your own, look for one first: sfumato generate fashion -n 64
"""

import sys

import sfumato as sf

name, seed = sys.argv[1:] if len(sys.argv) == 3 else ("fashion", "3")
network = sf.load(name)

axes = sf.directions(network, "closed-form", count=4)
axes.save("directions.safetensors")  # and a contact sheet, directions.png
print("directions:", ", ".join(axes.names))

edited = sf.edit(network, int(seed), ["0=2", "1=-1"], directions=axes)  # two and minus one standard deviations
edited.save("edited.png")  # before and after; edited.json repeats the edit

height, width = edited.images.shape[2:]
point, target = (width // 2, height // 3), (width // 2, height // 3 + 2)  # (column, row)
dragged = sf.drag(network, edited.latent_image, points=[point], targets=[target], steps=20)
dragged.save("dragged.png")
print(f"the point is {dragged.distance:.1f} pixels from its target after {dragged.steps} steps")

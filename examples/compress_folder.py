"""Trains a codec on a folder of pictures, compresses the folder with it, and opens the files again.

    python compress_folder.py photos/ small/ budget=1h

Arguments behind the folders are settings of the recipe `codec`. Pictures need sides of at least `patch` pixels (128).
"""

import sys
from pathlib import Path

import sfumato as sf

folder, out, *changes = sys.argv[1:]
sf.fit(sf.override(sf.recipe("codec"), f"data={folder}", *changes), run="runs/codec")
codec = "runs/codec"

entries = sf.compress_pictures([folder], out, sf.CompressionRequest(quality=40, model=codec))
for entry in entries:
    print(f"{entry.source}: {entry.status}, {entry.message}")

first = Path(next(entry.out for entry in entries if entry.out))
image = sf.decompress(first.read_bytes(), model=codec)  # a PIL image; a file needs the codec that wrote it
image.save(first.with_suffix(".png"))
print(f"{first.name}: {first.stat().st_size} bytes, {8 * first.stat().st_size / (image.width * image.height):.2f} bits per pixel")

"""Restores a picture of any size with an exported network: numpy, onnxruntime and Pillow alone.

    sfumato export restore --out restore.onnx
    python restore_onnx.py restore.onnx photo.jpg clean.png --tile 512

The picture is computed in tiles, each with as much of its surroundings as a pixel of the result depends on, so that tiles and the whole
picture give the same result.
"""

import argparse
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def restore(path: str, picture: Image.Image, *, tile: int, noise: float = 0.0) -> Image.Image:
    """The restored picture. `noise` is the standard deviation of the noise in grey levels, for networks that want to be told it."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["sfumato"])["network"]
    scale, multiple, radius = facts["scale"], facts["tile_multiple"], facts.get("receptive_radius")
    pixels = np.asarray(picture.convert("L" if facts["channels"] == 1 else "RGB"), dtype=np.float32) / 255
    image = np.atleast_3d(pixels).transpose(2, 0, 1)[None]  # batch, channels, height, width
    height, width = image.shape[2:]
    # Sides become multiples of what the network needs, continued by their mirror image.
    image = np.pad(image, [(0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)], mode="symmetric")
    tall, wide = image.shape[2:]
    step = max(tall, wide) if radius is None else max(1, tile // multiple) * multiple
    reach = 0 if radius is None else -(-radius // multiple) * multiple
    result = np.empty((image.shape[1], tall * scale, wide * scale), dtype=np.float32)
    for top in range(0, tall, step):
        for left in range(0, wide, step):
            bottom, right = min(tall, top + step), min(wide, left + step)
            first, begin = max(0, top - reach), max(0, left - reach)
            part = image[:, :, first : min(tall, bottom + reach), begin : min(wide, right + reach)]
            inputs = {"degraded": part}
            if facts["conditioning"]:
                values = {"noise": noise / 255, "observed": 1.0, "quality": 0.5}
                planes = [np.full_like(part[:, :1], values[name]) for name in facts["conditioning"]]
                inputs["planes"] = np.concatenate(planes, axis=1)
            (output,) = session.run(None, inputs)
            inner = output[0, :, (top - first) * scale : (bottom - first) * scale, (left - begin) * scale : (right - begin) * scale]
            result[:, top * scale : bottom * scale, left * scale : right * scale] = inner
    restored = (result[:, : height * scale, : width * scale].clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(restored[0] if len(restored) == 1 else np.ascontiguousarray(restored.transpose(1, 2, 0)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model"), parser.add_argument("picture"), parser.add_argument("out")
    parser.add_argument("--tile", type=int, default=512, help="side of the tiles in pixels, without their surroundings")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of the noise in grey levels")
    options = parser.parse_args()
    picture = ImageOps.exif_transpose(Image.open(options.picture))
    restore(options.model, picture, tile=options.tile, noise=options.noise).save(options.out)


if __name__ == "__main__":
    main()

"""The codec beside JPEG, WebP and AVIF: rates and errors of real files, and the time and memory of its work.

python -m benchmarks.codec runs/codec --data bsds500               # rate-distortion tables and BD-rates on the test part
python -m benchmarks.codec runs/codec --data photos --effort refine --count 8
python -m benchmarks.codec codec --data bsds500 --effort max --count 4 --qualities 15 30 45 60
python -m benchmarks.codec runs/codec --time                       # seconds for 768 x 512 pixels
python -m benchmarks.codec runs/codec --large 100                  # megapixels: seconds and peak memory
python -m benchmarks.codec runs/codec --mutate 2000                # changed and cut files: crashes and silent errors
"""

import argparse
import random
import resource
import time

import numpy as np
import torch

from sfumato.cli.rates import show_curves
from sfumato.cli.terminal import console
from sfumato.compression.compress import compress, compressed, opened_codec
from sfumato.compression.decompress import decompress, decompressed
from sfumato.compression.request import CompressionRequest
from sfumato.compression.source import Source
from sfumato.core.device import instructions
from sfumato.core.errors import SfumatoError
from sfumato.evaluation.codecs import evaluate_codec


def pixels(height, width, seed=0):
    """A picture of waves, edges and noise, made row by row: a large one must not take more memory than the codec."""
    rng, columns = np.random.default_rng(seed), np.arange(width)
    picture = torch.empty(height, width, 3, dtype=torch.uint8)
    for row in range(height):
        waves = [np.sin(row / (17 + 5 * c)) + np.cos(columns / (23 - 4 * c)) + ((row // 97 + columns // 71) % 2) for c in range(3)]
        shades = 128 + 45 * np.stack(waves, axis=1) + rng.integers(-6, 7, (width, 3))
        picture[row] = torch.from_numpy(np.clip(shades, 0, 255).astype(np.uint8))
    return picture


def timed(model, height, width):
    """Prints processor seconds of both ways, and the peak memory of the process."""
    network, source = opened_codec(model).network, Source(pixels=pixels(height, width), grey=False)
    for quality in (30, 60):
        began = time.process_time()
        data = compressed(source, lambda: network, CompressionRequest(quality=quality))
        encoded = time.process_time()
        decompressed(data, lambda: network)
        decoded = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{width} x {height}, quality {quality}: {8 * len(data) / height / width:.3f} bits per pixel, "
            f"encode {encoded - began:.2f} s, decode {decoded - encoded:.2f} s, peak memory {peak:.2f} GB"
        )

    print(instructions())


def mutations(model, count):
    """Prints what became of changed and cut files."""
    opened, rng = opened_codec(model), random.Random(0)
    data = compress(pixels(96, 128).numpy(), quality=40, model=opened)
    whole = np.asarray(decompress(data, model=opened))
    outcomes = dict.fromkeys(("refused", "told", "unchanged", "silent", "crashed"), 0)
    for _ in range(count):
        content = bytearray(data)
        place = rng.randrange(len(content))
        if rng.random() < 0.3:
            del content[place:]
        else:
            content[place] ^= rng.randrange(1, 256)
        try:
            image = decompress(bytes(content), model=opened)
        except SfumatoError:
            outcomes["refused"] += 1
        except Exception as error:
            outcomes["crashed"] += 1
            print(f"crash: {type(error).__name__}: {error}")
        else:
            same = np.array_equal(np.asarray(image), whole)
            outcomes["told" if image.damage else "unchanged" if same else "silent"] += 1
    print(outcomes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", default="bsds500")
    parser.add_argument("--effort", default="fast", choices=("fast", "refine", "max"))
    parser.add_argument("--tune", default="psnr", choices=("psnr", "ms-ssim"))
    parser.add_argument("--count", type=int)
    parser.add_argument("--qualities", type=int, nargs="+", default=[5, 15, 25, 35, 45, 55, 65, 75])
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--large", type=float, metavar="MEGAPIXELS")
    parser.add_argument("--mutate", type=int, metavar="FILES")
    arguments = parser.parse_args()
    if arguments.time:
        timed(arguments.model, 512, 768)
    elif arguments.large:
        side = int((arguments.large * 1e6) ** 0.5)
        timed(arguments.model, side, side)
    elif arguments.mutate:
        mutations(arguments.model, arguments.mutate)
    else:
        options = {"effort": arguments.effort, "tune": arguments.tune, "count": arguments.count, "qualities": arguments.qualities}
        show_curves(evaluate_codec(arguments.model, arguments.data, **options), console)


if __name__ == "__main__":
    main()

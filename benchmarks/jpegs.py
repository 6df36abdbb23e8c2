"""How much nearer to the truth does `restore` bring photographs that were saved as JPEGs?

Photographs of BSDS500's val part, which nobody trains on, halved (they have been JPEGs themselves), are saved by Pillow at each quality and
go through `--task auto` as files do. Printed in dB are the mean gain in all channels and in luma alone, the same after saving the result at
quality 95 again, and the least gain of any photograph: 0 of one that was left alone.

    python -m benchmarks.jpegs [photographs] [qualities, joined by commas] [full] [noise:SIGMA]

With "full" the photographs are not halved: the JPEGs that they have been are the truth then. With "noise:20", white noise of a standard
deviation of 20/255 was in them before they were saved.
"""

import io
import sys

import numpy as np
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.device import instructions, keep_memory
from sfumato.core.tensors import Images, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.metrics.fidelity import psnr
from sfumato.nn.channels import luma
from sfumato.nn.resample import shrink

QUALITIES = (10, 20, 40, 60, 70, 75, 80, 85, 90, 95)


def saved(images: Images, quality: int) -> bytes:
    """The JPEG that Pillow writes of one picture."""
    pixels, file = to_bytes(images)[0].permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def shown(file: bytes, channels: int) -> Images:
    """The pixels of a JPEG."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB" if channels == 3 else "L"))
    return to_images(torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels).copy()).permute(2, 0, 1)[None])


def gains(clean: Images, quality: int, sigma: float) -> tuple[float, float, float]:
    """The gain of one picture in all channels, in luma, and in all channels after saving again; `sigma`, of 255, is the noise in it."""
    noisy = clean + sigma / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    file, channels = saved(noisy.clamp(0, 1), quality), clean.shape[1]
    before, restored = shown(file, channels), sf.restore(file)
    after = shown(saved_losslessly(restored), channels)
    again = shown(saved(after, 95), channels) if not after.equal(before) else before
    bright = luma(clean)
    whole = psnr(after, clean) - psnr(before, clean)
    return float(whole), float(psnr(luma(after), bright) - psnr(luma(before), bright)), float(psnr(again, clean) - psnr(before, clean))


def saved_losslessly(picture: Image.Image) -> bytes:
    """The PNG of a picture."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def main(photographs: int, qualities: list[int], *, halved: bool, sigma: float) -> None:
    keep_memory()
    for channels, name in ((3, "colour"), (1, "grey")):
        pictures = load_scenes("bsds500", channels=channels, part="test", largest=None).pictures
        chosen = pictures[:: max(1, len(pictures) // photographs)][:photographs]
        size = "halved" if halved else "whole"
        print(f"\n{len(chosen)} photographs in {name}, {size}, noise of {sigma:g}/255 ({instructions()})\n")
        print("| quality | all channels | luma | saved again | least | changed |")
        print("|---|---|---|---|---|---|")
        for quality in qualities:
            rows = []
            for picture in chosen:
                whole = to_images(picture[None])
                rows.append(gains(to_images(to_bytes(shrink(whole, 2, method="area"))) if halved else whole, quality, sigma))
            table = torch.tensor(rows)
            means, least, changed = table.mean(dim=0).tolist(), table[:, 0].min().item(), int((table[:, 0] != 0).sum())
            print(f"| {quality} | {' | '.join(f'{gain:+.2f}' for gain in means)} | {least:+.2f} | {changed} |", flush=True)


if __name__ == "__main__":
    numbers = [word for word in sys.argv[1:] if word != "full" and not word.startswith("noise:")]
    main(
        int(numbers[0]) if numbers else 20,
        [int(quality) for quality in numbers[1].split(",")] if len(numbers) > 1 else list(QUALITIES),
        halved="full" not in sys.argv,
        sigma=next((float(word.removeprefix("noise:")) for word in sys.argv if word.startswith("noise:")), 0.0),
    )

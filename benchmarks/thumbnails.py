"""How well are small JPEGs and noisy pictures enlarged, and by which factor by what?

    python -m benchmarks.thumbnails [photographs]            # of JPEGs: bicubic, one network, repair then network, and `restore`
    python -m benchmarks.thumbnails grey [photographs]       # the same in grey
    python -m benchmarks.thumbnails factors [photographs]    # of clean pictures, by factors between and beyond the networks'
    python -m benchmarks.thumbnails MODEL [photographs]      # the first table with a network of one's own in a column more
    python -m benchmarks.thumbnails noise [photographs]      # with white noise, grain or a camera's, also under JPEG 70, in colour and grey
    python -m benchmarks.thumbnails look [photographs]       # of clean pictures, PSNR and LPIPS by both looks
    python -m benchmarks.thumbnails look MODEL FOLDER        # the same with another network for the sharp look, of a folder's pictures

Photographs of BSDS500's val, which no bundled network was trained on, are cropped, shrunk with MATLAB's bicubic, saved as JPEGs and
enlarged again. Printed is the PSNR of the colours in dB, without a border of as many pixels as the factor, and of the first tables the
processor's seconds; LPIPS is that of SqueezeNet.
"""

import functools
import itertools
import sys
import time
from collections.abc import Callable

import torch

from sfumato.core.device import instructions, keep_memory
from sfumato.core.tensors import Images, Maps, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.degradations import camera, grain, noise
from sfumato.degradations.base import Degradation, degrade
from sfumato.degradations.jpeg import recompressed
from sfumato.evaluation.diversity import comparer
from sfumato.metrics.fidelity import psnr
from sfumato.metrics.perceptual import lpips
from sfumato.nn.channels import luma
from sfumato.nn.resample import resize
from sfumato.restoration.batch import repaired
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import Look, RestorationRequest
from sfumato.restoration.tiles import apply_restorer

SIDE = 240
QUALITIES = (10, 20, 30, 40, 60, 70, 75, 90, 95, None)
FACTORS = (1.5, 2, 3, 4, 6, 8)
NETWORKS = Networks()
NOISE: dict[str, Degradation] = {
    "none": noise.Config(sigma=(0, 0)),
    **{f"white {sigma}": grain.Config(sigma=(sigma / 255, sigma / 255), size=(0.1, 0.1)) for sigma in (5, 10, 20)},
    **{f"grain {sigma}": grain.Config(sigma=(sigma / 255, sigma / 255), size=(0.8, 0.8)) for sigma in (5, 10, 20)},
    "camera, ISO 200 to 1600": camera.Config(iso=(200, 1600), scaled=0, compressed=0),
    "camera, ISO 1600 to 6400": camera.Config(iso=(1600, 6400), scaled=0, compressed=0),
}
"""Noise by its name."""


def enlarged(images: Images, factor: float, quality: int | None, look: Look = "faithful") -> Maps:
    """What `restore --task upscale` makes of the picture."""
    request = RestorationRequest(task="upscale", scale=factor, look=look)
    return repaired(images, make_plan(request, images, quality=quality, networks=NETWORKS), request, NETWORKS)


def by_bicubic(images: Images, factor: float, quality: int | None) -> Maps:
    return resize(images, scaled(images, factor)).clamp(0, 1)


def by_network(images: Images, factor: float, quality: int | None) -> Maps:
    return apply_restorer(NETWORKS.opened(f"upscale-x{factor:g}"), images)


def in_two_steps(images: Images, factor: float, quality: int | None) -> Maps:
    """Repaired as a JPEG at its own size, then enlarged by the network of clean pictures."""
    enlarge, repair = NETWORKS.opened(f"upscale-x{factor:g}"), NETWORKS.luma_apart("deblock", "denoise")
    return apply_restorer(NETWORKS.in_sequence(repair, enlarge) if quality else enlarge, images)


Method = Callable[[Images, float, int | None], Maps]


def timed(method: Method, seconds: list[float]) -> Method:
    """`method`, which adds the processor's seconds of each call to `seconds`."""

    def run(images: Images, factor: float, quality: int | None) -> Maps:
        began = time.process_time()
        output = method(images, factor, quality)
        seconds.append(time.process_time() - began)
        return output

    return run


def table(pictures: list[Images], factor: float, quality: int | None, methods: dict[str, Method]) -> str:
    """A row of the table: the PSNR by each of the methods."""
    figures = []
    for clean in pictures:
        small = shrunk(clean, factor)
        shown = small if quality is None else recompressed(small, torch.tensor([float(quality)]))
        cut = round(factor)
        wanted = clean[:, :, cut:-cut, cut:-cut]
        outputs = [to_images(to_bytes(method(shown, factor, quality))) for method in methods.values()]
        figures.append([float(psnr(output[:, :, cut:-cut, cut:-cut], wanted)) for output in outputs])
    means = torch.tensor(figures).mean(0).tolist()
    return f"| x{factor:g} | {quality or '-'} | {' | '.join(f'{value:.2f}' for value in means)} |"


def noisy(pictures: list[Images], channels: int) -> None:
    """PSNR of noisy pictures by bicubic, by the network alone and by what `restore` does, and how many are denoised first."""
    print("| factor | noise, of 255 | quality | bicubic | network alone | restore | denoised |\n|---|---|---|---|---|---|---|")
    request = {factor: RestorationRequest(task="upscale", scale=factor) for factor in (2, 4)}
    for factor, (words, how), quality in itertools.product((2, 4), NOISE.items(), (None, 70)):
        figures, denoised = [], 0
        for i, colour in enumerate(pictures):
            clean = colour if channels == 3 else luma(colour)
            shown = to_images(to_bytes(degrade(how, shrunk(clean, factor), rng=torch.Generator().manual_seed(i)).images.clamp(0, 1)))
            shown = shown if quality is None else recompressed(shown, torch.tensor([float(quality)]))
            plan = make_plan(request[factor], shown, quality=quality, networks=NETWORKS)
            denoised += "noise" in plan.damage
            outputs = by_bicubic(shown, factor, None), by_network(shown, factor, None), repaired(shown, plan, request[factor], NETWORKS)
            wanted = clean[:, :, factor:-factor, factor:-factor]
            outputs = [to_images(to_bytes(output))[:, :, factor:-factor, factor:-factor] for output in outputs]
            figures.append([float(psnr(output, wanted)) for output in outputs])
        means = " | ".join(f"{value:.2f}" for value in torch.tensor(figures).mean(0).tolist())
        print(f"| x{factor} | {words} | {quality or '-'} | {means} | {denoised} of {len(pictures)} |", flush=True)


def looks(pictures: list[Images], own: str | None) -> None:
    """PSNR and LPIPS of bicubic, of both looks and of a network of one's own, by factors."""
    compare = comparer("lpips-squeeze")
    methods: dict[str, Method] = {"bicubic": by_bicubic, "faithful": enlarged, "sharp": functools.partial(enlarged, look="sharp")}
    if own is not None:
        network = NETWORKS.opened(own)
        methods["sharp"] = lambda images, factor, quality: resize(apply_restorer(network, images), scaled(images, factor)).clamp(0, 1)
    print(f"| factor | {' | '.join(f'{name}: PSNR, LPIPS' for name in methods)} |\n|---|{'---|' * len(methods)}")
    for factor in (2, 3, 4):
        cells = []
        for method in methods.values():
            figures = []
            for clean in pictures:
                output = to_images(to_bytes(method(shrunk(clean, factor), factor, None)))
                wanted = clean[:, :, factor:-factor, factor:-factor]
                output = output[:, :, factor:-factor, factor:-factor]
                figures.append([float(psnr(output, wanted)), lpips(compare, output, wanted).item()])
            decibels, distance = torch.tensor(figures).mean(0).tolist()
            cells.append(f"{decibels:.2f}, {distance:.4f}")
        print(f"| x{factor} | {' | '.join(cells)} |", flush=True)


def shrunk(clean: Images, factor: float) -> Images:
    """The picture with shorter sides, in 8 bits."""
    return to_images(to_bytes(resize(clean, (round(clean.shape[2] / factor), round(clean.shape[3] / factor)), scale=1 / factor)))


def scaled(images: Images, factor: float) -> tuple[int, int]:
    """The size of the enlarged picture."""
    return round(images.shape[2] * factor), round(images.shape[3] * factor)


def photographs(source: str, count: int) -> list[Images]:
    """Crops of some photographs, evenly spread over the folder or data set."""
    part = "test" if source == "bsds500" else "train"
    scenes = load_scenes(source, channels=3, part=part, largest=None).pictures
    return [to_images(picture[None])[:, :, 40 : 40 + SIDE, 40 : 40 + SIDE] for picture in scenes[:: max(1, len(scenes) // count)][:count]]


def tables(pictures: list[Images], words: list[str]) -> None:
    """The table of factors, or that of JPEGs, in this with a network of one's own if `words` names one."""
    methods: dict[str, Method] = {"bicubic": by_bicubic, "restore": enlarged}
    if words == ["factors"]:
        rows = [(factor, None) for factor in FACTORS]
    else:
        methods |= {"network alone": by_network, "two steps": in_two_steps}
        rows = [(factor, quality) for factor in (2, 4) for quality in QUALITIES]
        if words:
            own = NETWORKS.opened(words[0])
            methods["own"] = lambda images, factor, quality: apply_restorer(own, images)
            rows = [row for row in rows if row[0] == own.scale]
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    methods = {name: timed(method, seconds[name]) for name, method in methods.items()}
    print(instructions())
    print(f"| factor | quality | {' | '.join(methods)} |\n|---|---|{'---|' * len(methods)}")
    for factor, quality in rows:
        print(table(pictures, factor, quality, methods), flush=True)
    print(f"| | seconds | {' | '.join(f'{sum(spent):.1f}' for spent in seconds.values())} |")


def main(words: list[str]) -> None:
    keep_memory()
    count = int(words.pop()) if words and words[-1].isdigit() else 10
    if words[:1] == ["look"]:
        own, source = (words[1] if len(words) > 1 else None), (words[2] if len(words) > 2 else "bsds500")
        looks(photographs(source, count), None if own == "bundled" else own)
    elif words[:1] == ["noise"]:
        for channels in (3, 1):
            print(f"{'In colour' if channels == 3 else 'In grey'}\n")
            noisy(photographs("bsds500", count), channels)
    else:
        pictures = photographs("bsds500", count)
        tables([luma(picture) for picture in pictures] if words[:1] == ["grey"] else pictures, [word for word in words if word != "grey"])


if __name__ == "__main__":
    main(sys.argv[1:])

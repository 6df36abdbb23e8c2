"""How good vectors of pictures are for search, groups and duplicates: the figures of docs/searching.md.

    python -m benchmarks.embeddings knn [mnist|fashion-mnist] [MODEL]       accuracy of a vote of 20 neighbours from VAE codes
    python -m benchmarks.embeddings cluster [mnist|fashion-mnist] [MODEL] [METHOD ...]
                                                                            accuracy of groups, median of 5 seeds
    python -m benchmarks.embeddings eurosat [COUNT] [MODEL ...]             precision@10 beside pixels and colour histograms
    python -m benchmarks.embeddings doubles [CATS]                          recall and precision of planted copies
    python -m benchmarks.embeddings speed [COUNT]                           exact search, and faiss above 100,000 vectors

It needs SFUMATO_DATA, and SFUMATO_WEIGHTS for squeezenet. All run on one thread; times are processor time. METHOD is spectral, mixture or
kmeans; with a METHOD, the number of groups is not looked for. The vectors of a data set are kept in the folder for temporary files, where
the next command takes them from.
"""

import dataclasses
import io
import itertools
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sfumato as sf
from benchmarks.arguments import chosen_part
from sfumato.core.device import instructions
from sfumato.data.dataset import Dataset
from sfumato.embeddings.nearest import directions_from, nearest
from sfumato.metrics.features import Pixels

MODELS = {"mnist": "digits-vae", "fashion-mnist": "runs/fashion-vae"}


def knn(name: str = "mnist", model: str = "") -> None:
    """Accuracy on the test images of a vote of the 20 nearest training images, each weighted by exp(similarity / 0.07)."""
    train, test = (sf.load_dataset(name, part=part) for part in ("train", "test"))
    index, asked = (embedded(data, f"{name}-{part}", model or MODELS[name]) for data, part in ((train, "train"), (test, "test")))
    similarities, rows = nearest(index.unit, directions_from(index.mean, asked.vectors.float()), 20)
    votes = torch.zeros(len(test), len(train.classes))
    weighted = votes.scatter_add(1, train.labels[rows], (similarities / 0.07).exp())
    plain = votes.scatter_add(1, train.labels[rows], torch.ones_like(similarities))
    for words, scores in (("weighted vote", weighted), ("plain vote", plain)):
        accuracy = (scores.argmax(dim=1) == test.labels).double().mean().item()
        print(f"{name}, {index.model}: 20 nearest, {words}: {accuracy:.2%}")


def embedded(data: Dataset, name: str, model: str) -> sf.Index:
    """The vectors of `data`, taken from the file of an earlier command as far as it has them."""
    path = Path(tempfile.gettempdir(), f"sfumato-benchmark-{name}.index")
    index = sf.embed(data, model, earlier=path if path.exists() else None)
    index.save(path, overwrite=True)
    return index


def cluster(name: str = "mnist", model: str = "", *methods: str) -> None:
    """Accuracy of ten groups of the training images, each group under the class that fits best (Hungarian method), for 5 seeds."""
    train = sf.load_dataset(name, part="train")
    index = embedded(train, f"{name}-train", model or MODELS[name])
    for method in methods or ("spectral", "mixture", "kmeans"):
        began, scores = time.process_time(), []
        for seed in range(5):
            scores.append(matched(train.labels.numpy(), sf.cluster(index, 10, method=method, seed=seed).labels.numpy()))
        seconds = (time.process_time() - began) / 5
        print(
            f"{name}, {index.model}, {method}: median {statistics.median(scores):.4f}, all {sorted(scores)}, {seconds:.0f} s each",
            flush=True,
        )
    if not methods:
        print(f"number of groups by itself: {sf.cluster(index).count}")


def matched(labels: np.ndarray, groups: np.ndarray) -> float:
    """Share of images whose group is that of their class, for the best assignment of groups to classes."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(table, (groups, labels), 1)
    rows, columns = linear_sum_assignment(-table)
    return round(table[rows, columns].sum() / len(labels), 4)


def eurosat(count: str = "12000", *models: str) -> None:
    """Share of the ten nearest other images that are of the class of the image, beside means of pixels and colour histograms."""
    data = sf.load_dataset("eurosat", part="all")
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[: int(count)]
    data = dataclasses.replace(data, pixels=data.pixels[rows], labels=data.labels[rows], positions=None)
    bins = data.pixels // 32
    codes = (bins[:, 0].long() * 64 + bins[:, 1].long() * 8 + bins[:, 2].long()).flatten(1)
    histograms = torch.zeros(len(data), 512).scatter_add_(1, codes, torch.ones(codes.shape)).sqrt()
    fields = Pixels(side=8).features(data.pixels / 255)
    every = {"pixels": data.pixels.flatten(1).float(), "means of 8 x 8 fields": fields, "histogram of 512 colours": histograms}
    for name, vectors in every.items():
        print(f"eurosat, {len(data)} images, {name}: precision@10 {precision(vectors, data):.3f}", flush=True)
    for model in models or ("squeezenet",):
        print(
            f"eurosat, {len(data)} images, {model}: precision@10 {precision(sf.embed(data, model).vectors.float(), data):.3f}", flush=True
        )


def precision(vectors: torch.Tensor, data: Dataset) -> float:
    """Share of the ten nearest other images that are of the class of the image."""
    unit = directions_from(vectors.mean(dim=0, keepdim=True), vectors)
    found = nearest(unit, unit, 11).indices
    # Of several equal vectors, an image need not be among its own nearest.
    others = torch.stack([row[row != i][:10] for i, row in enumerate(found)])
    return (data.labels[others] == data.labels[:, None]).double().mean().item()


def doubles(cats: str = "1500") -> None:
    """Recall and precision of planted copies of bsds500 and some cats; pairs among the originals are listed and not counted."""
    rng = random.Random(0)
    folder = Path(os.environ["SFUMATO_DATA"], "bsds500")
    pictures = {f"bsds-{path.stem}": Image.open(path).convert("RGB") for path in sorted(folder.rglob("*.jpg"))}
    pixels = sf.load_dataset("cats64", part="all").pixels
    for i in rng.sample(range(len(pixels)), int(cats)):
        pictures[f"cat-{i}"] = Image.fromarray(pixels[i].permute(1, 2, 0).numpy())
    planted = {name: copied(picture, rng) for name, picture in pictures.items() if rng.random() < 0.5}
    with tempfile.TemporaryDirectory() as place:
        for name, picture in pictures.items():
            picture.save(Path(place, f"{name}.png"))
        for name, (_, content) in planted.items():
            Path(place, f"{name}.copy").write_bytes(content)
        began = time.process_time()
        result = sf.duplicates(place)
        seconds = time.process_time() - began
    report(result, {name: kind for name, (kind, _) in planted.items()}, len(pictures), seconds)


def copied(picture: Image.Image, rng: random.Random) -> tuple[str, bytes]:
    """A copy of a picture: resized by 0.5 to 2, JPEG of quality 40 to 95, cropped by a tenth, or mirrored; and its kind."""
    kind, (width, height) = rng.choice(("resized", "jpeg", "cropped", "mirrored")), picture.size
    options = {"format": "JPEG", "quality": rng.randint(40, 95)} if kind == "jpeg" else {"format": "PNG"}
    if kind == "resized":
        factor = 2 ** rng.uniform(-1, 1)
        picture = picture.resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    if kind == "cropped":
        inner = round(0.9 * width), round(0.9 * height)
        left, top = rng.randint(0, width - inner[0]), rng.randint(0, height - inner[1])
        picture = picture.crop((left, top, left + inner[0], top + inner[1]))
    if kind == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    stream = io.BytesIO()
    picture.save(stream, **options)
    return kind, stream.getvalue()


def report(result: sf.Duplicates, planted: dict[str, str], originals: int, seconds: float) -> None:
    """Prints recall, precision, and the pairs of two originals."""
    groups = [[path.rpartition(".") for path in group.paths] for group in result.groups if group.kind != "similar"]
    joined = {frozenset(pair) for group in groups for pair in itertools.combinations([(stem, end) for stem, _, end in group], 2)}
    right = {name for pair in joined for name in planted if pair == {(name, "png"), (name, "copy")}}
    natural = [sorted(stem for stem, _ in pair) for pair in joined if all(end == "png" for _, end in pair)]
    same = {frozenset(pair) for pair in natural}
    # A copy of an original that is itself like another original joins that one too.
    wrong = [pair for pair in joined if len({stem for stem, _ in pair}) == 2 and frozenset(stem for stem, _ in pair) not in same]
    missed = [kind for name, kind in planted.items() if name not in right]
    recall, exact = len(right) / len(planted), len(right) / max(1, len(right) + len(wrong))
    print(f"{originals} originals, {len(planted)} copies: recall {recall:.4f}, precision {exact:.4f}, {seconds:.0f} s; missed {missed}")
    print(f"precision with pairs of originals counted as wrong: {len(right) / max(1, len(right) + len(wrong) + len(natural)):.4f}")
    for pair in natural:
        print(f"  near among the originals: {' '.join(pair)}")


def speed(count: str = "60000") -> None:
    """Milliseconds of processor time for one exact query, and with many vectors the recall and time of faiss."""
    n, rng = int(count), torch.Generator().manual_seed(0)
    mixing = torch.randn(16, 64, generator=rng)
    points = torch.randn(n, 16, generator=rng) @ mixing + 0.3 * torch.randn(n, 64, generator=rng)  # as codes: few directions, and noise
    unit = directions_from(points.mean(dim=0, keepdim=True), points)
    queries = unit[torch.randperm(n, generator=rng)[:200]] + 0.02 * torch.randn(200, 64, generator=rng)
    queries = torch.nn.functional.normalize(queries, dim=1)
    nearest(unit, queries[:1], 10, method="exact")
    began = time.process_time()
    for query in queries[:50]:
        nearest(unit, query[None], 10, method="exact")
    print(f"{n} x 64, exact, one query at a time: {(time.process_time() - began) / 50 * 1000:.2f} ms")
    if n > 100_000:
        true = nearest(unit, queries, 10, method="exact").indices
        began = time.process_time()
        fast = nearest(unit, queries, 10, method="faiss").indices
        recall = (fast[:, :, None] == true[:, None, :]).any(dim=1).double().mean().item()
        print(f"{n} x 64, faiss: recall@10 {recall:.4f}, {time.process_time() - began:.0f} s with building")


if __name__ == "__main__":
    part, arguments = chosen_part((knn, cluster, eurosat, doubles, speed), __doc__)
    print(instructions())
    torch.set_num_threads(1)
    part(*arguments)

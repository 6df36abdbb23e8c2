"""Is the verdict on synthetic images right? The figures of docs/augmenting.md.

    python -m benchmarks.augmentation planted [SEEDS] [CASE ...]            copies, shuffled and held-out images of Fashion-MNIST
    python -m benchmarks.augmentation intervals                             how many intervals of simulated answers hold the truth
    python -m benchmarks.augmentation eurosat [PER_CLASS] [BUDGET] [SIZE]   a generator trained on the same images, for each split

There are 20 real images of each class. `copies` repeats the training images (no gain), `shuffled` are other images with shuffled labels
(harms), and `heldout` are other images with their labels (helps). SEEDS are such as 12,13: each draws other images and other first
weights. Seeds below 7 served to set the length of the trainings, and those below 12 for the rule that the placebo has to be beaten too. It
needs SFUMATO_DATA.
"""

import dataclasses
import time

import torch

import sfumato as sf
from benchmarks.arguments import chosen_part
from sfumato.core.device import instructions
from sfumato.data.dataset import Dataset
from sfumato.evaluation.augmentation_arms import with_placebo
from sfumato.metrics.paired import paired_difference

RIGHT = {"copies": sf.Gain.NONE, "shuffled": sf.Gain.HARMS, "heldout": sf.Gain.HELPS}
SIZE = (14, 14)


def planted(seeds: str = "12,13,14,15,16", *cases: str) -> None:
    """The verdict for each planted case and seed."""
    pool, test = (sf.load_dataset("fashion-mnist", size=SIZE, part=part) for part in ("train", "test"))
    right = total = 0
    for run in map(int, seeds.split(",")):
        rows = torch.randperm(len(pool), generator=torch.Generator().manual_seed(run))
        chosen, held = (torch.zeros(len(pool), dtype=torch.bool).index_fill(0, part, True) for part in (rows[:3000], rows[3000:6000]))
        for case in cases or RIGHT:
            began = time.process_time()
            result = sf.augmentation_verdict(
                pool.selected(chosen), test=test, synthetic=source(case, pool.selected(held), run), per_class=20, seed=run
            )
            right, total = right + (result.verdict == RIGHT[case]), total + 1
            spent = time.process_time() - began
            print(f"{case}, seed {run}: {result.sentence}; memorised {result.memorised:.1%}, {spent:.0f} s", flush=True)
            print(f"right in {right} of {total}", flush=True)


def source(case: str, held: Dataset, run: int):
    """The synthetic images of a planted case."""
    if case == "copies":
        return lambda train, _: copies(train, run)
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(run))
    return held if case == "heldout" else dataclasses.replace(held, labels=held.labels[order])


def copies(train: Dataset, run: int) -> Dataset:
    """Two copies of each training image."""
    mixed = with_placebo(train, 2.0, seed=run)
    return Dataset(name="copies", pixels=mixed.pixels[len(train) :], labels=mixed.labels[len(train) :], classes=train.classes)


def intervals(count: str = "3000") -> None:
    """The share of intervals around differences of mean 0 that hold 0: five splits, 500 test images, and spreads of three effects."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((5, 1), (1, 500), (5, 500))
    for spreads in ((0.0, 0.0, 0.45), (0.0, 0.2, 0.45), (0.01, 0.2, 0.45), (0.03, 0.2, 0.45), (0.01, 0.1, 0.2), (0.02, 0.0, 0.1)):
        held, reach = 0, 0.0
        for _ in range(int(count)):
            parts = [torch.randn(shape, generator=rng) * spread for shape, spread in zip(shapes, spreads, strict=True)]
            difference = paired_difference(parts[0] + parts[1] + parts[2])
            held, reach = held + (difference.low <= 0 <= difference.high), reach + difference.high - difference.mean
        print(f"spreads of splits, images, both {spreads}: {held / int(count):.1%} hold 0, mean reach {reach / int(count):.4f}", flush=True)


def eurosat(per_class: str = "20", budget: str = "10min", size: str = "64") -> None:
    """The verdict for generators that are trained on the images of each split alone, at `size` x `size` pixels."""
    pool, test = (sf.load_dataset("eurosat", size=(int(size), int(size)), part=part) for part in ("train", "test"))
    result = sf.augmentation_verdict(pool, test=test, budget=budget, per_class=int(per_class))
    print(f"eurosat, {per_class} a class, {size} x {size}, {budget}: {result.sentence}")
    print(f"accuracy without {result.accuracy:.1%}, placebo {result.placebo}, by ratio {result.validation}")
    print(f"memorised {result.memorised:.1%}, classes without images {', '.join(result.missing) or 'none'}")


if __name__ == "__main__":
    part, arguments = chosen_part((planted, intervals, eurosat), __doc__)
    print(instructions())
    part(*arguments)

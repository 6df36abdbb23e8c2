"""Is the verdict on synthetic images right? The figures of docs/augmenting.md.

    python -m benchmarks.augmentation planted [SEEDS] [CASE ...]            copies, shuffled and held-out images of Fashion-MNIST
    python -m benchmarks.augmentation eurosat [PER_CLASS] [BUDGET] [SIZE]   a generator trained on the same images, for each split

There are 20 real images of each class. `copies` repeats the training images (no gain), `shuffled` are other images with shuffled labels
(harms), and `heldout` are other images with their labels (helps). SEEDS are such as 2,3,4,5,6: each draws other images and other first
weights. It needs SFUMATO_DATA.
"""

import dataclasses
import sys
import time

import torch

import sfumato as sf
from sfumato.core.device import instructions
from sfumato.data.dataset import Dataset
from sfumato.evaluation.augmentation_arms import with_placebo

RIGHT = {"copies": sf.Gain.NONE, "shuffled": sf.Gain.HARMS, "heldout": sf.Gain.HELPS}
SIZE = (14, 14)


def planted(seeds: str = "2,3,4,5,6", *cases: str) -> None:
    """The verdict for each planted case and seed."""
    pool, test = (sf.load_dataset("fashion-mnist", size=SIZE, part=part) for part in ("train", "test"))
    test = test.selected(torch.arange(len(test)) < 2000)
    right = total = 0
    for run in map(int, seeds.split(",")):
        rows = torch.randperm(len(pool), generator=torch.Generator().manual_seed(run))
        chosen, held = (torch.zeros(len(pool), dtype=torch.bool).index_fill(0, part, True) for part in (rows[:3000], rows[3000:6000]))
        for case in cases or RIGHT:
            began = time.process_time()
            result = sf.augmentation_verdict(
                pool.selected(chosen), test=test, synthetic=source(case, pool.selected(held), run), per_class=20, images=6400, seed=run
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


def eurosat(per_class: str = "20", budget: str = "10min", size: str = "64") -> None:
    """The verdict for generators that are trained on the images of each split alone, at `size` x `size` pixels."""
    pool, test = (sf.load_dataset("eurosat", size=(int(size), int(size)), part=part) for part in ("train", "test"))
    result = sf.augmentation_verdict(pool, test=test, budget=budget, per_class=int(per_class))
    print(f"eurosat, {per_class} a class, {size} x {size}, {budget}: {result.sentence}")
    print(f"accuracy without {result.accuracy:.1%}, placebo {result.placebo}, by ratio {result.validation}")
    print(f"memorised {result.memorised:.1%}, classes without images {', '.join(result.missing) or 'none'}")


if __name__ == "__main__":
    print(instructions())
    {"planted": planted, "eurosat": eurosat}[sys.argv[1]](*sys.argv[2:])

"""How fast do small images in memory become augmented batches?

MNIST's shape (28 px, grey), batches of 256, a random whole-pixel shift for each image, one thread, time on the processor. The
alternative is torch's own DataLoader over a TensorDataset, without any augmentation.

    python -m benchmarks.loader
"""

import time

import torch
from torch.utils.data import DataLoader, TensorDataset

from sfumato.core.device import instructions, keep_memory, set_threads
from sfumato.core.rng import seeded_generator
from sfumato.data import augment
from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream

BATCH, BATCHES = 256, 200


def main() -> None:
    print(instructions())
    keep_memory()
    set_threads(1)
    pixels = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
    stream = Stream(Dataset(name="random", pixels=pixels), batch=BATCH, seed=0)
    change = augment.Config(shift=0.1)
    rng = seeded_generator(0, "loader")

    def ours(i: int) -> None:
        change(stream.at(i * BATCH)[0], torch.rand(BATCH, change.draws, generator=rng))

    ours(0)
    began = time.process_time()
    for i in range(BATCHES):
        ours(i)
    mine = BATCH * BATCHES / (time.process_time() - began)
    loader, count, began = DataLoader(TensorDataset(pixels), batch_size=BATCH, shuffle=True), 0, time.process_time()
    for (batch,) in loader:
        count += len(batch.float() / 255)
        if count >= 50 * BATCH:
            break
    theirs = count / (time.process_time() - began)
    print(f"stream, shifted:            {mine:,.0f} images/s (bar: 100,000)")
    print(f"DataLoader, not augmented:  {theirs:,.0f} images/s")


if __name__ == "__main__":
    main()

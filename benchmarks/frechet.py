"""How long does the arithmetic of a Fréchet distance take at 2048 dimensions, beside the textbook's square root of a matrix?

Run as `python benchmarks/frechet.py`; it uses one thread and takes a few minutes, nearly all of them scipy's. Goal: at most 1.5 s,
and the same value to 1e-6, on covariances of moderate condition (variances falling like 1 / k). Steeper ones take a slower, more
careful road, shown after.
"""

import datetime
import platform
import sys
import time

import torch

from sfumato.core.device import instructions
from sfumato.metrics.frechet import Moments, frechet_from_moments

DIMENSION, COUNT = 2048, 10_000
SECONDS, TOLERANCE = 1.5, 1e-6


def moments(seed, gain, power):
    """Moments of features whose k-th variance falls like k to the -`power`, mixed by one random rotation."""
    mixing = torch.randn(DIMENSION, DIMENSION, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixing = torch.linalg.qr(mixing).Q
    rng = torch.Generator().manual_seed(seed)
    scale = gain * torch.arange(1, DIMENSION + 1, dtype=torch.float64) ** (-power / 2)
    whole = Moments(DIMENSION)
    for _ in range(COUNT // 1000):
        whole.update((torch.randn(1000, DIMENSION, generator=rng, dtype=torch.float64) * scale) @ mixing + 0.1 * gain)
    return whole.mean, whole.covariance


def textbook(m1, s1, m2, s2):
    """The formula as papers write it, on scipy's matrix square root."""
    from scipy.linalg import sqrtm

    root = sqrtm((s1 @ s2).numpy()).real
    return float((m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * root.trace())


def timed(function, arguments, repeats):
    """The value, and the shortest of `repeats` times, in seconds of the processor so that other programs do not count."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        value = function(*arguments)
        times.append(time.process_time() - start)
    return value, min(times)


def compare(power):
    """Prints our time and theirs; says whether ours meets the goal."""
    arguments = (*moments(1, 1.0, power), *moments(2, 1.1, power))
    ours, seconds = timed(frechet_from_moments, arguments, 3)
    theirs, reference = timed(textbook, arguments, 1)
    difference = abs(ours - theirs) / theirs
    print(f"\nvariances fall like k^-{power}")
    print(f"  ours            {seconds:7.2f} s   {ours:.9f}")
    print(f"  scipy's sqrtm   {reference:7.2f} s   {theirs:.9f}")
    print(f"  ratio           {reference / seconds:7.1f} x   relative difference {difference:.1e}")
    return seconds <= SECONDS and difference <= TOLERANCE


def main():
    print(instructions())
    import scipy.linalg
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    print(f"Fréchet distance from means and covariances, {DIMENSION} dimensions, {COUNT} vectors a side, float64")
    print(f"{datetime.date.today()}, torch {torch.__version__}, scipy {scipy.__version__}, {platform.machine()} cpu, 1 thread")
    with threadpool_limits(1):
        met = compare(1)
        print(f"  goal            {SECONDS:7.2f} s   to {TOLERANCE:.0e}: {'met' if met else 'missed'}")
        compare(2)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

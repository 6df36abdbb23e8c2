"""How good are Wiener's filter and Richardson and Lucy's at their best?

Each is told the blur (and Wiener's the noise) and given the setting that serves it best on the very pictures it is measured on, one for
all of them; `deblur` has one for everything. `auto` is told nothing.

    python -m benchmarks.deconvolution [damage ...]
"""

import sys

import torch

from sfumato.classical import deconvolve
from sfumato.core.device import keep_memory
from sfumato.evaluation import benchmark
from sfumato.metrics.base import Measurement

BALANCES = (0.5, 1.0, 2.0, 4.0)
STEPS = (5, 10, 20, 30, 50)


def psnr(found: list[Measurement]) -> float:
    return next(m.value for m in found if m.name == "psnr")


def main(damages: list[str]) -> None:
    keep_memory()
    for damage in damages:
        for balance in BALANCES:

            def wiener(seen, kernels, balance=balance) -> torch.Tensor:
                return deconvolve.wiener(seen.images, kernels=kernels, noise=float(seen.noise), balance=balance)

            print(
                f"{damage}: wiener, balance {balance:g}: {psnr(benchmark.judge_restorer('wiener', damage, 'bsd68', method=wiener)):.2f} dB",
                flush=True,
            )
        for steps in STEPS:

            def lucy(seen, kernels, steps=steps) -> torch.Tensor:
                return deconvolve.richardson_lucy(seen.images, kernels=kernels, steps=steps)

            print(
                f"{damage}: richardson-lucy, {steps} steps: {psnr(benchmark.judge_restorer('lucy', damage, 'bsd68', method=lucy)):.2f} dB",
                flush=True,
            )
        for model in ("deblur", "auto"):
            print(f"{damage}: {model}: {psnr(benchmark.judge(model, damage, 'bsd68', precision='bf16')):.2f} dB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["blur:1.6", "motion:9"])

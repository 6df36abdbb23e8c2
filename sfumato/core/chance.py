"""Randomness as a function of where we are: the same numbers lead to the same draw, in any process, after any interruption."""

import hashlib

import torch


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed that depends on all of `seed` and `path`, and on nothing else.

    >>> derive(0, "latents", 64) == derive(0, "latents", 64) != derive(0, "latents", 65)
    True
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *path: int | str) -> torch.Generator:
    """A CPU generator seeded with `derive(seed, *path)`; draw on the CPU and move, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive(seed, *path))

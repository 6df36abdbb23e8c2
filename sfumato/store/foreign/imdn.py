"""IMDN as its authors keep it (`fea_conv`, `IMDB1.c1` ...)."""

import math

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, renamed


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Six or so distillation blocks between a head and a pixel shuffle."""
    state = renamed(
        {_zero_based(name): value for name, value in tensors.items()},
        (r"fea_conv\.(weight|bias)", r"head.\1"),
        (r"IMDB(\d+)\.c([0-2])\.(weight|bias)", r"blocks.\1.steps.\2.\3"),
        (r"IMDB(\d+)\.c3\.(weight|bias)", r"blocks.\1.last.\2"),
        (r"IMDB(\d+)\.c4\.(weight|bias)", r"blocks.\1.join.\2"),
        (r"IMDB(\d+)\.cca\.conv_du\.0\.(weight|bias)", r"blocks.\1.squeeze.\2"),
        (r"IMDB(\d+)\.cca\.conv_du\.2\.(weight|bias)", r"blocks.\1.excite.\2"),
        (r"c\.0\.(weight|bias)", r"gather.\1"),
        (r"LR_conv\.(weight|bias)", r"trunk.\1"),
        (r"upsampler\.0\.(weight|bias)", r"tail.\1"),
    )
    if state is None or not {"head.weight", "gather.weight", "tail.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    blocks, scale = state["gather.weight"].shape[1] // width, math.isqrt(state["tail.weight"].shape[0] // channels)
    if blocks * width != state["gather.weight"].shape[1] or channels * scale**2 != state["tail.weight"].shape[0]:
        return None
    return RecognizedWeights(
        layout=f"IMDN, {blocks} blocks of {width} channels, x{scale}",
        config=MODELS["imdn"](channels=channels, width=width, blocks=blocks, scale=scale),
        state=state,
        notes="its gate looks at the whole image, so it takes no tiles",
        origin="https://github.com/Zheng222/IMDN",
        terms="none stated",
    )


def _zero_based(name: str) -> str:
    """The authors count blocks and their convolutions from one."""
    head, dot, rest = name.partition(".")
    if not head.startswith("IMDB") or not head[4:].isdigit():
        return name
    inner, second, last = rest.partition(".")
    inner = f"c{int(inner[1:]) - 1}" if inner[1:].isdigit() else inner
    return f"IMDB{int(head[4:]) - 1}{dot}{inner}{second}{last}"

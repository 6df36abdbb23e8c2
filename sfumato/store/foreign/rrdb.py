"""RRDBNet under the names of the first ESRGAN (`model.1.sub.0`), of BSRGAN (`RRDB_trunk`) and of BasicSR (`body.0.rdb1`)."""

import math

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed, zero_based

_PLACES = ("head", "trunk", "ups.0", "ups.1", "wide", "tail")

_NAMES = {
    "the first ESRGAN's": (
        r"model\.1\.sub\.(\d+)\.RDB",
        r"\.0",
        (r"model\.0", r"model\.1\.sub\.\d+", r"model\.3", r"model\.6", r"model\.8", r"model\.10"),
    ),
    "BSRGAN's": (r"RRDB_trunk\.(\d+)\.RDB", "", ("conv_first", "trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last")),
    "BasicSR's": (r"body\.(\d+)\.rdb", "", ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")),
}
"""Whose names: how a dense block begins, what follows the number of its convolution, and what the other places are called."""
_ORIGINS = {
    "the first ESRGAN's": ("https://github.com/xinntao/ESRGAN", "Apache-2.0"),
    "BSRGAN's": ("https://github.com/cszn/BSRGAN", ""),
    "BasicSR's": ("https://github.com/xinntao/Real-ESRGAN", "BSD-3-Clause"),
}
"""Where each is published, and under which licence, if it is known."""


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Blocks of three dense blocks; how the image is folded first tells the scale."""
    for whose, (block, end, places) in _NAMES.items():
        rules = [(rf"{theirs}\.(weight|bias)", rf"{ours}.\1") for theirs, ours in zip(places, _PLACES, strict=True)]
        state = renamed(tensors, (rf"{block}(\d)\.conv(\d){end}\.(weight|bias)", r"blocks.\1.\2.convs.\3.\4"), *rules)
        blocks = count(tensors, block)
        if not blocks or state is None or not {"head.weight", "tail.weight", "blocks.0.1.convs.1.weight"} <= state.keys():
            continue
        width, inputs = state["head.weight"].shape[:2]
        channels, growth = state["tail.weight"].shape[0], state["blocks.0.1.convs.1.weight"].shape[0]
        fold = math.isqrt(inputs // channels)
        if inputs != channels * fold**2 or fold not in (1, 2, 4):
            continue
        return RecognizedWeights(
            layout=f"RRDBNet, {blocks} blocks of {width} channels, x{4 // fold}, {whose} names",
            config=MODELS["rrdb"](channels=channels, width=width, growth=growth, blocks=blocks, scale=4 // fold),
            state=zero_based(state, r"blocks\.\d+\.(\d)\.convs\.(\d)"),
            origin=_ORIGINS[whose][0],
            terms=_ORIGINS[whose][1],
        )
    return None

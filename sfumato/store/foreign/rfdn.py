"""RFDN as its authors keep it (`fea_conv`, `B1.c1_d` ... `B1.esa.conv1` ...)."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, distilled, renamed, zero_based

_ATTENTION = {
    "conv1": "reduce",
    "conv2": "shrink",
    "conv_f": "direct",
    "conv_max": "coarse.0",
    "conv3": "coarse.2",
    "conv3_": "coarse.4",
    "conv4": "expand",
}
"""The layers of spatial attention under their names and under ours."""


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Distillation blocks that end in spatial attention, between a head and a pixel shuffle."""
    state = renamed(
        zero_based(tensors, r"B(\d+)\.(?:c(\d)_[dr]\.)?"),
        (r"fea_conv\.(weight|bias)", r"head.\1"),
        (r"B(\d+)\.c([0-2])_d\.(weight|bias)", r"blocks.\1.distil.\2.\3"),
        (r"B(\d+)\.c([0-2])_r\.(weight|bias)", r"blocks.\1.refine.\2.\3"),
        (r"B(\d+)\.c4\.(weight|bias)", r"blocks.\1.last.\2"),
        (r"B(\d+)\.c5\.(weight|bias)", r"blocks.\1.join.\2"),
        *((rf"B(\d+)\.esa\.{theirs}\.(weight|bias)", rf"blocks.\1.attention.{ours}.\2") for theirs, ours in _ATTENTION.items()),
        (r"c\.0\.(weight|bias)", r"gather.\1"),
        (r"LR_conv\.(weight|bias)", r"trunk.\1"),
        (r"upsampler\.0\.(weight|bias)", r"tail.\1"),
    )
    settings = None if state is None else distilled(state)
    if state is None or settings is None:
        return None
    return RecognizedWeights(
        layout=f"RFDN, {settings['blocks']} blocks of {settings['width']} channels, x{settings['scale']}",
        config=MODELS["rfdn"](**settings),
        state=state,
        notes="its attention depends on the size of the image, so it takes no tiles",
        origin="https://github.com/njulj/RFDN",
        terms="none stated",
    )

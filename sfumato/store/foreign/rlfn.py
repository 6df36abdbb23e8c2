"""RLFN as its authors keep it (`conv_1`, `block_1.c1_r` ... `block_1.esa.conv1` ...)."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, enlargement, renamed, zero_based

_ATTENTION = {"conv1": "reduce", "conv2": "shrink", "conv_f": "direct", "conv3": "coarse.0", "conv4": "expand"}
"""The layers of spatial attention under their names and under ours."""
_CONVS = {"c0_r": "convs.0", "c1_r": "convs.2", "c2_r": "convs.4", "c5": "join"}


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Residual blocks that end in spatial attention, between a head and a pixel shuffle."""
    state = renamed(
        zero_based(tensors, r"block_(\d+)\.(?:c(\d)_r\.)?"),
        (r"conv_1\.(weight|bias)", r"head.\1"),
        *((rf"block_(\d+)\.{theirs}\.(weight|bias)", rf"blocks.\1.{ours}.\2") for theirs, ours in _CONVS.items()),
        *((rf"block_(\d+)\.esa\.{theirs}\.(weight|bias)", rf"blocks.\1.attention.{ours}.\2") for theirs, ours in _ATTENTION.items()),
        (r"conv_2\.(weight|bias)", r"trunk.\1"),
        (r"upsampler\.0\.(weight|bias)", r"tail.\1"),
    )
    if state is None or not {"head.weight", "tail.weight", "blocks.0.convs.0.weight", "blocks.0.attention.reduce.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    blocks, scale = count(state, r"blocks\.(\d+)\."), enlargement(state["tail.weight"], channels)
    if not blocks or scale is None:
        return None
    middle, attention = state["blocks.0.convs.0.weight"].shape[0], state["blocks.0.attention.reduce.weight"].shape[0]
    return RecognizedWeights(
        layout=f"RLFN, {blocks} blocks of {width} channels, x{scale}",
        config=MODELS["rlfn"](channels=channels, width=width, middle=middle, attention=attention, blocks=blocks, scale=scale, white=255),
        state=state,
        notes="its attention depends on the size of the image, so it takes no tiles; white is 255 for its layers, as its authors have it",
        origin="https://github.com/bytedance/RLFN",
    )

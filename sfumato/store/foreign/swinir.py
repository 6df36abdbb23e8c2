"""SwinIR as its authors keep it (`conv_first`, `layers.0.residual_group.blocks.0.attn.qkv` ... `conv_after_body` ...).

The file holds tables that follow from the sizes (`attn_mask`, `relative_position_index`); they are left out.
"""

import math
import re

import torch

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, enlargement, renamed

_BLOCK = {
    "norm1": "norm1",
    r"attn\.qkv": "attention.qkv",
    r"attn\.proj": "attention.project",
    "norm2": "norm2",
    r"mlp\.fc1": "feed.0",
    r"mlp\.fc2": "feed.2",
}
"""The layers of a block under their names and under ours."""
_PLACES = {
    "conv_first": "head",
    r"patch_embed\.norm": "norm_in",
    "norm": "norm_out",
    r"conv_before_upsample\.0": "before.0",
    "conv_hr": "after.0",
    "conv_last": "tail",
}
_DERIVED = r"layers\.\d+\.residual_group\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)"
_JPEG_WINDOW = 7
"""Networks for JPEG, whose blocks have 8 pixels, have windows of this side, and inside them white is 255."""


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Groups of transformer blocks, and one of four ways to make the image."""
    layers = {name: value for name, value in tensors.items() if not re.fullmatch(_DERIVED, name)}
    # The direct upsampler has one convolution, which makes the image.
    direct = "upsample.0.weight" in layers and "conv_last.weight" not in layers
    state = renamed(layers, *_rules(direct))
    if state is None or not {"head.weight", "tail.weight", "groups.0.blocks.0.attention.bias"} <= state.keys():
        return None
    groups, width, channels = count(state, r"groups\.(\d+)\."), *state["head.weight"].shape[:2]
    pairs, heads = state["groups.0.blocks.0.attention.bias"].shape
    window = (math.isqrt(pairs) + 1) // 2
    upsampling = _upsampling(state, channels, direct)
    if not groups or width % heads or upsampling is None:
        return None
    upsampler, scale = upsampling
    blocks = tuple(count(state, rf"groups\.{i}\.blocks\.(\d+)\.") for i in range(groups))
    white = 255 if window == _JPEG_WINDOW and scale == 1 else 1
    return RecognizedWeights(
        layout=f"SwinIR, {groups} groups of {width} channels, windows of {window}, {f'x{scale}' if scale > 1 else 'same size'}",
        config=MODELS["swinir"](
            channels=channels,
            head_width=width // heads,
            heads=heads,
            blocks=blocks,
            hidden=state["groups.0.blocks.0.feed.0.weight"].shape[0],
            window=window,
            convolutions=3 if "last.4.weight" in state else 1,
            upsampler=upsampler,
            scale=scale,
            white=white,
        ),
        state={name: _table(value, window) if name.endswith("attention.bias") else value for name, value in state.items()},
        notes="white is 255 for its layers, as its authors have it" if white == 255 else "",
        origin="https://github.com/JingyunLiang/SwinIR",
        terms="Apache-2.0",
    )


def _rules(direct: bool) -> list[tuple[str, str]]:
    place = r"layers\.(\d+)\.residual_group\.blocks\.(\d+)"
    rules = [(rf"{place}\.{theirs}\.(weight|bias)", rf"groups.\1.blocks.\2.{ours}.\3") for theirs, ours in _BLOCK.items()]
    rules.append((rf"{place}\.attn\.relative_position_bias_table", r"groups.\1.blocks.\2.attention.bias"))
    for theirs, ours in ((r"layers\.(\d+)\.conv", r"groups.\1.last"), ("conv_after_body()", r"last\1")):
        rules += [(rf"{theirs}\.(weight|bias)", rf"{ours}.0.\2"), (rf"{theirs}\.([024])\.(weight|bias)", rf"{ours}.\2.\3")]
    rules += [(rf"{theirs}\.(weight|bias)", rf"{ours}.\1") for theirs, ours in _PLACES.items()]
    rules += [(rf"upsample\.{2 * i}\.(weight|bias)", r"tail.\1" if direct else rf"ups.{i}.\1") for i in range(3)]
    return rules + [(rf"conv_up{i + 1}\.(weight|bias)", rf"ups.{i}.\1") for i in range(2)]


def _upsampling(state: Tensors, channels: int, direct: bool) -> tuple[str, int] | None:
    """Which upsampler the tensors are, and how many times it enlarges; None if it is another."""
    ups = count(state, r"ups\.(\d)\.")
    if direct:
        scale = enlargement(state["tail.weight"], channels)
        return None if scale is None else ("direct", scale)
    if not ups:
        return "shuffle", 1
    if "after.0.weight" in state:
        return "nearest", 1 << ups
    outputs, inputs = state["ups.0.weight"].shape[:2]
    return "shuffle", 3 if outputs == 9 * inputs else 1 << ups


def _table(bias: torch.Tensor, window: int) -> torch.Tensor:
    """The bias of each relative position, (positions, heads), as a table for each head."""
    side = 2 * window - 1
    return bias.T.reshape(-1, side, side).contiguous()

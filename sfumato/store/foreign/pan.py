"""PAN as its authors keep it (`conv_first`, `SCPA_trunk.0.conv1_a` ... `upconv1`, `att1.conv`, `HRconv1` ...)."""

import dataclasses

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed, zero_based

_BLOCK = {
    "conv1_a": "plain",
    "conv1_b": "calibrated",
    r"k1\.0": "conv",
    r"PAConv\.k2": "weigh",
    r"PAConv\.k3": "inner",
    r"PAConv\.k4": "outer",
    "conv3": "join",
}
"""The layers of a block under their names and under ours."""
_UP = {r"upconv(\d)": "conv", r"att(\d)\.conv": "weigh", r"HRconv(\d)": "last"}
_ENDS = {"conv_first": "head", "trunk_conv": "trunk", "conv_last": "tail"}


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Self-calibrated blocks, and one enlargement for two times, two for four. Three times has the tensors of two."""
    state = renamed(
        zero_based(tensors, r"(?:upconv|att|HRconv)(\d)\."),
        *((rf"{theirs}\.(weight|bias)", rf"{ours}.\1") for theirs, ours in _ENDS.items()),
        *((rf"SCPA_trunk\.(\d+)\.{theirs}\.(weight|bias)", rf"blocks.\1.{ours}.\2") for theirs, ours in _BLOCK.items()),
        *((rf"{theirs}\.(weight|bias)", rf"ups.\1.{ours}.\2") for theirs, ours in _UP.items()),
    )
    if state is None or not {"head.weight", "ups.0.conv.weight", "tail.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    blocks, ups, upper = count(state, r"blocks\.(\d+)\."), count(state, r"ups\.(\d)\."), state["ups.0.conv.weight"].shape[0]
    if not blocks or ups not in (1, 2):
        return None
    candidates = [_network(state, channels, width, upper, blocks, scale) for scale in ((4,) if ups == 2 else (2, 3))]
    return dataclasses.replace(candidates[0], others=tuple(candidates[1:]))


def _network(state: Tensors, channels: int, width: int, upper: int, blocks: int, scale: int) -> RecognizedWeights:
    return RecognizedWeights(
        layout=f"PAN, {blocks} blocks of {width} channels, x{scale}",
        config=MODELS["pan"](channels=channels, width=width, upper=upper, blocks=blocks, scale=scale),
        state=state,
        origin="https://github.com/zhaohengyuan1/PAN",
    )

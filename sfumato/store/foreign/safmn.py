"""SAFMN as its authors keep it (`to_feat`, `feats.0.safm.mfr.0` ... `feats.0.ccm.ccm.0` ... `to_img.0`)."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, enlargement, renamed

_BLOCK = {
    "norm1": "modulation.0",
    r"safm\.mfr\.(\d)": r"modulation.1.levels.\2",
    r"safm\.aggr": "modulation.1.join",
    "norm2": "mixer.0",
    r"ccm\.ccm\.0": "mixer.1",
    r"ccm\.ccm\.2": "mixer.3",
}
"""The layers of a block under their names and under ours."""


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Feature mixing blocks between a head and a pixel shuffle."""
    state = renamed(
        tensors,
        (r"to_feat\.(weight|bias)", r"head.\1"),
        (r"to_img\.0\.(weight|bias)", r"tail.\1"),
        *((rf"feats\.(\d+)\.{theirs}\.(weight|bias)", rf"blocks.\1.{ours}.\{2 + theirs.count('(')}") for theirs, ours in _BLOCK.items()),
    )
    if state is None or not {"head.weight", "tail.weight", "blocks.0.mixer.1.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    blocks, scale = count(state, r"blocks\.(\d+)\."), enlargement(state["tail.weight"], channels)
    if not blocks or scale is None:
        return None
    middle = state["blocks.0.mixer.1.weight"].shape[0]
    return RecognizedWeights(
        layout=f"SAFMN, {blocks} blocks of {width} channels, x{scale}",
        config=MODELS["safmn"](channels=channels, width=width, middle=middle, blocks=blocks, scale=scale),
        state=state,
        notes="sides that are no multiples of 8 are continued by their mirror image",
        origin="https://github.com/sunny2109/SAFMN",
    )

"""Restormer as its authors keep it (`patch_embed.proj`, `encoder_level1.0.attn.qkv` ... `latent.0` ... `output`)."""

import math

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed

_BLOCK = {
    r"norm1\.body": "norm1",
    r"norm2\.body": "norm2",
    r"attn\.qkv": "attention.qkv",
    r"attn\.qkv_dwconv": "attention.near",
    r"attn\.project_out": "attention.project",
    r"ffn\.project_in": "spread",
    r"ffn\.dwconv": "near",
    r"ffn\.project_out": "project",
}
"""The layers of a block under their names and under ours."""
_STAGES = {
    "encoder_level1": "encoder.0",
    "encoder_level2": "encoder.1",
    "encoder_level3": "encoder.2",
    "latent": "encoder.3",
    "decoder_level3": "decoder.0",
    "decoder_level2": "decoder.1",
    "decoder_level1": "decoder.2",
    "refinement": "refinement",
}
_PLACES = {
    r"patch_embed\.proj": "head",
    r"down1_2\.body\.0": "down.0",
    r"down2_3\.body\.0": "down.1",
    r"down3_4\.body\.0": "down.2",
    r"up4_3\.body\.0": "up.0",
    r"up3_2\.body\.0": "up.1",
    r"up2_1\.body\.0": "up.2",
    "reduce_chan_level3": "joins.0",
    "reduce_chan_level2": "joins.1",
    "output": "tail",
}
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Four sizes of blocks with attention across channels. The one for pairs of pictures of a dual-pixel camera has more tensors."""
    rules = [(rf"{theirs}\.(weight|bias)", rf"{ours}.\1") for theirs, ours in _PLACES.items()]
    for theirs, ours in _STAGES.items():
        rules += [(rf"{theirs}\.(\d+)\.{name}\.(weight|bias)", rf"{ours}.\1.{place}.\2") for name, place in _BLOCK.items()]
        rules.append((rf"{theirs}\.(\d+)\.attn\.temperature", rf"{ours}.\1.attention.temperature"))
    state = renamed(tensors, *rules)
    if state is None or not {"head.weight", "tail.weight", "encoder.0.0.norm1.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    blocks = tuple(count(tensors, rf"{level}\.(\d+)\.") for level in _LEVELS)
    if not all(blocks) or len(state["tail.weight"]) != channels:
        return None
    inner = [(width << i, state[f"encoder.{i}.0.project.weight"].shape[1]) for i in range(len(_LEVELS))]
    return RecognizedWeights(
        layout=f"Restormer of {channels} channels, width {width}, blocks {'-'.join(map(str, blocks))}",
        config=MODELS["restormer"](
            channels=channels,
            width=width,
            blocks=blocks,
            refinement=count(tensors, r"refinement\.(\d+)\."),
            heads=tuple(state[f"encoder.{i}.0.attention.temperature"].shape[0] for i in range(len(_LEVELS))),
            expansion=_expansion(inner),
            bias="encoder.0.0.attention.qkv.bias" in state,
            centre="encoder.0.0.norm1.bias" in state,
        ),
        state=state,
        notes="its attention looks at the whole image, so it takes no tiles",
        origin="https://github.com/swz30/Restormer",
        terms="academic use, not commercial",
    )


def _expansion(inner: list[tuple[int, int]]) -> float:
    """The shortest decimal number whose products with all widths, rounded down, are the channels beside them; 0 if none is.

    >>> _expansion([(48, 127), (96, 255), (192, 510), (384, 1021)])
    2.66
    """
    least, most = max(hidden / width for width, hidden in inner), min((hidden + 1) / width for width, hidden in inner)
    for digits in range(1, 9):
        number = math.ceil(least * 10**digits - 1e-9) / 10**digits
        if number < most and all(int(width * number) == hidden for width, hidden in inner):
            return number
    return 0.0

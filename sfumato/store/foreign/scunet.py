"""SCUNet as its authors keep it (`m_head.0`, `m_down1.0.trans_block.msa.embedding_layer` ... `m_tail.0`)."""

import re

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, renamed

_BLOCK = {
    "conv1_1": "before",
    "conv1_2": "after",
    r"conv_block\.0": "convs.0",
    r"conv_block\.2": "convs.2",
    r"trans_block\.ln1": "attention.norm1",
    r"trans_block\.ln2": "attention.norm2",
    r"trans_block\.msa\.embedding_layer": "attention.attention.qkv",
    r"trans_block\.msa\.linear": "attention.attention.project",
    r"trans_block\.mlp\.0": "attention.feed.0",
    r"trans_block\.mlp\.2": "attention.feed.2",
}
"""The layers of a block under their names and under ours."""
_STAGES = {
    "m_down1": "down.0",
    "m_down2": "down.1",
    "m_down3": "down.2",
    "m_body": "body",
    "m_up3": "up.0",
    "m_up2": "up.1",
    "m_up1": "up.2",
}
_SIGN = "m_body.0.trans_block.msa.relative_position_params"


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Seven stages of blocks that are half convolution and half transformer."""
    rules = [(r"m_head\.0\.weight", "head.weight"), (r"m_tail\.0\.weight", "tail.weight")]
    for theirs, ours in _STAGES.items():
        rules += [(rf"{theirs}\.(\d+)\.{name}\.(weight|bias)", rf"{ours}.\1.{place}.\2") for name, place in _BLOCK.items()]
        rules.append((rf"{theirs}\.(\d+)\.trans_block\.msa\.relative_position_params", rf"{ours}.\1.attention.attention.bias"))
        rules.append((rf"{theirs}\.(\d+)\.weight", rf"{ours}.\1.weight"))
    state = renamed(tensors, *rules)
    if state is None or _SIGN not in tensors or not {"head.weight", "tail.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    heads, window = tensors[_SIGN].shape[0], (tensors[_SIGN].shape[1] + 1) // 2
    blocks = tuple(_blocks(tensors, stage) for stage in _STAGES)
    return RecognizedWeights(
        layout=f"SCUNet of {width} channels, blocks {'-'.join(map(str, blocks))}, windows of {window}",
        config=MODELS["scunet"](channels=channels, head_width=4 * width // heads, heads=heads // 8, blocks=blocks, window=window),
        state=state,
        notes="it was trained for one kind of noise, which the file does not say",
        origin="https://github.com/cszn/SCUNet",
        terms="Apache-2.0",
    )


def _blocks(tensors: Tensors, stage: str) -> int:
    """The number of blocks of a stage; where it goes up, the first layer enlarges and they are numbered from one."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(rf"{stage}\.(\d+)\.trans_block", name))}
    first = 1 if stage.startswith("m_up") else 0
    return len(numbers) if numbers == set(range(first, first + len(numbers))) else 0

"""FSRCNN in the widespread layout (`first_part.0`, `mid_part.0` ... `last_part`).

The stride of the last layer, which is the enlargement, stands nowhere in the file: the tensors for two, three and four times have the same
shapes. It shows in what they make of a grey surface, which must stay one.
"""

import dataclasses

import torch

from sfumato.models import MODELS
from sfumato.store import checkpoint
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed

_SCALES = (2, 3, 4)


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """A chain with PReLU after each convolution, and a transposed convolution of 9x9 at its end."""
    length = count(tensors, r"mid_part\.(\d+)\.")
    rules = [(rf"mid_part\.{i}\.(weight|bias)", rf"layers.{i + 2}.\1") for i in range(length)]
    state = renamed(tensors, (r"first_part\.([01])\.(weight|bias)", r"layers.\1.\2"), (r"last_part\.(weight|bias)", r"enlarge.\1"), *rules)
    if state is None or length < 4 or length % 2 or not {"layers.0.weight", "layers.2.weight", "enlarge.weight"} <= state.keys():
        return None
    width, channels = state["layers.0.weight"].shape[:2]
    narrow, depth = state["layers.2.weight"].shape[0], length // 2 - 2
    if channels != 1 or tuple(state["enlarge.weight"].shape) != (width, 1, 9, 9):
        return None
    candidates = [_network(state, width, narrow, depth, scale) for scale in _SCALES]
    if not checkpoint.misfit(candidates[0].config, state):  # else no network of that size is built
        candidates.sort(key=_unevenness)
    return dataclasses.replace(candidates[0], others=tuple(candidates[1:]))


def _network(state: Tensors, width: int, narrow: int, depth: int, scale: int) -> RecognizedWeights:
    return RecognizedWeights(
        layout=f"FSRCNN of {width} and {narrow} channels, {depth} convolutions in between, x{scale}",
        config=MODELS["fsrcnn"](width=width, narrow=narrow, depth=depth, scale=scale),
        state=state,
        notes="the file does not say how many times it enlarges; without --scale it is taken for what keeps a grey surface even",
        origin="https://github.com/yjn870/FSRCNN-pytorch",
    )


@torch.no_grad()
def _unevenness(recognized: RecognizedWeights) -> float:
    """Mean difference between a grey surface and the output for it."""
    network = recognized.config.build()
    network.load_state_dict(recognized.state)
    output = network(torch.full((1, 1, 24, 24), 0.5))
    border = output.shape[2] // 4
    return (output[:, :, border:-border, border:-border] - 0.5).abs().mean().item()

"""Real-ESRGAN's compact networks (SRVGGNetCompact: `body.0` a convolution, `body.1` a PReLU, and so on)."""

import math

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Convolutions and PReLUs in turn, and a last convolution for the pixel shuffle."""
    layers, state = count(tensors, r"body\.(\d+)\."), renamed(tensors, (r"body\.(\d+)\.(weight|bias)", r"layers.\1.\2"))
    if state is None or layers < 3 or layers % 2 == 0:
        return None
    weights = [state.get(f"layers.{i}.weight") for i in range(layers)]
    if any(w is None or w.ndim != (1 if i % 2 else 4) for i, w in enumerate(weights)):
        return None
    first, last = weights[0], weights[-1]
    assert first is not None
    assert last is not None
    width, channels = first.shape[:2]
    scale = math.isqrt(last.shape[0] // channels)
    if last.shape[0] != channels * scale**2:
        return None
    depth = layers // 2
    return RecognizedWeights(
        layout=f"compact network (SRVGGNetCompact) of {depth} convolutions and {width} channels, x{scale}",
        config=MODELS["compact"](channels=channels, width=width, depth=depth, scale=scale),
        state=state,
        origin="https://github.com/xinntao/Real-ESRGAN",
        terms="BSD-3-Clause",
    )

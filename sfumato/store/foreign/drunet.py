"""DRUNet as DPIR, KAIR and deepinv keep it (`m_head`, `m_down1.0.res.0` ...)."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Three times down and up, without biases; FBCNN, which has more keys, is another network."""
    blocks = count(tensors, r"m_body\.(\d+)\.res")
    if not blocks:
        return None
    state = renamed(
        tensors,
        (r"m_head\.weight", "head.weight"),
        (r"m_tail\.weight", "tail.weight"),
        (r"m_body\.(\d+)\.res\.([02])\.weight", r"body.\1.body.\2.weight"),
        (r"m_down1\.(\d+)\.res\.([02])\.weight", r"down.0.\1.body.\2.weight"),
        (r"m_down2\.(\d+)\.res\.([02])\.weight", r"down.1.\1.body.\2.weight"),
        (r"m_down3\.(\d+)\.res\.([02])\.weight", r"down.2.\1.body.\2.weight"),
        (rf"m_down1\.{blocks}\.weight", f"down.0.{blocks}.weight"),
        (rf"m_down2\.{blocks}\.weight", f"down.1.{blocks}.weight"),
        (rf"m_down3\.{blocks}\.weight", f"down.2.{blocks}.weight"),
        (r"m_up3\.(\d+)\.res\.([02])\.weight", r"up.0.\1.body.\2.weight"),
        (r"m_up2\.(\d+)\.res\.([02])\.weight", r"up.1.\1.body.\2.weight"),
        (r"m_up1\.(\d+)\.res\.([02])\.weight", r"up.2.\1.body.\2.weight"),
        (r"m_up3\.0\.weight", "up.0.0.weight"),
        (r"m_up2\.0\.weight", "up.1.0.weight"),
        (r"m_up1\.0\.weight", "up.2.0.weight"),
    )
    if state is None or not {"head.weight", "tail.weight"} <= state.keys():
        return None
    first, inputs = state["head.weight"].shape[:2]
    channels = state["tail.weight"].shape[0]
    if inputs != channels + 1:
        return None
    widths = (first, *(state[f"down.{i}.{blocks}.weight"].shape[0] for i in range(3)))
    return RecognizedWeights(
        layout=f"DRUNet of {channels} channels, widths {', '.join(map(str, widths))}, {blocks} blocks each",
        config=MODELS["drunet"](channels=channels, widths=widths, blocks=blocks),
        state=state,
        origin="https://github.com/cszn/KAIR",
        terms="MIT",
    )

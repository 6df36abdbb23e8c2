"""RRDBNet under the names of the first ESRGAN (`model.1.sub.0`), of BSRGAN (`RRDB_trunk`) and of BasicSR (`body.0.rdb1`)."""

import math

from sfumato.models import MODELS
from sfumato.store.foreign.base import Found, Tensors, count, renamed

_W = r"\.(weight|bias)"

_NAMES = {
    "the first ESRGAN's names": (
        r"model\.1\.sub\.(\d+)\.RDB",
        [
            (rf"model\.0{_W}", r"head.\1"),
            (rf"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0{_W}", r"blocks.\1.\2.convs.\3.\4"),
            (rf"model\.1\.sub\.(\d+){_W}", r"trunk.\2"),
            (rf"model\.3{_W}", r"ups.0.\1"),
            (rf"model\.6{_W}", r"ups.1.\1"),
            (rf"model\.8{_W}", r"wide.\1"),
            (rf"model\.10{_W}", r"tail.\1"),
        ],
    ),
    "BSRGAN's names": (
        r"RRDB_trunk\.(\d+)\.RDB",
        [
            (rf"conv_first{_W}", r"head.\1"),
            (rf"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d){_W}", r"blocks.\1.\2.convs.\3.\4"),
            (rf"trunk_conv{_W}", r"trunk.\1"),
            (rf"upconv1{_W}", r"ups.0.\1"),
            (rf"upconv2{_W}", r"ups.1.\1"),
            (rf"HRconv{_W}", r"wide.\1"),
            (rf"conv_last{_W}", r"tail.\1"),
        ],
    ),
    "BasicSR's names": (
        r"body\.(\d+)\.rdb",
        [
            (rf"conv_first{_W}", r"head.\1"),
            (rf"body\.(\d+)\.rdb(\d)\.conv(\d){_W}", r"blocks.\1.\2.convs.\3.\4"),
            (rf"conv_body{_W}", r"trunk.\1"),
            (rf"conv_up1{_W}", r"ups.0.\1"),
            (rf"conv_up2{_W}", r"ups.1.\1"),
            (rf"conv_hr{_W}", r"wide.\1"),
            (rf"conv_last{_W}", r"tail.\1"),
        ],
    ),
}


def claim(tensors: Tensors) -> Found | None:
    """Blocks of three dense blocks; how the image is folded first tells the scale."""
    for whose, (block, rules) in _NAMES.items():
        blocks, state = count(tensors, block), renamed(tensors, *rules)
        if not blocks or state is None or not {"head.weight", "tail.weight", "blocks.0.1.convs.1.weight"} <= state.keys():
            continue
        width, inputs = state["head.weight"].shape[:2]
        channels, growth = state["tail.weight"].shape[0], state["blocks.0.1.convs.1.weight"].shape[0]
        fold = math.isqrt(inputs // channels)
        if inputs != channels * fold**2 or fold not in (1, 2, 4):
            continue
        return Found(
            layout=f"RRDBNet, {blocks} blocks of {width} channels, x{4 // fold}, {whose}",
            config=MODELS["rrdb"](channels=channels, width=width, growth=growth, blocks=blocks, scale=4 // fold),
            state={_zero_based(name): value for name, value in state.items()},
        )
    return None


def _zero_based(name: str) -> str:
    """Dense blocks and their convolutions are counted from one in all three."""
    if not name.startswith("blocks."):
        return name
    blocks, block, dense, convs, conv, part = name.split(".")
    return f"{blocks}.{block}.{int(dense) - 1}.{convs}.{int(conv) - 1}.{part}"

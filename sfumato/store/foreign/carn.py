"""CARN-M as its authors keep it (`entry`, `b1.b1.body.0`, `b1.c1.body.0` ... `upsample.up2.body.0` ... `exit`).

The authors' file holds three networks that share all but the enlarging convolutions: for two, three and four times.
"""

import dataclasses
import re

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, renamed, zero_based


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Three blocks that use one residual unit each, and one to three ways to enlarge."""
    layers = {name: value for name, value in tensors.items() if not re.fullmatch(r"(sub|add)_mean\.shifter\.(weight|bias)", name)}
    state = renamed(
        zero_based(layers, r"b(\d)\.c(\d)\.|b(\d)\.|c(\d)\."),
        (r"entry\.(weight|bias)", r"head.\1"),
        (r"exit\.(weight|bias)", r"tail.\1"),
        (r"b(\d)\.b1\.body\.([024])\.(weight|bias)", r"blocks.\1.unit.\2.\3"),
        (r"b(\d)\.c(\d)\.body\.0\.(weight|bias)", r"blocks.\1.merges.\2.\3"),
        (r"c(\d)\.body\.0\.(weight|bias)", r"merges.\1.\2"),
        (r"upsample\.up([234]?)\.body\.0\.(weight|bias)", r"up\1.0.\2"),
        (r"upsample\.up([234]?)\.body\.3\.(weight|bias)", r"up\1.1.\2"),
    )
    if state is None or not {"head.weight", "tail.weight", "blocks.0.unit.0.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    groups = width // state["blocks.0.unit.0.weight"].shape[1]
    shared = {name: value for name, value in state.items() if not re.match(r"up[234]?\.", name)}
    ways: dict[str, Tensors] = {}
    for name, value in state.items():
        if match := re.match(r"(up[234]?)\.(.*)", name):
            ways.setdefault(match[1], {})[f"ups.{match[2]}"] = value
    candidates = [
        _network(shared | ups, channels, width, groups, scale)
        for way, ups in sorted(ways.items(), reverse=True)
        if (scale := _scale(way, ups, width))
    ]
    if not candidates or len(candidates) != len(ways):
        return None
    return dataclasses.replace(candidates[0], others=tuple(candidates[1:]))


def _scale(way: str, ups: Tensors, width: int) -> int | None:
    """The enlargement by convolutions `ups`, which the name of the `way` must agree with; None if they are none."""
    factors = [ups[f"ups.{i}.weight"].shape[0] // width for i in range(len(ups) // 2)]
    scale = {(4,): 2, (9,): 3, (4, 4): 4}.get(tuple(factors))
    return scale if way in ("up", f"up{scale}") else None


def _network(state: Tensors, channels: int, width: int, groups: int, scale: int) -> RecognizedWeights:
    return RecognizedWeights(
        layout=f"CARN-M of {width} channels in {groups} groups, x{scale}",
        config=MODELS["carn"](channels=channels, width=width, groups=groups, scale=scale),
        state=state,
        origin="https://github.com/nmhkahn/CARN-pytorch",
        terms="MIT",
    )

"""A page of pictures in one HTML file: no other file, no internet, and no script but that of its sliders."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Sheet, to_pixels
from sfumato.demonstration.blocks import SCRIPT, STYLE, Block, html
from sfumato.io.web_page import document, escaped

GAP = 10

NEXT = """sfumato generate fashion -n 64 --label bag --out bags/
sfumato restore a-photograph.jpg --out clean.jpg
sfumato interpolate digits --label 8 --out eight.gif
sfumato train dcgan --data a-folder-or-zip-of-your-pictures --budget 30min
sfumato models"""


def page(title: str, blocks: Sequence[Block], *, following: str = NEXT) -> str:
    """The page as HTML, with `following` commands at its end."""
    whole = f"<h1>{escaped(title)}</h1>\n{html(blocks)}\n<h2>Go on</h2><pre>{escaped(following)}</pre>"
    return document(title, whole, style=STYLE, script=SCRIPT)


def sheet(groups: Sequence[tuple[Float[Tensor, "_n c h w"], int]]) -> Sheet:
    """Groups of images, each with its number of columns, below one another on one white sheet (uint8, height x width x channels)."""
    parts = [to_pixels(images, columns=columns) for images, columns in groups]
    width, channels = max(p.shape[1] for p in parts), max(p.shape[2] for p in parts)
    height = sum(p.shape[0] for p in parts) + GAP * (len(parts) - 1)
    canvas = torch.full((height, width, channels), 255, dtype=torch.uint8)
    top = 0
    for part in parts:
        canvas[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0] + GAP
    return canvas

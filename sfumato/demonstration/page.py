"""A page of pictures in one HTML file: no script, no other file, no internet."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.core.tensors import Pixels, Sheet, to_pixels
from sfumato.io.web_page import document, escaped, picture_address

GAP = 10

STYLE = """
p { margin: .2rem 0 .8rem; opacity: .8; max-width: 44rem }
img { image-rendering: pixelated; border-radius: 4px; margin: 0 .6rem .6rem 0; vertical-align: top }
"""

NEXT = """sfumato generate fashion -n 64 --label bag --out bags/
sfumato interpolate digits --label 8 --out eight.gif
sfumato train dcgan --data a-folder-or-zip-of-your-pictures --budget 30min
sfumato models"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, a sentence and pictures: pixels, or files to embed."""

    title: str
    text: str
    pictures: tuple[Pixels | Path, ...]
    scale: int
    """Side of a pixel on the screen."""


def page(title: str, sections: list[Section], *, following: str = NEXT) -> str:
    """The page as HTML, with `following` commands at its end."""
    body = "\n".join(_section(section) for section in sections)
    whole = f"<h1>{escaped(title)}</h1>\n{body}\n<h2>Go on</h2><pre>{escaped(following)}</pre>"
    return document(title, whole, style=STYLE)


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


def _section(section: Section) -> str:
    images = "".join(_image(picture, section.scale, section.title) for picture in section.pictures)
    return f"<h2>{escaped(section.title)}</h2><p>{escaped(section.text)}</p><div>{images}</div>"


def _image(picture: Pixels | Path, scale: int, title: str) -> str:
    if isinstance(picture, Path):
        content, kind = picture.read_bytes(), picture.suffix[1:]
        with Image.open(io.BytesIO(content)) as image:
            width = image.width
    else:
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1).numpy()).save(encoded, "PNG", optimize=True)
        content, kind, width = encoded.getvalue(), "png", picture.shape[1]
    return f'<img width="{width * scale}" alt="{escaped(title)}" src="{picture_address(content, kind)}">'

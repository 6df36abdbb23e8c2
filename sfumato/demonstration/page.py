"""A page of pictures in one HTML file: no script, no other file, no internet."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.core.tensors import Pixels, Sheet, to_pixels
from sfumato.core.text import printable

GAP = 10

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 3rem auto; padding: 0 1.2rem }
h1 { font-weight: 300; font-size: 2.6rem; letter-spacing: .04em; margin: 0 0 .2rem }
h2 { font-weight: 500; font-size: 1.15rem; margin: 2.4rem 0 .2rem }
p { margin: .2rem 0 .8rem; opacity: .8; max-width: 44rem }
img { image-rendering: pixelated; max-width: 100%; border-radius: 4px; margin: 0 .6rem .6rem 0; vertical-align: top }
code { background: #8882; padding: .1em .35em; border-radius: 3px }
pre { background: #8881; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto }
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
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_plain(title)}</title><style>{STYLE}</style></head><body><h1>{_plain(title)}</h1>\n{body}\n"
        f"<h2>Go on</h2><pre>{_plain(following)}</pre></body></html>\n"
    )


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
    return f"<h2>{_plain(section.title)}</h2><p>{_plain(section.text)}</p><div>{images}</div>"


def _plain(text: str) -> str:
    """`text` escaped for HTML, without control characters."""
    return html.escape(printable(text, lines=True))


def _image(picture: Pixels | Path, scale: int, title: str) -> str:
    if isinstance(picture, Path):
        content, kind = picture.read_bytes(), picture.suffix[1:]
        with Image.open(io.BytesIO(content)) as image:
            width = image.width
    else:
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1).numpy()).save(encoded, "PNG", optimize=True)
        content, kind, width = encoded.getvalue(), "png", picture.shape[1]
    data = base64.b64encode(content).decode()
    return f'<img width="{width * scale}" alt="{_plain(title)}" src="data:image/{kind};base64,{data}">'

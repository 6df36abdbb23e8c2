"""The blocks of a page of pictures: pictures side by side, a comparison under a slider, and frames that a slider moves through."""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from PIL import Image

from sfumato.core.tensors import Sheet
from sfumato.io.web_page import escaped, picture_address
from sfumato.restoration.report_style import SCRIPT as SLIDERS
from sfumato.restoration.report_style import STYLE as SLIDER_STYLE

STYLE = (
    SLIDER_STYLE
    + """
p { margin: .2rem 0 .8rem; opacity: .8; max-width: 44rem }
.sheets img { display: inline-block; image-rendering: pixelated; border-radius: 4px; margin: 0 .6rem .6rem 0;
  vertical-align: top; background: none }
.frames { max-width: 100%; width: max-content }
.frames .window { overflow-x: auto; border-radius: 4px }
.frames img { max-width: none; image-rendering: pixelated; background: none }
.frames.moved .window { overflow: hidden }
.frames input { display: block; width: 100%; margin: .5rem 0 0 }
"""
)
"""The style of all blocks; that of a slider is the style of reports."""

SCRIPT = (
    SLIDERS
    + """
for (const frames of document.querySelectorAll(".frames")) {
  const strip = frames.querySelector("img"), view = frames.querySelector(".window");
  const count = Number(frames.dataset.count), slider = document.createElement("input");
  slider.type = "range";
  slider.max = count - 1;
  slider.value = (count - 1) / 2;
  slider.setAttribute("aria-label", frames.dataset.name);
  const width = strip.width / count;
  view.style.setProperty("width", width + "px");
  const show = () => { view.scrollLeft = Math.round(slider.value * width); };
  slider.addEventListener("input", show);
  frames.classList.add("moved");
  frames.append(slider);
  show();
}
"""
)


ENLARGED = 2
"""Side of a pixel of a comparison on the screen."""


@dataclass(frozen=True, kw_only=True)
class Block(ABC):
    """A heading, a sentence, and what is below them."""

    title: str
    text: str

    @abstractmethod
    def content(self) -> str:
        """The HTML below the sentence."""

    def html(self) -> str:
        """The whole block."""
        return f"<h2>{escaped(self.title)}</h2><p>{escaped(self.text)}</p>{self.content()}"


@final
@dataclass(frozen=True, kw_only=True)
class Section(Block):
    """Pictures side by side: pixels, or files to embed."""

    pictures: tuple[Sheet | Path, ...]
    scale: int
    """Side of a pixel on the screen."""

    def content(self) -> str:
        return f"<div class=sheets>{''.join(_image(picture, self.scale, self.title) for picture in self.pictures)}</div>"


@final
@dataclass(frozen=True, kw_only=True)
class Comparison(Block):
    """Two pictures of one size, one above the other under a slider; side by side where scripts do not run."""

    before: Sheet
    after: Sheet
    names: tuple[str, str] = ("before", "after")
    """Words on the two pictures."""

    def content(self) -> str:
        pictures = zip(("before", "after"), self.names, (self.before, self.after), strict=True)
        sides = "".join(
            f'<div class="side {kind}">{_image(picture, ENLARGED, f"{self.title}, {name}")}<span>{escaped(name)}</span></div>'
            for kind, name, picture in pictures
        )
        return f'<div class="pair" data-name="{escaped(self.title)}">{sides}</div>'


@final
@dataclass(frozen=True, kw_only=True)
class Filmstrip(Block):
    """Frames of one size, of which a slider shows one; all side by side where scripts do not run."""

    strip: Sheet
    """The frames side by side."""
    count: int
    """Number of frames, odd: the middle one is shown first."""
    scale: int
    """Side of a pixel on the screen."""

    def content(self) -> str:
        image = _image(self.strip, self.scale, self.title)
        return f'<div class="frames" data-count="{self.count}" data-name="{escaped(self.title)}"><div class="window">{image}</div></div>'


def html(blocks: Sequence[Block]) -> str:
    """The HTML of blocks below one another."""
    return "\n".join(block.html() for block in blocks)


def _image(picture: Sheet | Path, scale: int, title: str) -> str:
    if isinstance(picture, Path):
        content, kind = picture.read_bytes(), picture.suffix[1:]
        with Image.open(io.BytesIO(content)) as image:
            width = image.width
    else:
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1).numpy()).save(encoded, "PNG", optimize=True)
        content, kind, width = encoded.getvalue(), "png", picture.shape[1]
    return f'<img width="{width * scale}" alt="{escaped(title)}" src="{picture_address(content, kind)}">'

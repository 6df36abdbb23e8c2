"""The groups of an index as one HTML page: no script, no other file, no internet."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from sfumato.core import atomic_io, outputs
from sfumato.core.tensors import to_bytes
from sfumato.core.text import printable
from sfumato.embeddings.cluster import Clusters
from sfumato.embeddings.embedder import Embedder
from sfumato.embeddings.thumbnails import Thumbnails, opened_thumbnails
from sfumato.io.decode import EightBit

TYPICAL, LEAST = 12, 6
"""Pictures of a group that are shown: the most typical ones behind the medoid, and the least typical ones."""
_SHOWN = 64
"""Least side of a picture on the page, in pixels of the screen."""

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-weight: 300; margin: 0 }
h2 { font-weight: 500; font-size: 1.1rem; margin: 2rem 0 .4rem }
p { max-width: 46rem; margin: .2rem 0 .8rem; opacity: .85 }
.row { display: flex; gap: 1.4rem }
figure { margin: 0; flex: 0 0 auto }
figure.many { flex: 0 1 auto; min-width: 6rem }
@media (max-width: 40rem) { .row { flex-wrap: wrap } }
figcaption { font-size: .8rem; opacity: .75 }
img { image-rendering: pixelated; border-radius: 3px; margin: 0 3px 3px 0; vertical-align: top }
table { border-collapse: collapse; font-size: .85rem }
td, th { padding: .1rem .6rem; text-align: right }
"""


def output_files(out: Path) -> list[Path]:
    """The file that `write_page` writes. Raises SettingError for another ending than .html."""
    outputs.check_ending(out, (".html",), "pages of groups")
    return [out]


def write_page(clusters: Clusters, path: Path, network: Embedder | None = None) -> None:
    """Writes the page of the groups. With `network`, the model of the index, each group begins with the image of its mean vector.

    Raises DataError if the pictures of the index are not at hand, StorageError.
    """
    with opened_thumbnails(clusters.index) as pictures:
        atomic_io.write(path, page(clusters, pictures, decoded_centres(clusters, network)))


def decoded_centres(clusters: Clusters, network: Embedder | None) -> list[EightBit | None]:
    """The image of the mean vector of each group, (h, w, 3); None without a model, or for one that cannot decode."""
    images = None if network is None else network.decoded(clusters.centres)
    if images is None:
        return [None] * clusters.count
    return [each.permute(1, 2, 0).expand(-1, -1, 3).numpy() for each in to_bytes(images)[:, :3]]


def page(clusters: Clusters, pictures: Thumbnails, centres: list[EightBit | None]) -> str:
    """The page as HTML."""
    source = _plain(clusters.index.source)
    sections = "\n".join(_section(clusters, pictures, i, centres[i]) for i in range(clusters.count))
    note = "The image of the mean vector is blurred where the pictures of a group differ. " if any(c is not None for c in centres) else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Groups of {source}</title><style>{STYLE}</style></head><body>"
        f"<h1>{len(clusters.index):,} pictures of {source} in {clusters.count} groups</h1>"
        f"<p>Vectors of {_plain(clusters.index.model)}, method {clusters.method}. A picture under the mouse shows its path and its "
        f"similarity to the mean of its group. {note}</p>{_stability(clusters)}\n{sections}</body></html>\n"
    )


def _section(clusters: Clusters, pictures: Thumbnails, group: int, centre: EightBit | None) -> str:
    members = clusters.members(group)
    share = len(members) / len(clusters.index)
    rest = members[1:]
    typical, least = rest[:TYPICAL], rest[TYPICAL:][-LEAST:][::-1]
    words = "most typical" if least else "the others, the most typical first"
    mean = [] if centre is None else [_figure("mean, decoded", _image(centre, "the mean of the group"))]
    parts = [
        *mean,
        _figure("medoid", _member(clusters, pictures, members[0])),
        _figure(words, "".join(_member(clusters, pictures, i) for i in typical), many=True) if typical else "",
        _figure("least typical", "".join(_member(clusters, pictures, i) for i in least), many=True) if least else "",
    ]
    noun = "picture" if len(members) == 1 else "pictures"
    return f'<h2>Group {group + 1}: {len(members):,} {noun}, {share:.1%}</h2><div class="row">{"".join(parts)}</div>'


def _member(clusters: Clusters, pictures: Thumbnails, row: int) -> str:
    path = clusters.index.paths[row]
    pixels = pictures.pixels(path)
    words = f"{path}, {clusters.typicality[row].item():.2f}"
    return _image(np.full((8, 8, 3), 128, np.uint8) if pixels is None else pixels, words)


def _figure(caption: str, images: str, *, many: bool = False) -> str:
    return f"<figure{' class=many' * many}>{images}<figcaption>{caption}</figcaption></figure>"


def _image(pixels: EightBit, words: str) -> str:
    """A picture with its words, which appear under the mouse and for those who do not see it."""
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, "PNG", optimize=True)
    data, width = base64.b64encode(encoded.getvalue()).decode(), max(_SHOWN, pixels.shape[1])
    return f'<img width="{width}" alt="{_plain(words)}" title="{_plain(words)}" src="data:image/png;base64,{data}">'


def _stability(clusters: Clusters) -> str:
    if not clusters.stability:
        return ""
    counts = "".join(f"<th>{count}</th>" for count in clusters.stability)
    scores = "".join(f"<td>{score:.2f}</td>" for score in clusters.stability.values())
    words = "How well groupings of random halves of the pictures agree, for each number of groups (1: the same groups, 0: by chance)."
    return f"<p>{words}</p><table><tr><th>groups</th>{counts}</tr><tr><th>agreement</th>{scores}</tr></table>"


def _plain(text: str) -> str:
    """`text` escaped for HTML, without control characters."""
    return html.escape(printable(text)).encode("utf-8", "replace").decode()

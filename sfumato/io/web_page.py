"""A web page in one file: pictures are embedded, nothing is fetched, and text of others is escaped.

escaped text, picture_address ─> HTML of the body ─ document ─> the page
"""

import base64
import hashlib
import html

from sfumato.core.text import printable

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 3rem auto; padding: 0 1.2rem }
h1 { font-weight: 300; font-size: 2.6rem; letter-spacing: .04em; margin: 0 0 .2rem }
h2 { font-weight: 500; font-size: 1.15rem; margin: 2.4rem 0 .2rem }
img { max-width: 100% }
code { background: #8882; padding: .1em .35em; border-radius: 3px }
pre { background: #8881; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto }
"""
"""The style that all pages share, for a light and a dark screen."""


def escaped(text: str) -> str:
    """`text` for the body or a quoted attribute of an HTML page, without control characters; newlines stay.

    >>> escaped('<b>"cat"')
    '&lt;b&gt;&quot;cat&quot;'
    """
    return html.escape(printable(text, lines=True))


def picture_address(content: bytes, kind: str) -> str:
    """The content of a picture file of the format `kind`, such as png, as an address that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """The HTML of a page with this `title`, which is escaped, and this `body`, which must be HTML already.

    `style` is added to `STYLE`. The page asks the browser to run no script but `script`, and to load nothing from anywhere else.
    """
    style = STYLE + style
    rules = [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{_hash(style)}'",
        *([f"script-src '{_hash(script)}'"] if script else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    code = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape("; ".join(rules))}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escaped(title)}</title><style>{style}</style></head><body>\n{body}\n{code}</body></html>\n"
    )


def _hash(code: str) -> str:
    """The hash by which a page names a script or a style that may be used."""
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"

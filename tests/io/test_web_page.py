"""Pages in one file: text of others is text, and the page names the only code that may run."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from sfumato.io.web_page import document, escaped


class Seen(HTMLParser):
    """The tags and the text of a page, as a browser reads them."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, text):
        self.text += text


@given(st.text())
def test_escaped_text_opens_no_tag_and_ends_no_attribute(text):
    seen = Seen(f'<p title="{escaped(text)}">{escaped(text)}</p>')
    assert seen.tags == ["p"]
    assert [name for name, _ in seen.attributes] == ["title"]


def test_escaped_text_is_read_as_it_was():
    text = '<b> & "cat"'
    assert Seen(f"<p>{escaped(text)}</p>").text == text


def test_a_page_allows_its_own_script_and_style_and_no_other():
    page = document("A title", "<p>text</p>", style="p { margin: 0 }", script="let x = 1 < 2 && 3;")
    policy = re.search(r'Security-Policy" content="([^"]*)"', page)[1]
    policy = policy.replace("&#x27;", "'")
    for tag in ("script", "style"):
        code = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_a_page_without_a_script_allows_none():
    page = document("A title", "<p>text</p>")
    assert "script" not in page

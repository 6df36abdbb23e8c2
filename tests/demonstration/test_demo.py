"""The demonstration leaves a picture, a page and a model, and uses the model again."""

import functools
import re

from PIL import Image

from sfumato.demonstration import demo as demos
from sfumato.demonstration import showcase as showcases


def test_demo_leaves_a_picture_and_a_page(tmp_path, monkeypatch):
    small = showcases.photograph()[:, :, :48, :48]
    monkeypatch.setattr(demos, "showcase", functools.partial(showcases.showcase, small))  # small, to be quick
    paths = demos.demo(tmp_path, budget="1s")
    page = paths["page"].read_text()
    titles = re.findall("<h2>(.*?)</h2>", page)
    best = ["Repair: noise of a camera", "Repair: blur", "Repair: JPEG", "Compress", "Edit: a cat", "Dream"]
    assert titles[:6] == best, "what is best comes first"
    assert page.count("<img") >= 12
    assert page.count('class="pair"') == 5
    assert 'data-count="9"' in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    with Image.open(paths["picture"]) as picture:
        assert picture.width > 300
    before = paths["model"].read_bytes()
    monkeypatch.setattr(demos, "showcase", lambda on_part: ())
    demos.demo(tmp_path, budget="1s")
    assert paths["model"].read_bytes() == before

"""The site of the documentation: it builds without a warning, every page is in its list, and the pages made from code are complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sfumato as sf
from sfumato import cli
from sfumato.core.config import fields_of
from sfumato.core.registry import FAMILIES
from sfumato.recipes import RECIPES

ROOT = Path(__file__).parent.parent
LONGEST = 250
"""Lines of a page."""


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(ROOT))
    from scripts import documentation, quotes, reference

    yield {"documentation": documentation, "quotes": quotes, "reference": reference}
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def reference(scripts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        return scripts["reference"].pages()


def pages() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.skipif("SFUMATO_SITE_BUILT" in os.environ, reason="scripts/check has just built it")
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="the site needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    hosts = set()
    for page in (tmp_path / "site").rglob("*.html"):
        hosts |= set(
            re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?(?:https?:)?//([^/\"]+)", page.read_text(encoding="utf-8"))
        )
    assert not hosts, "the site asks other hosts for nothing"


def test_no_page_is_long(reference, scripts):
    outside = [ROOT / name for name in scripts["documentation"].OUTSIDE]
    lengths = {str(page.relative_to(ROOT)): len(page.read_text(encoding="utf-8").splitlines()) for page in [*pages(), *outside]}
    lengths |= {path: len(text.splitlines()) for path, text in reference.items()}
    assert not {path: length for path, length in lengths.items() if length > LONGEST}


def test_every_page_is_in_the_list_of_pages(scripts):
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = re.findall(r"[\w/-]+\.md", str(nav))
    assert len(listed) == len(set(listed))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in pages()} | set(scripts["documentation"].OUTSIDE.values())
    made = {path for path in listed if path.startswith("reference/")}
    assert set(listed) - made == there
    assert made == {f"reference/{name}.md" for name in ("python", "commands", "recipes", "settings")}


def test_every_verb_recipe_and_public_name_is_in_the_reference(reference):
    for verb in cli.verbs:
        assert f"usage: sfumato {verb}" in reference[f"reference/commands/{verb}.md"]
    for recipe in RECIPES:
        assert f"| `{recipe}` |" in reference["reference/recipes.md"]
    names = "\n".join(text for path, text in reference.items() if path.startswith("reference/python/"))
    assert set(re.findall(r"(?m)^## sf\.(\w+)$", names)) == set(sf.__all__)


def test_every_setting_has_a_line_with_its_meaning(reference):
    for name in FAMILIES:
        family = FAMILIES.find(name)
        if not family.__module__.startswith("sfumato."):
            continue
        page = reference[f"reference/settings/{name}.md"]
        for field in fields_of(family):
            (row,) = re.findall(rf"(?m)^\| `{field.name}` \| (.+) \| (.+) \| (.*) \|$", page)
            assert all(row), f"{name}.{field.name} has no text below it"
        assert f"settings/{name}.md" in reference["reference/settings.md"]


def test_a_range_is_told_with_its_unit(reference):
    assert "| `latent_dim` | 1 to 4096 numbers | `32` | Length of the latent z. |" in reference["reference/settings/vae.md"]
    assert "| `crop` | `centre`, `stretch` | `'centre'` |" in reference["reference/settings/training.md"]


@pytest.mark.parametrize("page", [p for p in pages() if "<!-- quote " in p.read_text(encoding="utf-8")], ids=lambda p: p.stem)
def test_quoted_code_is_the_code(page, scripts):
    assert scripts["quotes"].write(page) == page.read_text(encoding="utf-8"), "run python -m scripts.quotes"


def test_a_quotation_of_what_is_not_there_is_refused(scripts):
    with pytest.raises(LookupError, match="has no Nothing"):
        scripts["quotes"].quoted("sfumato/nn/blocks.py", "Nothing")


LEARN = [page for page in pages() if page.parent.name == "learn" and page.stem != "index"]


@pytest.mark.parametrize("page", LEARN, ids=lambda p: p.stem)
def test_a_page_that_derives_a_method_has_equation_code_and_exercise(page):
    text = page.read_text(encoding="utf-8")
    assert re.search(r"(?m)^\$\$\n.+?\n\$\$$", text, re.S)
    assert "```python" in text
    assert re.search(r"(?m)^## Exercises\n\n1\. ", text)
    assert 60 <= len(text.splitlines()) <= 150
    assert f"]({page.name})" in (page.parent / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", LEARN, ids=lambda p: p.stem)
def test_formulas_become_mathml(page):
    convert = pytest.importorskip("latex2mathml.converter", reason="formulas need the extra docs").convert
    text = re.sub(r"(?ms)^```.*?^```|`[^`\n]+`", "", page.read_text(encoding="utf-8"))
    formulas = re.findall(r"(?ms)^\$\$\n(.+?)\n\$\$$", text) + re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", text)
    assert formulas
    assert text.count("$") % 2 == 0
    for formula in formulas:
        assert "\\" not in re.sub(r"<[^>]+>", "", convert(formula)), formula


def test_lines_of_chinese_are_joined_without_a_space(scripts):
    joint = scripts["documentation"].JOINT
    assert joint.sub("", "均值是\n模糊的。\n\n第二段\n* 一") == "均值是模糊的。\n\n第二段\n* 一"
    assert joint.sub("", "约需\n`sfumato` 的\ntext") == "约需\n`sfumato` 的\ntext"


def test_links_out_of_the_pages_lead_to_pages_of_the_site(scripts):
    relinked = scripts["documentation"].relinked
    text = "[a](../README.md) [b](editing.md#walks) ![c](pictures/cats.jpg) [d](../examples/train_gan.py) [e](https://x.org/y)"
    expected = "[a](index.md) [b](editing.md#walks) ![c](pictures/cats.jpg) [d](source/examples/train_gan.py.md) [e](https://x.org/y)"
    assert relinked(text, "docs/page.md", "page.md") == expected
    assert relinked("[a](docs/learn/gan.md) ![b](docs/pictures/cats.jpg)", "README.zh-CN.md", "zh/index.md") == (
        "[a](../learn/gan.md) ![b](../pictures/cats.jpg)"
    )
    assert relinked("```\n[a](b.md)\n```\n", "docs/page.md", "page.md") == "```\n[a](b.md)\n```\n"

"""The Chinese pages are in step with the English ones: the same headings, commands, figures, code and links."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAIRS = {"README.md": "README.zh-CN.md"} | {
    f"docs/{page.name}": f"docs/zh/{page.name}" for page in sorted((ROOT / "docs" / "zh").glob("*.md"))
}
BLOCK = re.compile(r"^```.*?^```", re.M | re.S)


@pytest.fixture(params=PAIRS, ids=lambda name: Path(name).stem)
def pair(request):
    return [(ROOT / name).read_text(encoding="utf-8") for name in (request.param, PAIRS[request.param])]


def blocks(text: str) -> list[str]:
    """Blocks of code without their comments, which are translated."""
    return [re.sub(r"(?m)\s+# .*$", "", block) for block in BLOCK.findall(text)]


def prose(text: str) -> str:
    """The text without blocks, the targets of links, and the two headings of a table."""
    return re.sub(r"\]\([^)]*\)", "]", BLOCK.sub("", text))


def commands(text: str) -> Counter[str]:
    """All that stands between backticks, in prose and tables."""
    return Counter(re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)))


def figures(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", prose(text)))


def targets(name: str, text: str) -> Counter[str]:
    """Where links lead, as paths in the repository; a Chinese page counts as the English one that it translates."""
    english = {chinese: original for original, chinese in PAIRS.items()}
    found = []
    for target in re.findall(r"\]\(([^)]+)\)", BLOCK.sub("", text)):
        if ":" in target:
            found.append(target)
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()
        found.append(english.get(place, place) + (f"#{anchor}" if anchor else ""))
    return Counter(found)


def test_headings_have_the_same_levels(pair):
    english, chinese = (re.findall(r"(?m)^(#+) ", BLOCK.sub("", text)) for text in pair)
    assert english == chinese


def test_blocks_of_code_are_the_same(pair):
    english, chinese = map(blocks, pair)
    assert english == chinese


def test_commands_and_names_are_the_same(pair):
    english, chinese = map(commands, pair)
    assert english == chinese


def test_figures_are_the_same(pair):
    english, chinese = map(figures, pair)
    assert english == chinese


def test_tables_have_the_same_rows(pair):
    english, chinese = ([line.count("|") for line in prose(text).splitlines() if line.startswith("|")] for text in pair)
    assert english == chinese


@pytest.mark.parametrize("name", PAIRS, ids=lambda name: Path(name).stem)
def test_links_lead_to_the_same_places(name):
    english, chinese = (targets(page, (ROOT / page).read_text(encoding="utf-8")) for page in (name, PAIRS[name]))
    if name == "README.md":  # each leads to the other
        english, chinese = english - Counter(["README.md"]), chinese - Counter(["README.md"])
    assert english == chinese


@pytest.mark.parametrize("name", PAIRS.values(), ids=lambda name: Path(name).stem)
def test_chinese_pages_are_in_chinese(name):
    text = prose((ROOT / name).read_text(encoding="utf-8"))
    text = re.sub(r"<!-- models -->.*?<!-- end -->|`[^`]*`", "", text, flags=re.S)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > len(re.findall(r"[A-Za-z]+", text))


def test_the_pages_of_start_tasks_and_questions_are_translated():
    assert {"docs/installing.md", "docs/start.md", "docs/tasks.md", "docs/questions.md"} <= set(PAIRS)

"""What MkDocs does besides Markdown, as hooks of mkdocs.yml.

    pages     the README is the first page; other pages from outside of docs/ and the pages of reference (`scripts/reference.py`) are added
    links     a link that leaves docs/ leads to the page of that file, or to a page that shows the file
    formulas  `$...$` becomes MathML, which browsers draw themselves: no script and no font from anywhere

`python -m mkdocs build --strict` ends with an error for a dead link, a dead anchor and a page that is not in the list of pages.
"""

import html
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

OUTSIDE = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh/index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
"""The page of the site for each page outside of docs/."""

LANGUAGES = {".py": "python", ".yaml": "yaml", ".slurm": "bash", ".cff": "yaml"}

LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
"""A link or a picture: what stands before its target, the target, and what stands behind."""

JOINT = re.compile(r"(?<=[\u3001-\u9fff\uff00-\uffef])\n *(?=[\u4e00-\u9fff])")
"""The end of a line between two Chinese characters, which a browser would show as a space."""

CELL = re.compile(r"<td\b.*?</td>", re.S)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages from outside of docs/, the pages of reference, and a page for each file that a page links to."""
    from mkdocs.structure.files import File

    from scripts.reference import pages

    for path, text in {**_outside(), **pages(), **_sources()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The links of a page in docs/ that leave it, as links to the pages of this site; lines of Chinese joined without a space."""
    path = page.file.src_path
    text = markdown if path.startswith(("reference/", "source/")) or path in OUTSIDE.values() else relinked(markdown, f"docs/{path}", path)
    return JOINT.sub("", text) if path.startswith("zh/") else text


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    """The formulas of a page as MathML. In code inside of a table `\\|` stands for `|`, as on GitHub."""
    return CELL.sub(lambda cell: cell[0].replace("\\|", "|"), FORMULA.sub(_formula, content))


def _formula(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    return convert(html.unescape(found[3]).strip(), display="block" if found[2] == "[" else "inline")


def _outside() -> dict[str, str]:
    return {
        path: relinked((ROOT / name).read_text(encoding="utf-8"), name, path) for name, path in OUTSIDE.items() if (ROOT / name).exists()
    }


def relinked(markdown: str, source: str, path: str) -> str:
    """The text of the file `source` of the repository, with links as they must be on the page `path` of the site."""
    up = "../" * path.count("/")

    def link(found: re.Match[str]) -> str:
        if re.match(r"\w+:", found[2]):
            return found[0]
        target = _normal(PurePosixPath(source).parent / found[2])
        return f"{found[1]}{up}{place(target)}{found[3]}"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def place(target: str) -> str:
    """Where the file `target` of the repository is in the site."""
    if target in OUTSIDE:
        return OUTSIDE[target]
    page = target.startswith("docs/") and not (ROOT / target).is_dir()
    return target.removeprefix("docs/") if page else f"source/{target}.md"


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _sources() -> dict[str, str]:
    """A page for each file, and for each folder, outside of docs/ that a page links to and that is no page itself."""
    pages: dict[str, str] = {}
    for page in [ROOT / name for name in OUTSIDE] + sorted((ROOT / "docs").rglob("*.md")):
        if page.exists():
            for _, target, _ in LINK.findall(re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)):
                pages |= _shown((page.parent / target).resolve())
    return pages


def _shown(file: Path) -> dict[str, str]:
    """The page that shows a file or a folder of the repository; nothing for pages and for what is not there."""
    name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) and file.exists() else ""
    if not name or not place(name).startswith("source/"):
        return {}
    if not file.is_dir():
        return {place(name): _block(file)}
    members = [each for each in sorted(file.iterdir()) if each.is_file()]
    listed = "".join(f"* [{each.name}]({file.name}/{each.name}.md)\n" for each in members)
    return {place(name): f"# {name}\n\n{listed}", **{f"source/{name}/{each.name}.md": _block(each) for each in members}}


def _block(file: Path) -> str:
    text = file.read_text(encoding="utf-8").rstrip()
    return f"# {file.name}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}\n````\n"

"""Writes the code that pages quote, so that a page shows what the source says now.

python -m scripts.quotes

    <!-- quote sfumato/nn/blocks.py HalvedConv.forward -->     the mark, in a page of docs/
    ```python title="sfumato/nn/blocks.py"                     the block below it, which this program writes

A function inside of a function is named like a method: `Config.phases.bound`.
"""

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"(<!-- quote (\S+) (\S+) -->\n)(?:```python.*?^```\n)?", re.M | re.S)


def quoted(file: str, name: str) -> str:
    """The source of the function or class `name` of a file of the repository, without indentation. Raises LookupError if there is none."""
    text = (ROOT / file).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        named = [each for each in ast.walk(node) if isinstance(each, kinds) and each is not node and each.name == part]
        if not named:
            raise LookupError(f"{file} has no {name}")
        node = named[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))


def write(page: Path) -> str:
    """The text of `page` with fresh quotations below its marks."""
    return MARK.sub(lambda m: f'{m[1]}```python title="{m[2]}"\n{quoted(m[2], m[3])}\n```\n', page.read_text(encoding="utf-8"))


def main() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        page.write_text(write(page), encoding="utf-8")


if __name__ == "__main__":
    main()

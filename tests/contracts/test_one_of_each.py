"""What every room needs is written once: hashes of files, the overwrite rule, luma, opening pictures."""

import ast
from pathlib import Path

import pytest

import sfumato

ROOT = Path(sfumato.__file__).parent
OPENS = {
    "degradations/jpeg.py": "the JPEG that it has just encoded",
    "demonstration/blocks.py": "a picture of the page",
    "evaluation/codecs.py": "the file of a common format, whose decoding is timed",
    "io/decode.py": "the small copy of a PNG without pixels",
    "io/metadata.py": "the small picture by which it writes metadata",
    "web/limits.py": "the header of an upload, before the work of another process",
    "web/tasks/compressing.py": "previews that it has just written",
    "web/tasks/restoring.py": "previews, and layers that were painted in the browser",
}
"""Files that open pictures with Pillow, and which; all others read pictures through io/decode.py and io/files.py."""
ONCE = {
    "hashlib.file_digest": {"core/atomic_io.py"},
    "is there already": {"core/outputs.py"},
    "0.299": {"nn/channels.py"},
    "Image.open(": set(OPENS),
}
"""A text that stands for a function, and the files that may have it."""


def without_docstrings(path):
    """The source of a file, written anew without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.unparse(tree)


@pytest.fixture(scope="module")
def sources():
    """The source of each file of the package, by its path."""
    return {path.relative_to(ROOT).as_posix(): without_docstrings(path) for path in ROOT.rglob("*.py")}


@pytest.mark.parametrize("text", ONCE)
def test_it_is_written_in_the_named_files_alone(text, sources):
    assert {name for name, source in sources.items() if text in source} == ONCE[text]

"""The border between bytes and images, and the sheet."""

import ast
import re
from pathlib import Path

import pytest
import torch

import sfumato
from sfumato.core.tensors import size_text, to_bytes, to_images, to_pixels


def test_bytes_survive_the_way_there_and_back():
    stored = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    images = to_images(stored)
    assert images.dtype == torch.float32
    assert (images.min().item(), images.max().item()) == (0.0, 1.0)
    assert torch.equal(to_bytes(images), stored)


def test_what_lies_outside_is_cut_off_and_the_rest_rounded_to_the_nearest():
    images = torch.tensor([-0.1, 0.4 / 255, 0.6 / 255, 1.3]).reshape(1, 1, 2, 2).requires_grad_()
    assert to_bytes(images).flatten().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("count", "columns", "expected"), [(4, None, (18, 18)), (5, None, (18, 28)), (6, 6, (8, 58)), (3, 9, (8, 28)), (1, None, (8, 8))]
)
def test_a_sheet_is_near_square_unless_told_otherwise(count, columns, expected):
    assert to_pixels(torch.zeros(count, 1, 8, 8), columns=columns).shape == (*expected, 1)


def test_a_sheet_reads_from_left_to_right_with_white_between():
    images = torch.linspace(0, 0.5, 4).reshape(4, 1, 1, 1).expand(4, 3, 2, 3)
    sheet = to_pixels(images, columns=2, gap=1)
    assert sheet.shape == (5, 7, 3)
    assert [sheet[0, 0, 0].item(), sheet[0, 4, 0].item(), sheet[3, 0, 0].item(), sheet[3, 4, 0].item()] == [0, 42, 85, 128]
    assert (sheet[2] == 255).all()
    assert (sheet[:, 3] == 255).all()


def test_wide_images_get_fewer_columns():
    assert to_pixels(torch.zeros(8, 1, 8, 32)).shape[0] > to_pixels(torch.zeros(8, 1, 8, 32)).shape[1] / 3


def test_a_size_is_read_as_width_by_height():
    assert size_text((480, 640)) == size_text(torch.zeros(1, 3, 480, 640).shape[2:]) == "640 x 480"


def _by_hand(node):
    """Whether a text puts two values around an x itself, as sizes are printed."""
    if isinstance(node, ast.JoinedStr):
        parts = [each.value if isinstance(each, ast.Constant) else None for each in node.values]
        return any(
            text is not None and re.fullmatch(r" ?x ?", text) and before is None and after is None
            for before, text, after in zip(parts, parts[1:], parts[2:], strict=False)
        )
    joins = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"
    return joins and isinstance(node.func.value, ast.Constant) and node.func.value.value in (" x ", "x")


def test_no_other_place_prints_a_size():
    """Width and height would be the other way round in one of them, as they were."""
    others = {"tensors.py", "backbones.py", "transfer.py", "idx.py", "editing.py", "dreaming.py", "matfile.py", "parity.py"}
    others |= {"augmenting.py"}
    """The function itself; layers; shapes of weights and inputs, of IDX and .mat files; a grid of mixtures; --size; a square."""
    found = set()
    for path in sorted(Path(sfumato.__file__).parent.rglob("*.py")):
        found |= {path.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _by_hand(node)}
    assert found <= others, found - others
    assert "tensors.py" in found

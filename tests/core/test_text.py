"""Foreign text as names of files."""

from sfumato.core.text import inner_path


def test_no_file_is_looked_for_by_a_name_that_no_file_can_have():
    assert inner_path("x" * 255) is not None
    assert inner_path("x" * 256) is None
    assert inner_path("ü" * 128) is None
    assert inner_path("a/" * 600 + "a") is None

"""Every recipe has a sentence about it and a length in whole batches."""

import pytest

from sfumato.recipes import RECIPES, recipe, summary


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_complete(name):
    settings = recipe(name)
    assert summary(name).endswith(".")
    assert settings.images % settings.batch == 0 or settings.images > 10_000

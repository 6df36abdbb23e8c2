"""What was called otherwise in earlier versions goes on working, and says so."""

import inspect

import pytest
import torch

import sfumato as sf
from sfumato.core.deprecation import renamed_arguments


@renamed_arguments(tell="on_progress")
def work(n, *, on_progress=None):
    """Docs."""
    return n, on_progress


def test_an_earlier_name_warns_and_means_the_same():
    with pytest.warns(DeprecationWarning, match="work: the argument tell is now called on_progress"):
        assert work(1, tell=print) == (1, print)
    assert work(1, on_progress=print) == (1, print)
    assert work.__doc__ == "Docs."
    assert list(inspect.signature(work).parameters) == ["n", "on_progress"]


def test_both_names_are_too_many():
    with pytest.raises(TypeError, match="give one of them"):
        work(1, tell=print, on_progress=print)


def test_verbs_of_earlier_versions_work():
    with pytest.warns(DeprecationWarning, match=r"sfumato\.restored is now called sfumato\.apply_restorer"):
        verb = sf.restored
    assert verb is sf.apply_restorer
    image = torch.full((1, 1, 32, 32), 0.5)
    seen = torch.ones_like(image)
    with pytest.warns(DeprecationWarning, match="known is now called observed"):
        earlier = sf.apply_restorer("inpaint", image, known=seen)
    assert torch.equal(earlier, sf.apply_restorer("inpaint", image, observed=seen))

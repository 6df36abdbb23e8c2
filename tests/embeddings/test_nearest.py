"""Nearest neighbours against sorting all, in blocks of any size, and with faiss where it is installed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import MissingExtraError, SettingError
from sfumato.embeddings import nearest as module
from sfumato.embeddings.nearest import directions_from, nearest


def points(n, d=8, seed=0):
    vectors = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return directions_from(vectors.mean(dim=0, keepdim=True), vectors)


@given(n=st.integers(2, 60), m=st.integers(0, 20), block=st.integers(1, 200), data=st.data())
def test_exact_search_is_sorting(n, m, block, data):
    unit, queries = points(n), points(m, seed=1) if m else torch.zeros(0, 8)
    k = data.draw(st.integers(1, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        similarities, indices = nearest(unit, queries, k)
    expected = (queries @ unit.T).sort(dim=1, descending=True)
    torch.testing.assert_close(similarities, expected.values[:, :k])
    torch.testing.assert_close((queries @ unit.T).gather(1, indices), similarities)


def test_each_vector_is_its_own_nearest():
    unit = points(50)
    similarities, indices = nearest(unit, unit, 1)
    assert indices[:, 0].tolist() == list(range(50))
    torch.testing.assert_close(similarities, torch.ones(50, 1))


@pytest.mark.parametrize("k", [0, 6])
def test_more_neighbours_than_there_are_vectors_are_refused(k):
    with pytest.raises(SettingError):
        nearest(points(5), points(1), k)


def test_faiss_gives_nearly_the_same():
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    unit, queries = points(4000, 16), points(100, 16, seed=1)
    exact, fast = nearest(unit, queries, 10), nearest(unit, queries, 10, method="faiss")
    assert module._recall(fast.indices, exact.indices) >= 0.95
    assert (fast.similarities[:, 0] > exact.similarities[:, 0] - 1e-4).float().mean() > 0.9


def test_without_faiss_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        nearest(points(5), points(1), 1, method="faiss")
    assert len(nearest(points(5), points(1), 1).indices) == 1

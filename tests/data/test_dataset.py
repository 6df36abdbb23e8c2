"""What a data set promises: a fingerprint, a split that only content decides, and a stream that only numbers decide."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream


def dataset(contents, labels=None):
    pixels = torch.tensor(contents, dtype=torch.uint8).reshape(-1, 1, 2, 2)
    return Dataset(name="x", pixels=pixels, labels=None if labels is None else torch.tensor(labels))


def rows(data):
    return [tuple(row) for row in data.pixels.flatten(1).tolist()]


CONTENTS = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(contents=CONTENTS, share=st.floats(0, 1), order=st.randoms(use_true_random=False))
def test_a_split_depends_on_content_alone(contents, share, order):
    train, held = dataset(contents, list(range(len(contents)))).split(share, purpose="test")
    assert sorted(rows(train) + rows(held)) == sorted(contents)
    assert not set(rows(train)) & set(rows(held))
    assert sorted(train.labels.tolist() + held.labels.tolist()) == list(range(len(contents)))
    assert [contents[i] for i in held.labels] == rows(held)

    shuffled = order.sample(contents, len(contents))
    fewer = shuffled[: len(shuffled) // 2 + 1]
    again = dataclasses.replace(dataset(fewer), name="other").split(share, purpose="test")[1]
    assert set(rows(again)) == set(rows(held)) & set(fewer)


@settings(max_examples=30, deadline=None)
@given(contents=CONTENTS, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_share_holds_the_smaller(contents, shares):
    small, large = (set(rows(dataset(contents).split(share, purpose="test")[1])) for share in sorted(shares))
    assert small <= large


def test_a_split_has_about_the_share_asked_for():
    pixels = torch.randint(0, 256, (5000, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Dataset(name="x", pixels=pixels)
    assert 400 < len(data.split(0.1, purpose="test")[1]) < 600
    assert len(data.split(0.0, purpose="test")[1]) == len(data.split(1.0, purpose="test")[0]) == 0


def test_a_split_stays_what_it_was():
    """A run that is resumed after an update must hold out the same images."""
    held = dataset([(i, 0, 0, 0) for i in range(40)]).split(0.2, purpose="test")[1]
    assert held.pixels[:, 0, 0, 0].tolist() == [5, 14, 22, 26, 27]


def test_a_fingerprint_sees_everything():
    base = dataset([(1, 2, 3, 4), (5, 6, 7, 8)], [0, 1])
    others = [
        dataset([(1, 2, 3, 4), (5, 6, 7, 9)], [0, 1]),
        dataset([(1, 2, 3, 4), (5, 6, 7, 8)], [1, 0]),
        dataset([(1, 2, 3, 4), (5, 6, 7, 8)]),
        dataclasses.replace(base, pixels=base.pixels.reshape(2, 1, 1, 4)),
        dataset([(5, 6, 7, 8), (1, 2, 3, 4)], [0, 1]),
    ]
    assert len({base.fingerprint, *(o.fingerprint for o in others)}) == 6
    assert dataclasses.replace(base, name="renamed").fingerprint == base.fingerprint
    turned = dataclasses.replace(base, pixels=base.pixels.mT.contiguous().mT)
    assert turned.fingerprint == base.fingerprint


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do while it is open."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_hashing_asks_torch_as_much_for_many_images_as_for_few():
    """Image by image it would take a hundred times as long as all at once."""

    def operations(count):
        data = Dataset(name="x", pixels=torch.zeros(count, 1, 4, 4, dtype=torch.uint8))
        with Operations() as operations:
            data.split(0.1, purpose="test")
            assert len(data.fingerprint) == 64
        return operations.count

    assert operations(1000) == operations(2) < 100


def numbered(count):
    """Image i is filled with i."""
    pixels = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(1, 1, 2, 2)
    return Dataset(name="x", pixels=pixels, labels=torch.arange(count))


def numbers(images):
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 20), batch=st.integers(1, 50), earlier=st.lists(st.integers(0, 200), max_size=5), start=st.integers(0, 200))
def test_a_batch_depends_on_its_place_alone(count, batch, earlier, start):
    used, fresh = (Stream(numbered(count), batch=batch, seed=3) for _ in range(2))
    for place in earlier:
        used.at(place)
    images, labels = used.at(start)
    assert torch.equal(images, fresh.at(start)[0])
    assert numbers(images) == labels.tolist()
    single = Stream(numbered(count), batch=1, seed=3)
    assert labels.tolist() == [single.at(start + i)[1].item() for i in range(batch)]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 30), batch=st.integers(1, 9), epoch=st.integers(0, 5))
def test_every_epoch_shows_every_image_once(count, batch, epoch):
    stream = Stream(numbered(count), batch=batch, seed=0)
    shown = [n for start in range(epoch * count, (epoch + 1) * count, batch) for n in stream.at(start)[1].tolist()][:count]
    assert sorted(shown) == list(range(count))


def test_epochs_and_seeds_differ():
    orders = {tuple(Stream(numbered(50), batch=50, seed=seed).at(50 * epoch)[1].tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_the_shares_of_the_ranks_make_the_batch(ranks):
    stream = Stream(numbered(30), batch=24, seed=1)
    whole = stream.at(20)
    shares = [stream.at(20, slice(rank * 24 // ranks, (rank + 1) * 24 // ranks)) for rank in range(ranks)]
    assert torch.equal(torch.cat([images for images, _ in shares]), whole[0])
    assert torch.equal(torch.cat([labels for _, labels in shares]), whole[1])


def classed(labels):
    return dataclasses.replace(numbered(len(labels)), labels=torch.tensor(labels), classes=tuple("abcdefgh"))


@given(labels=st.lists(st.integers(0, 7), min_size=1, max_size=70), length=st.sampled_from([1, 2, 4]), seed=st.integers(0, 9))
def test_runs_are_of_one_class_as_far_as_its_images_go_and_an_epoch_has_every_image(labels, length, seed):
    stream = Stream(classed(labels), batch=8, seed=seed, run_length=length)
    epoch = -(-len(labels) // length) * length
    shown = [numbers(stream.at(start)[0]) for start in range(0, 2 * epoch, 8)]
    order = [n for batch in shown for n in batch]
    for part in (order[:epoch], order[epoch : 2 * epoch]):
        assert set(part) == set(range(len(labels))), "all are seen in each epoch"
        assert len(part) - len(set(part)) < length, "and but a few of them twice, to fill the last run"
        runs = [{labels[n] for n in part[i : i + length]} for i in range(0, epoch, length)]
        whole = sum(labels.count(label) // length for label in set(labels))
        assert sum(len(run) == 1 for run in runs) >= whole


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_shares_of_the_ranks_are_whole_runs(ranks):
    labels = [n % 4 for n in range(32)]
    stream = Stream(classed(labels), batch=16, seed=1, run_length=4)
    shares = [stream.at(16, slice(rank * 16 // ranks, (rank + 1) * 16 // ranks)) for rank in range(ranks)]
    images, batch = (torch.cat(parts) for parts in zip(*shares, strict=True))
    assert [labels[n] for n in numbers(images)] == batch.tolist()
    assert all(len(set(batch[i : i + 4].tolist())) == 1 for i in range(0, 16, 4))
    assert len(set(batch.tolist())) > 1


def test_without_labels_there_are_none():
    images, labels = Stream(dataclasses.replace(numbered(5), labels=None), batch=3, seed=0).at(0)
    assert labels is None
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1


def test_what_is_held_out_for_one_purpose_says_nothing_about_another():
    pixels = torch.randint(0, 256, (4000, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    rest, held = Dataset(name="x", pixels=pixels).split(0.1, purpose="test")
    again = rest.split(0.1, purpose="validation")[1]
    assert 250 < len(again) < 450
    assert len(rest.split(0.1, purpose="test")[1]) == 0
    assert len(held.split(0.1, purpose="validation")[1]) < 80

"""Weights of some classes for a network of others."""

import torch

from sfumato.models import MODELS
from sfumato.store.cards import ModelCard
from sfumato.train.class_tables import Transfer, transferred


def config(classes):
    return MODELS["dcgan"](size=(8, 8), channels=1, classes=classes, latent_dim=4, width=4, discriminator_width=4)


def states(before, after):
    torch.manual_seed(0)
    source, model = config(before).build(), config(after).build()
    return source.state_dict(), model


def move(before, after, source_classes, target_classes):
    source, model = states(before, after)
    result, transfer = transferred(source, config(before), model, source_classes=source_classes, target_classes=target_classes)
    return source, model.state_dict(), result, transfer


def test_the_same_classes_keep_their_weights_untouched():
    source, _, result, transfer = move(2, 2, ("a", "b"), ("a", "b"))
    assert transfer is None
    assert all(result[name] is value for name, value in source.items())
    assert move(2, 2, (), ("a", "b"))[3] is None, "without names, classes of equal number are the same"


def test_a_row_of_a_table_goes_where_its_class_went_and_new_classes_begin_afresh():
    source, fresh, result, transfer = move(3, 2, ("a", "b", "c"), ("c", "new"))
    assert (transfer.before, transfer.after, transfer.kept) == (3, 2, 1)
    tables = [name for name in source if source[name].shape != fresh[name].shape]
    assert tables
    for name in tables:
        axis = next(i for i, (old, new) in enumerate(zip(source[name].shape, fresh[name].shape, strict=True)) if old != new)
        if source[name].shape[axis] == 3:
            assert torch.equal(result[name].select(axis, 0), source[name].select(axis, 2)), name
            assert torch.equal(result[name].select(axis, 1), fresh[name].select(axis, 1)), name
    assert all(result[name].shape == fresh[name].shape for name in fresh)
    others = [name for name in source if name not in tables]
    assert all(torch.equal(result[name], source[name]) for name in others)


def test_weights_without_classes_serve_a_network_with_classes_and_the_other_way_round():
    for before, after in ((0, 3), (3, 0)):
        source, _, result, transfer = move(before, after, ("a", "b", "c")[:before], ("a", "b", "c")[:after])
        assert (transfer.before, transfer.after, transfer.kept) == (before, after, 0)
        fitting = config(after).build()
        fitting.load_state_dict({**fitting.state_dict(), **{k: v for k, v in result.items() if k in fitting.state_dict()}})
        for name, value in result.items():
            if name in source and value.ndim == 2 and value.shape != source[name].shape and len(value) == len(source[name]):
                common = min(value.shape[1], source[name].shape[1])
                assert (value[:, common:] == 0).all(), f"{name}: the columns of the label begin at zero"
                assert (value[:, :common] != 0).any(), name


def test_what_became_of_the_classes_is_said():
    assert str(Transfer(before=3, after=3, kept=3)) == ""
    assert str(Transfer(before=3, after=4, kept=1)) == "1 of the 4 classes keep their tables; the other 3 begin afresh"
    assert "begin afresh: the data has 4 others" in str(Transfer(before=3, after=4, kept=0))
    assert "left out" in str(Transfer(before=3, after=0, kept=0))
    assert "4 classes begin afresh: the weights" in str(Transfer(before=0, after=4, kept=0))
    assert Transfer(before=3, after=4, kept=1).dump() == {"before": 3, "after": 4, "kept": 1}


def test_a_model_has_cost_its_own_training_and_the_one_it_began_with():
    card = ModelCard.read({"images_seen": 100, "minutes": 1.5, "started_from": {"images_seen": 40, "minutes": 0.25}}, "a card")
    assert card.total_training() == {"images_seen": 140, "minutes": 1.75}
    assert ModelCard(images_seen=7).total_training() == {"images_seen": 7, "minutes": 0}

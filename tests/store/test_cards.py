"""The card of a model: read from JSON of any version, checked, and written as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import FormatError
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts, Figure, ModelCard, Origin

WORDS = st.text(min_size=1, max_size=8)
FOREIGN = st.dictionaries(WORDS.map("foreign {}".format), st.none() | st.integers() | WORDS | st.lists(st.integers()), max_size=2)


def objects(**fields):
    """Objects with some of the fields, and with some foreign ones."""
    return st.builds(lambda known, foreign: known | foreign, st.fixed_dictionaries({}, optional=fields), FOREIGN)


FIGURES = st.builds(
    lambda name, value, protocol, foreign: {"name": name, "value": value, "protocol": protocol} | foreign,
    WORDS,
    st.floats(allow_nan=False),
    st.dictionaries(WORDS, st.none() | st.integers(), max_size=2),
    FOREIGN,
)
COUNTS, MINUTES = st.integers(0, 2**40), st.floats(0, 1e6)
DATA = objects(name=WORDS, images=COUNTS, classes=st.lists(st.integers() | WORDS, min_size=1), terms=WORDS, sha256=WORDS)
CARDS = objects(
    made_with=WORDS,
    name=WORDS,
    data=DATA.filter(bool),
    training=st.dictionaries(WORDS, st.integers() | WORDS, min_size=1),
    images_seen=COUNTS,
    minutes=MINUTES,
    started_from=objects(model=WORDS, images_seen=COUNTS, missing=st.lists(WORDS, min_size=1)).filter(bool),
    plan=st.lists(objects(note=WORDS, minutes=MINUTES), min_size=1),
).flatmap(lambda card: st.lists(FIGURES, max_size=2).map(lambda figures: card | {"metrics": figures}))


@given(CARDS)
def test_a_card_is_written_as_it_was_read(tree):
    card = ModelCard.read(tree, "the card")
    assert card.dump() == tree
    assert json.loads(json.dumps(card.dump())) == tree
    assert ModelCard.read(card.dump(), "the card") == card


def test_fields_that_are_absent_or_null_are_not_set():
    card = ModelCard.read({"data": {"name": None}, "minutes": None}, "the card")
    assert (card.data.name, card.minutes, card.images_seen, card.metrics, card.grey) == ("", None, None, (), None)
    assert card.dump() == {"data": {"name": None}, "minutes": None, "metrics": []}
    assert ModelCard().dump() == {"metrics": []}


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ([], r"it = \[\] must be an object"),
        ({"data": "cats"}, "data = 'cats' must be an object"),
        ({"data": {"classes": [["cat"]]}}, r"data.classes\[0\]"),
        ({"metrics": [{"name": "psnr"}]}, r"metrics\[0\] has no 'value'"),
        ({"grey": {"images_seen": -1}}, "grey.images_seen = -1"),
        ({"minutes": True}, "minutes = True must be of type float"),
    ],
)
def test_a_field_of_another_type_is_refused_with_its_place(tree, place):
    with pytest.raises(FormatError, match=f"the card: {place}"):
        ModelCard.read(tree, "the card")


def test_a_training_is_interrupted_as_long_as_planned_images_are_left():
    assert ModelCard(training={"images": 10}, images_seen=9).interrupted
    assert not ModelCard(training={"images": 10}, images_seen=10).interrupted
    assert not ModelCard(images_seen=9).interrupted
    assert not ModelCard(training={"images": "many"}, images_seen=9).interrupted


def test_the_total_training_includes_that_of_the_first_weights():
    card = ModelCard(images_seen=10, minutes=1.5, started_from=Origin(images_seen=5, minutes=0.25))
    assert card.total_training() == {"images_seen": 15, "minutes": 1.75}
    assert ModelCard().total_training() == {"images_seen": 0, "minutes": 0}


def test_the_facts_of_a_figure_and_of_the_data():
    assert Figure(name="psnr", value=30.0, protocol={"real": 12}).real_images == 12
    assert Figure(name="psnr", value=30.0, protocol={"real": None}).real_images == 0
    assert DataFacts(classes=(1, "two")).class_names == ("1", "two")


def test_a_card_reads_as_the_dictionary_that_it_was_and_warns():
    card = ModelCard(data=DataFacts(name="cats"), images_seen=3)
    with pytest.warns(DeprecationWarning, match="ModelCard is no dictionary any more: write .images_seen for a value"):
        assert card["images_seen"] == 3
    with pytest.warns(DeprecationWarning, match="no dictionary"):
        assert card["data"]["name"] == card.get("data")["name"] == "cats"
    with pytest.warns(DeprecationWarning, match="no dictionary"):
        assert "plan" not in card
    with pytest.warns(DeprecationWarning, match="no dictionary"):
        assert {**card} == dict(card.items()) == card.dump()
    with pytest.warns(DeprecationWarning, match="no dictionary"), pytest.raises(KeyError):
        card["plan"]


@pytest.mark.parametrize("name", weights.bundled())
def test_the_cards_of_bundled_models_have_no_foreign_fields(name):
    card = checkpoint.read_card(weights.bundled()[name])
    assert not card.extra
    assert card.name == name
    assert card.metrics

"""Directions are those that they claim to be, and an edit can be done again to the bit."""

import json

import pytest
import torch
from PIL import Image

import sfumato as sf
from benchmarks.editing import strongest
from sfumato.core.errors import CheckpointError, DataError, SettingError
from sfumato.editing import directions as finding
from sfumato.editing import edit as editing
from sfumato.editing.attributes import names_of_change
from sfumato.editing.directions import closed_form, directions, jacobian, moved, principal
from sfumato.editing.examples import from_examples, ridge
from sfumato.editing.inversion import project
from sfumato.editing.latent_image import drawn, render


@pytest.mark.parametrize(("name", "share"), [("digits-vae", 0.9), ("fashion", 0.85), ("digits", 0.85)])
def test_closed_form_directions_lie_in_what_changes_images_most(name, share):
    """Of five of 32 to 128; of networks with more layers between a matrix and the image less (docs/editing.md)."""
    network = sf.load(name).network
    found = closed_form(network, (0, network.styles - 1))[0][:5].double()
    assert (found @ strongest(network, seeds=8)[:, :5]).square().sum() / 5 >= share


@pytest.mark.parametrize("name", ["digits-vae", "fashion"])
def test_jacobian_directions_are_what_changes_images_most(name):
    """As far as central differences, those of eight images, can tell: more seeds agree better (docs/editing.md)."""
    network = sf.load(name).network
    found = jacobian(network, (0, network.styles - 1))[0][:10].double()
    assert (found @ strongest(network, seeds=8)[:, :10]).square().sum() / 10 >= 0.85


def test_jacobian_directions_are_those_of_the_layers_asked(untrained):
    network = untrained("stylegan")
    first, last = (jacobian(network, (layer, layer))[0][0] for layer in (0, network.styles - 1))
    subject = drawn(network, 3)

    def change(vector, layer):
        styles = moved(subject.styles, vector, 0.1, (layer, layer))
        return (render(network, subject, styles) - render(network, subject, subject.styles)).square().mean()

    assert change(first, 0) > change(last, 0)
    assert change(last, network.styles - 1) > change(first, network.styles - 1)
    assert torch.equal(jacobian(network, (0, 0))[0][0], first)


@pytest.mark.parametrize("kind", ["stylegan", "dcgan", "vae"])
@pytest.mark.parametrize("found_by", [closed_form, jacobian])
def test_directions_are_orthonormal_sorted_and_signed(untrained, kind, found_by):
    network = untrained(kind, classes=2)
    vectors, shares = found_by(network, (0, network.styles - 1))
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(network.style_dim), atol=1e-4, rtol=0)
    assert (shares.diff() <= 0).all()
    assert shares.sum().item() == pytest.approx(1, abs=1e-4)
    assert (vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_principal_directions_are_the_axes_of_an_ellipsoid():
    rng = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(6, 6, generator=rng)).Q
    styles = torch.randn(20_000, 6, generator=rng) * torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]) @ axes + 7
    vectors, shares = principal(styles)
    torch.testing.assert_close((vectors * axes).sum(dim=1).abs(), torch.ones(6), atol=0.01, rtol=0)
    torch.testing.assert_close(shares, torch.tensor([36.0, 25, 16, 9, 4, 1]) / 91, atol=0.01, rtol=0)


def test_one_step_is_one_deviation_of_the_networks_own_styles(untrained):
    network = untrained("stylegan")
    found = directions(network, "principal", count=3)
    styles = finding.many_styles(network, None, 0)
    along = (styles - styles.mean(dim=0)) @ found.vectors.T / found.vectors.norm(dim=1).square()
    torch.testing.assert_close(along.std(dim=0), torch.ones(3), atol=1e-3, rtol=0)
    assert len(set(found.names)) == 3


def test_a_regression_finds_what_numbers_depend_on():
    rng = torch.Generator().manual_seed(0)
    x, weights = torch.randn(300, 40, generator=rng), torch.zeros(40)
    weights[3] = 2
    fit = ridge(x, x @ weights + 5 + 0.1 * torch.randn(300, generator=rng))
    torch.testing.assert_close(fit.weights, weights, atol=0.05, rtol=0)
    few = ridge(x[:10], torch.randn(10, generator=rng))  # nothing to find in fewer pictures than numbers
    assert few.weights.norm() < 1


@pytest.mark.parametrize("kind", ["stylegan", "dcgan", "vae"])
def test_two_folders_give_the_direction_between_them(untrained, tmp_path, kind):
    network = untrained(kind)
    for name, level in (("dark", 40), ("bright", 200)):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.new("RGB", (40, 40), (level + 5 * i,) * 3).save(tmp_path / name / f"{i}.png")
    found = from_examples(network, tmp_path / "dark", tmp_path / "bright", name="light", samples=500)
    assert found.names == ("light",)
    for seed in range(3):
        subject = drawn(network, seed)
        levels = [render(network, subject, moved(subject.styles, found.vectors[0], s, found.layers)).mean() for s in (-2.0, 0.0, 2.0)]
        assert levels[0] < levels[2]
    with pytest.raises(DataError, match="look the same"):
        from_examples(network, tmp_path / "dark", tmp_path / "dark", samples=100)


@pytest.mark.parametrize(("change", "name"), [(lambda x: x + 0.2, "brighter"), (lambda x: x.roll(3, dims=3), "to-the-right")])
def test_names_say_what_changes(drawn, change, name):
    blob = torch.zeros(6, 3, 32, 32)
    for i in range(6):
        blob[i, :, 10 + i % 2 : 18, 9 + i % 3 : 17] = 0.5 + 0.01 * i
    assert names_of_change(blob, change(blob), blob)[0] == name


def test_directions_are_kept_with_their_model(untrained, tmp_path):
    network = untrained("dcgan")
    found = directions(network, "closed-form", count=2)
    paths = finding.save(found, tmp_path / "d.safetensors", network)
    again = finding.load(paths[0], network)
    assert torch.equal(again.vectors, found.vectors)
    assert (again.names, again.layers, again.method) == (found.names, found.layers, found.method)
    with Image.open(paths[1]) as sheet:
        assert sheet.size == (7 * 32 + 6 * 2, 2 * 32 + 2)
    assert json.loads(paths[2].read_text())["names"] == list(found.names)
    with pytest.raises(SettingError, match="directions of another model"):
        finding.load(paths[0], untrained("dcgan", seed=1))


@pytest.mark.parametrize("kind", ["stylegan", "dcgan", "vae"])
@pytest.mark.parametrize("projected", [False, True])
def test_an_edit_is_done_again_to_the_bit(untrained, tmp_path, kind, projected):
    network = untrained(kind, classes=2)
    found = directions(network, count=3)
    start = {"seed": 4, "label": "1", "truncation": 0.7}
    if projected:
        from sfumato.editing import inversion as projecting

        paths = projecting.save(project(network, sf.generate(network, 1), steps=4), tmp_path / "it.safetensors", network)
        start = {"styles": str(paths[0])}
    moves = editing.parse_moves(found, [f"{found.names[1]}=1.7", f"2=-0.3@0-{network.styles - 1}"])
    done = editing.edit(network, editing.begun(network, start), moves)
    assert not torch.equal(done.images[0], done.images[1])
    _, told = editing.save(done, tmp_path / "edit.png", network, start=start)
    again, where = editing.replay(network, told)
    assert torch.equal(again.images, done.images)
    assert (where, again.moves) == (start, done.moves)
    (tmp_path / "elsewhere").mkdir()
    _, told_again = editing.save(again, tmp_path / "elsewhere" / "edit.png", network, start=where)
    if projected:
        assert json.loads(told.read_text())["start"] == json.loads(told_again.read_text())["start"] == {"styles": "it.safetensors"}
        paths[0].rename(tmp_path / "elsewhere" / "it.safetensors")
    assert torch.equal(editing.replay(network, told_again)[0].images, done.images), "a replay can be replayed"
    with pytest.raises(SettingError, match="edit with another model"):
        editing.replay(untrained(kind, seed=1, classes=2), told)


def test_what_cannot_be_found_or_edited_is_one_line(untrained, tmp_path):
    network = untrained("vae")
    found = directions(network, count=2)
    with pytest.raises(SettingError, match=r"count = 99 is outside \[1, 16\]"):
        directions(network, count=99)
    with pytest.raises(SettingError, match="no direction 'nicer'; there are 0 "):
        editing.parse_moves(found, ["nicer=1"])
    for words in ("0", "0=much", "0=1@x"):
        with pytest.raises(SettingError, match="cannot be read as a move"):
            editing.parse_moves(found, [words])
    with pytest.raises(SettingError, match="layers 1-2 are not among 0-0"):
        editing.edit(network, drawn(network, 0), editing.parse_moves(found, ["0=1@1-2"]))
    (tmp_path / "e.json").write_text("{}")
    with pytest.raises(SettingError, match="no edit that can be done again"):
        editing.replay(network, tmp_path / "e.json")
    whole = {"is": editing.KIND, "moves": [], "weights": ""}
    for start in ({}, {"seed": "a"}, {"styles": 3}, {"seed": 1, "truncation": "much"}, {"seed": 1, "truncation": []}, 7):
        (tmp_path / "e.json").write_text(json.dumps(whole | {"start": start}))
        with pytest.raises(SettingError, match="no edit that can be done again"):
            editing.replay(network, tmp_path / "e.json")
    with pytest.raises(CheckpointError, match="there is no file"):
        finding.load(tmp_path / "none.safetensors", network)

"""What is written, and may be shared, tells neither where on a machine things lie nor what the machine is called."""

import dataclasses
import json
import os
import socket

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sfumato as sf
from sfumato.batch.manifest import NAME as MANIFEST
from sfumato.cli import main
from sfumato.core.paths import inside, last_name, without_places
from sfumato.dreaming import atlas, feature_extractor
from sfumato.dreaming import files as dream_files
from sfumato.dreaming.dream import Dream
from sfumato.editing import directions, edit, inversion, latent_image
from sfumato.editing.examples import from_examples
from sfumato.generation import generate
from sfumato.io import files
from sfumato.models import MODELS
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.request import RestorationRequest
from sfumato.store import checkpoint
from sfumato.train.events import Events
from sfumato.train.loop import fit

HOST, SECRET = "whose-laptop", "quite-private"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder below one with a distinctive name, on a machine with one."""
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", HOST, "6", "1", "x86_64")))
    folder = tmp_path / SECRET / "home"
    folder.mkdir(parents=True)
    return folder


def secretive(folder):
    """Every file below `folder` is without the distinctive names, in its name and its content; how many there are."""
    kept = [path for path in folder.rglob("*") if path.is_file()]
    for path in kept:
        content = path.read_bytes()
        for word in (SECRET, HOST):
            assert word not in str(path.relative_to(folder)), path
            assert word.encode() not in content, (path, content[max(0, content.find(word.encode()) - 99) :][:200])
    return len(kept)


def pictures(folder, count, size=(16, 16), seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def trained(home, tiny, kind="gan", **changes):
    data = pictures(home / "archive" / "people", 24)
    settings = tiny(kind, data=str(data), images=32, save_every=16, sample_every=32, log_every=16, **changes)
    return settings, fit(settings, run=home / "runs" / "people")


def test_a_run_tells_the_last_name_of_its_folder_alone(home, tiny):
    settings, network = trained(home, tiny)
    run = home / "runs" / "people"
    assert secretive(run) >= 6
    assert network.card.training["data"] == network.card.data.name == "people"
    assert json.loads((run / "settings.json").read_text())["data"] == "people"
    again = fit(settings, run=run)
    assert again.card == network.card

    begun = dataclasses.replace(settings, start=str(run / "model.safetensors"), images=16)
    second = fit(begun, run=home / "runs" / "more")
    assert second.card.started_from.model == second.card.training["start"] == "model.safetensors"
    fit(begun, run=home / "runs" / "more")
    assert secretive(home / "runs" / "more") >= 6


def test_a_network_that_is_written_nowhere_knows_where_its_images_lie(home, tiny):
    data = str(pictures(home / "archive" / "people", 24))
    assert fit(tiny("gan", data=data, images=16)).card.training["data"] == data


def test_paths_are_kept_where_that_is_asked_for(home, tiny):
    settings, network = trained(home, tiny, keep_paths=True)
    assert network.card.training["data"] == settings.data == str(home / "archive" / "people")
    assert json.loads((home / "runs" / "people" / "settings.json").read_text())["data"] == settings.data
    fit(dataclasses.replace(settings, keep_paths=False), run=home / "runs" / "people")
    assert not [path.name for path in (home / "runs").rglob("*") if HOST in path.name]


def test_an_older_run_that_tells_its_paths_goes_on_and_other_images_of_that_name_do_not(home, tiny, bars_file):
    settings, _ = trained(home, tiny)
    run = home / "runs" / "people"
    told = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(told | {"data": settings.data, "keep_paths": False}))
    del told["keep_paths"]
    for older in (told | {"data": settings.data}, told):
        (run / "settings.json").write_text(json.dumps(older))
        assert fit(settings, run=run).card.images_seen == 32
    other = pictures(home / "elsewhere" / "people", 24, seed=1)
    with pytest.raises(sf.SfumatoError, match="was trained on other images, or with other labels, than people now holds"):
        fit(dataclasses.replace(settings, data=str(other)), run=run)
    with pytest.raises(sf.SfumatoError, match=r"data = 'people' there, 'home' in this command"):
        fit(dataclasses.replace(settings, data=str(pictures(home / "x" / "home", 24))), run=run)


def test_a_model_does_not_find_images_whose_place_it_does_not_tell(home, tiny, monkeypatch):
    trained(home, tiny)
    monkeypatch.chdir(home)
    with pytest.raises(
        sf.SfumatoError, match="the images that this model was trained on, people, cannot be found; give their folder with --data"
    ):
        sf.evaluate(home / "runs" / "people", count=16)


def test_events_are_found_by_tensorboard_and_forget_what_came_after(home):
    first = Events(home / "run" / "tensorboard")
    for step in (1, 2, 3):
        first.scalar("loss", step / 2, step)
    first.image("samples", torch.zeros(4, 6, 3, dtype=torch.uint8), 3)
    first.close()
    second = Events(home / "run" / "tensorboard", purge=3)
    second.scalar("loss", 9.0, 3)
    second.flush()
    assert first.path != second.path
    assert "tfevents" in first.path.name
    seen = EventAccumulator(str(home / "run" / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in seen.Scalars("loss")] == [(1, 0.5), (2, 1.0), (3, 9.0)]
    assert secretive(home / "run") == 2
    second.close()


def test_what_the_verbs_write_tells_no_places(home, untrained):
    network = untrained("stylegan")
    model, out = home / "models" / "faces.safetensors", home / "out"
    checkpoint.save(model, network, network.config, {})
    network = sf.load(model)
    photo = pictures(home / "photos", 2, (40, 48)) / "0.png"
    generate.save(sf.generate(model, 2), out / "made", names=["a", "b"])
    found = sf.project(model, photo, steps=2, layers=False, noise=False)
    inversion.save(found, out / "found.safetensors", network)
    axes = sf.directions(model, "closed-form", count=1)
    directions.save(axes, out / "axes.safetensors", network)
    seen = from_examples(model, pictures(home / "less", 3), pictures(home / "more", 3, seed=1), samples=64)
    directions.save(seen, out / "seen.safetensors", network)
    moves = edit.parse_moves(axes, ["0=1"])
    for place in (out / "found.safetensors", home / "photos" / "far.safetensors"):
        latent_image.save(place, found.latent_image, network)
        done = sf.edit(model, latent_image.load(place, network), moves)
        edit.save(done, out / "edits" / f"{place.stem}.png", network, start={"styles": str(place)})
    assert secretive(out) >= 12

    (out / "edits" / "far.safetensors").write_bytes(place.read_bytes())  # where it is looked for
    again, _ = edit.replay(model, out / "edits" / "far.json")
    assert torch.equal(again.images, done.images)


def test_a_picture_that_was_projected_is_still_not_written_over(home, untrained):
    network = untrained("dcgan")
    photo = pictures(home / "photos", 1, (32, 32)) / "0.png"
    found = sf.project(network, photo, steps=1, layers=False, noise=False)
    with pytest.raises(sf.SfumatoError, match="is the picture itself and would be written over"):
        inversion.save(found, photo.with_suffix(".safetensors"), network)


def test_dreams_tell_names(home):
    config = MODELS["classifier"](size=(32, 32), channels=3, classes=3, widths=(4, 8), hidden=(8,))
    checkpoint.save(home / "eyes.safetensors", config.build(), config, {})
    seeing = feature_extractor.dream_network(str(home / "eyes.safetensors"))
    photos = pictures(home / "photos", 1, (40, 48))
    how = Dream(steps=1, octaves=1)
    done = dream_files.dream_pictures([photos], home / "out", seeing, how, guide=photos / "0.png")
    assert done[0].out is not None
    atlas.save(torch.rand(1, 3, 8, 8), [0], home / "out" / "atlas.png", seeing, None)
    assert json.loads((home / "out" / "0.json").read_text())["network"] == "eyes.safetensors"
    assert secretive(home / "out") == 5, "two pictures, two .json, a manifest"
    assert "sfumato" in files.read(home / "out" / "0.png").text


def test_a_dream_is_repeated_with_a_network_that_lies_elsewhere(home, monkeypatch):
    config = MODELS["classifier"](size=(32, 32), channels=3, classes=3, widths=(4, 8), hidden=(8,))
    model, photo = home / "eyes.safetensors", pictures(home / "photos", 1, (40, 48)) / "0.png"
    checkpoint.save(model, config.build(), config, {})
    dream_files.dream_pictures([photo], home / "out" / "a.png", feature_extractor.dream_network(str(model)), Dream(steps=1, octaves=1))
    monkeypatch.chdir(home / "photos")
    again = ["dream", str(photo), "--replay", "../out/a.json", "--out", "../out/b.png"]
    with pytest.raises(SystemExit) as stopped:
        main(again)
    assert stopped.value.code == 2
    main([*again, "--network", str(model)])
    assert torch.equal(files.read(home / "out" / "a.png").pixels, files.read(home / "out" / "b.png").pixels)
    assert secretive(home / "out") == 4


@pytest.fixture
def same(home):
    """A file of a network that leaves pictures as they are."""
    config = MODELS["gated"](width=4, middle=1)
    net = config.build()
    torch.nn.init.zeros_(net.tail.weight)
    checkpoint.save(home / "models" / "same.safetensors", net, config, {})
    return RestorationRequest(task="denoise", model=home / "models" / "same.safetensors")


def test_a_manifest_tells_names_and_still_knows_its_own(home, same):
    photos, out = pictures(home / "photos", 2, (24, 24)), home / "out"
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first = restore_pictures([photos], out, same)
    assert [entry.status for entry in first] == ["done", "done", "failed"], first
    assert str(home) in first[2].message  # a person is told where
    assert secretive(out) == 3
    assert [entry.status for entry in restore_pictures([photos], out, same)] == ["skipped", "skipped", "failed"]
    # Asked for something else, what is its own is made anew; of a namesake it is not.
    softer = dataclasses.replace(same, strength=0.5)
    assert [entry.status for entry in restore_pictures([photos / "0.png"], out, softer)] == ["done"]
    namesake = pictures(home / "others", 1, (24, 24), seed=1) / "0.png"
    (entry,) = restore_pictures([namesake], out, softer)
    assert entry.status == "failed"
    assert "is there already" in entry.message


def test_older_manifests_that_tell_paths_are_honoured(home, same):
    photos, out = pictures(home / "photos", 2, (24, 24)), home / "out"
    restore_pictures([photos], out, same)
    rows = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    for row in rows:
        del row["from"]
        row |= {"source": str(photos / row["source"]), "out": str(out / row["place"])}
        if "asked" in row:
            row["asked"]["model"] = str(same.model)
    (out / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert {entry.status for entry in restore_pictures([photos], out, same)} == {"skipped"}
    softer = dataclasses.replace(same, strength=0.5)
    assert {entry.status for entry in restore_pictures([photos], out, softer)} == {"done"}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/me/photos", "photos"),
        ("/home/me/photos/", "photos"),
        ("photos/cats.zip", "cats.zip"),
        ("~/photos", "photos"),
        ("C:\\me\\photos", "photos"),
        ("bsds500+drawings", "bsds500+drawings"),
        ("bsds500+/home/me/photos", "bsds500+photos"),
        ("squeezenet", "squeezenet"),
        ("", ""),
        ("/", "/"),
    ],
)
def test_of_a_path_the_last_name(place, name):
    assert last_name(place) == name
    assert last_name(name) == name


def test_of_a_path_that_leads_down_from_here_all_of_it():
    assert inside("runs/photos") == "runs/photos"
    assert inside("../photos") == inside("/x/photos") == inside("~/photos") == inside("runs/../../photos") == "photos"


def test_sentences_lose_places_and_nothing_else():
    assert without_places("/a/b c/x.png: not an image", "/a/b c/x.png") == "x.png: not an image"
    assert without_places("/a/b/x.png and (/a/b/m.png)") == "x.png and (m.png)"
    for kept in ("3/4 of 1/2", "https://example.org/a/b", "in/x.png", "noise 5/255, blur 2.1 px", "a / b"):
        assert without_places(kept) == kept

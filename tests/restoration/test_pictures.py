"""Pictures in files: nothing is lost, nothing is overwritten, one bad file stops nobody, and the same command goes on."""

import builtins
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

import sfumato as sf
from sfumato.batch.manifest import NAME as MANIFEST
from sfumato.batch.manifest import Manifest
from sfumato.batch.sources import passed_over, unique_names
from sfumato.batch.workers import Workers
from sfumato.core import atomic_io
from sfumato.core.errors import DataError, ImageError, SettingError, StorageError
from sfumato.io import files, formats
from sfumato.io.channels import as_images, as_pixels
from sfumato.io.headers import Headers
from sfumato.models import MODELS
from sfumato.restoration import repair as repairs
from sfumato.restoration.memory import footprint, tile_for
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.repair import repair, repairing
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.store import checkpoint, weights

RNG = np.random.default_rng(0)


def model(tmp_path, *, change=0.0, name="same", **settings):
    """A file of a network that adds `change` to every value."""
    config = MODELS["gated"](width=4, middle=1, **settings)
    net = config.build()
    torch.nn.init.zeros_(net.tail.weight)
    torch.nn.init.constant_(net.tail.bias, change)
    path = tmp_path / f"{name}.safetensors"
    checkpoint.save(path, net, config, {"data": {"name": "none"}})
    return path


@pytest.fixture
def same(tmp_path):
    return RestorationRequest(task="denoise", model=model(tmp_path))


@pytest.fixture
def brighter(tmp_path):
    return RestorationRequest(task="denoise", model=model(tmp_path, change=0.1, name="brighter"))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    ramp = np.linspace(40, 200, 33 * 45 * 3).reshape(33, 45, 3)
    Image.fromarray((ramp + RNG.normal(0, 5, ramp.shape)).astype(np.uint8)).save(path)
    return path


def written(path, kind):
    """A small picture of this kind in a file, with notes where the format takes them."""
    pixels = RNG.integers(0, 256, (13, 17, 4), dtype=np.uint8)
    images = {
        "grey": pixels[..., 0],
        "colour": pixels[..., :3],
        "alpha": pixels,
        "16 bits": RNG.integers(0, 65536, (13, 17), dtype=np.uint16),
    }
    image = Image.fromarray(pixels[..., :3]).quantize(16) if kind == "palette" else Image.fromarray(images[kind])
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Title", "A test")
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 6
    image.save(path, dpi=(300, 300), exif=exif, icc_profile=b"not a real profile", **({"pnginfo": notes} if path.suffix == ".png" else {}))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"{kind}.png", kind) for kind in ("grey", "colour", "alpha", "palette", "16 bits")),
        ("grey.tif", "grey"),
        ("colour.tif", "colour"),
        ("16.tif", "16 bits"),
        ("colour.webp", "colour"),
        ("alpha.webp", "alpha"),
    ],
)
def test_a_network_that_changes_nothing_leaves_a_file_as_it_was(name, kind, tmp_path, same):
    source, target = tmp_path / name, tmp_path / "out" / name
    written(source, kind) if source.suffix != ".webp" else Image.fromarray(
        RNG.integers(0, 256, (13, 17, 4 if kind == "alpha" else 3), dtype=np.uint8)
    ).save(source, lossless=True, exact=True, icc_profile=b"not a real profile")
    repair(source, target, same)
    before, after = files.read(source, lossless=True), files.read(target, lossless=True)
    assert torch.equal(before.pixels, after.pixels)
    assert before.alpha is after.alpha is None or torch.equal(before.alpha, after.alpha)
    for note in ("exif", "icc", "text", "layout", "bit_depth"):
        assert getattr(before, note) == getattr(after, note), note
    assert before.dpi == pytest.approx(after.dpi) if before.dpi else after.dpi is None
    with Image.open(target) as image:
        assert image.getexif().get(0x0112, 1) == 1, "the turn would be carried out twice"


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_a_network_that_changes_nothing_leaves_sixteen_bits_of_colour_as_they_were(name, tmp_path, same):
    vips = pytest.importorskip("pyvips")
    pixels = RNG.integers(0, 65536, (13, 17, 3), dtype=np.uint16)
    vips.Image.new_from_array(pixels, interpretation="rgb16").write_to_file(str(tmp_path / name))
    repair(tmp_path / name, tmp_path / "out" / name, same)
    after = vips.Image.new_from_file(str(tmp_path / "out" / name))
    assert np.array_equal(after.numpy(), pixels)
    assert (after.format, after.interpretation) == ("ushort", "rgb16")


def test_a_jpeg_keeps_what_it_says_and_is_encoded_as_it_was(tmp_path, same):
    source, target = tmp_path / "a.jpg", tmp_path / "out" / "a.jpg"
    exif = Image.Exif()
    exif[0x010E] = "a description"
    smooth = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)
    Image.fromarray(np.stack([smooth] * 3, -1)).save(source, quality=83, exif=exif, dpi=(300, 300))
    repair(source, target, same)
    before, after = files.read(source), files.read(target)
    assert (before.exif, before.dpi, before.jpeg) == (after.exif, after.dpi, after.jpeg)
    assert (before.pixels.int() - after.pixels.int()).abs().max() <= 3


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_every_stored_value_survives_the_way_through_numbers(kind):
    top = 65536 if kind == torch.uint16 else 256
    values = torch.arange(top, dtype=torch.int32).to(kind).reshape(-1, 16, 1)
    assert torch.equal(as_pixels(as_images(values), kind), values)


def test_a_repaired_jpeg_is_not_spoilt_by_its_own_coarse_tables(tmp_path, brighter, monkeypatch):
    noisy = RNG.integers(0, 200, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(tmp_path / "a.jpg", quality=30)
    before = files.read(tmp_path / "a.jpg").pixels.float()
    repair(tmp_path / "a.jpg", tmp_path / "out" / "a.jpg", brighter)
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    repair(tmp_path / "a.jpg", tmp_path / "strips" / "a.jpg", brighter)
    for folder in ("out", "strips"):
        after = files.read(tmp_path / folder / "a.jpg")
        assert after.jpeg.quality() == 95
        assert after.jpeg.subsampling == 0
        assert (after.pixels - (before + 25.5).clamp(0, 255)).abs().mean() < 3
    Image.fromarray(noisy).save(tmp_path / "fine.jpg", quality=98)
    repair(tmp_path / "fine.jpg", tmp_path / "out" / "fine.jpg", brighter)
    assert files.read(tmp_path / "out" / "fine.jpg").jpeg.tables == files.read(tmp_path / "fine.jpg").jpeg.tables


def test_colours_that_nobody_sees_do_not_bleed_into_what_is_seen(tmp_path):
    """Blurred by a network of one wide kernel: what lies under clear pixels must not matter, and stays."""
    config = MODELS["gated"](width=4, middle=1, residual=False)
    torch.manual_seed(0)
    net = config.build()
    checkpoint.save(tmp_path / "net.safetensors", net, config, {"data": {"name": "none"}})
    seen = RNG.integers(100, 160, (40, 48, 4), dtype=np.uint8)
    seen[..., 3] = 255
    seen[:, 20:, 3] = 0
    made = []
    for name, under in (("dark", 0), ("light", 255)):
        seen[:, 20:, :3] = under
        Image.fromarray(seen).save(tmp_path / f"{name}.png")
        repair(
            tmp_path / f"{name}.png", tmp_path / f"{name}-made.png", RestorationRequest(task="denoise", model=tmp_path / "net.safetensors")
        )
        made.append(np.asarray(Image.open(tmp_path / f"{name}-made.png")))
        assert (made[-1][:, 20:, :3] == under).all()
    assert (made[0][:, :20] == made[1][:, :20]).all()
    assert (made[0][:, :20] != seen[:, :20]).any()


def test_another_network_in_memory_is_another_request(tmp_path, photo):
    def brightened(change):
        torch.manual_seed(0)
        net = MODELS["gated"](width=4, middle=1).build()
        torch.nn.init.zeros_(net.tail.weight)
        torch.nn.init.constant_(net.tail.bias, change)
        return RestorationRequest(task="denoise", model=net)

    out = tmp_path / "out"
    restore_pictures([photo], out, brightened(0.1))
    (entry,) = restore_pictures([photo], out, brightened(0.1))
    assert entry.status == "skipped"
    (entry,) = restore_pictures([photo], out, brightened(-0.1))
    assert entry.status == "done"


def test_masks_are_no_place_to_write_to(tmp_path, photo, brighter):
    masks = tmp_path / "masks"
    masks.mkdir()
    drawn = np.zeros((33, 45), np.uint8)
    drawn[5:9, 5:9] = 255
    Image.fromarray(drawn).save(masks / "photo.png")
    before = (masks / "photo.png").read_bytes()
    request = dataclasses.replace(brighter, task="inpaint")
    (entry,) = restore_pictures([photo], masks, request, mask=masks, overwrite=True)
    assert entry.status == "failed"
    assert "is an original" in entry.message
    assert (masks / "photo.png").read_bytes() == before


def test_what_is_too_large_to_be_held_goes_in_strips_whatever_the_memory(tmp_path, photo, brighter, monkeypatch):
    monkeypatch.setattr("sfumato.io.decode.MAX_PIXELS", 1000)
    repair(photo, tmp_path / "out.png", brighter)
    monkeypatch.undo()
    assert (files.read(tmp_path / "out.png").pixels.float() - files.read(photo).pixels.float()).mean() == pytest.approx(25.5, abs=0.6)


def test_a_picture_in_strips_is_judged_by_all_of_it(tmp_path, monkeypatch):
    """A blank middle says nothing of the noise around it."""
    noisy = np.clip(128 + RNG.normal(0, 20, (1800, 1600)), 0, 255).astype(np.uint8)
    noisy[300:1500, 250:1350] = 128
    Image.fromarray(noisy).save(tmp_path / "a.png")
    request = RestorationRequest(model=model(tmp_path, channels=1))
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    assert "noise of" in repair(tmp_path / "a.png", tmp_path / "b.png", request).summary


def test_strength_goes_from_nothing_to_beyond(tmp_path, photo, brighter):
    before = as_images(files.read(photo).pixels)
    for strength in (0.0, 0.5, 1.0, 2.0):
        repair(photo, tmp_path / f"{strength}.png", dataclasses.replace(brighter, strength=strength))
        change = as_images(files.read(tmp_path / f"{strength}.png").pixels) - before
        assert change.mean().item() == pytest.approx(0.1 * strength, abs=3e-3)


def test_only_what_is_masked_changes(tmp_path, photo, brighter):
    mask = np.zeros((33, 45), np.uint8)
    mask[5:9, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = repair(photo, tmp_path / "out.png", dataclasses.replace(brighter, task="inpaint"), mask=tmp_path / "mask.png").summary
    before, after = files.read(photo).pixels.int(), files.read(tmp_path / "out.png").pixels.int()
    assert torch.equal((before != after).any(-1), torch.from_numpy(mask > 0))
    assert "2.7% to fill in" in words


def test_a_folder_keeps_its_shape_and_a_bad_file_stops_nobody(tmp_path, photo, brighter):
    (photo.parent / "deep").mkdir()
    (photo.parent / "deep" / "b.png").write_bytes(photo.read_bytes())
    (photo.parent / "c.png").write_bytes(b"no picture")
    (photo.parent / "notes.txt").write_text("not looked at")
    told = []
    entries = restore_pictures(
        [photo.parent], tmp_path / "out", brighter, on_progress=lambda entry, i, n: told.append((entry.status, i, n))
    )
    assert [e.status for e in entries] == ["failed", "done", "done"]
    assert told == [("failed", 1, 3), ("done", 2, 3), ("done", 3, 3)]
    assert "c.png" in entries[0].message
    assert (tmp_path / "out" / "deep" / "b.png").exists()
    rows = [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]
    assert [row["status"] for row in rows] == ["failed", "writing", "done", "writing", "done"]


def test_the_same_command_goes_on_and_another_does_it_again(tmp_path, photo, brighter):
    out = tmp_path / "out"

    def run(request=brighter):
        return restore_pictures([photo], out, request)[0].status

    assert [run(), run()] == ["done", "skipped"]
    (out / "photo.png").unlink()
    assert run() == "done"
    assert run(dataclasses.replace(brighter, strength=0.5)) == "done"
    Image.fromarray(255 - files.read(photo).pixels.numpy()).save(photo)
    assert run(dataclasses.replace(brighter, strength=0.5)) == "done"
    with (out / MANIFEST).open("a") as file:
        file.write('{"cut sho')
    assert run(dataclasses.replace(brighter, strength=0.5)) == "skipped"
    Image.fromarray(files.read(photo).pixels.numpy()[:9]).save(photo)
    assert [run(), run()] == ["done", "skipped"], "the line after one that was cut short is whole"


def test_another_network_under_the_same_name_is_another_request(tmp_path, photo, brighter):
    assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "done"
    model(tmp_path, change=0.2, name="brighter")
    assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "done"
    assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "skipped"


def test_a_run_that_was_killed_in_between_goes_on(tmp_path, photo, brighter, monkeypatch):
    """The picture was written, the line that says so was not; and the next command is given from elsewhere."""
    out = tmp_path / "out"
    restore_pictures([photo], out, brighter)
    lines = (out / MANIFEST).read_text().splitlines()
    (out / MANIFEST).write_text(lines[0] + "\n")
    monkeypatch.chdir(tmp_path)
    assert restore_pictures(["in/photo.png"], Path("out"), brighter)[0].status == "skipped"
    monkeypatch.chdir(out)
    assert restore_pictures(["../in/photo.png"], Path(), brighter)[0].status == "skipped"


@pytest.mark.parametrize("came", [True, False], ids=["after", "before"])
def test_a_run_that_was_killed_while_a_result_took_its_place_goes_on(came, tmp_path, photo, brighter):
    out, again = tmp_path / "out", dataclasses.replace(brighter, strength=0.5)
    restore_pictures([photo], out, brighter)
    before = (out / "photo.png").read_bytes()
    restore_pictures([photo], out, again)
    lines = (out / MANIFEST).read_text().splitlines()
    assert json.loads(lines[-2])["status"] == "writing"
    (out / MANIFEST).write_text("\n".join(lines[:-1]) + "\n")
    if not came:
        (out / "photo.png").write_bytes(before)
    assert restore_pictures([photo], out, again)[0].status == ("skipped" if came else "done")


def test_what_is_saved_where_a_killed_run_would_have_written_stays(tmp_path, photo, brighter):
    out = tmp_path / "out"
    restore_pictures([photo], out, brighter)
    lines = (out / MANIFEST).read_text().splitlines()
    (out / MANIFEST).write_text(lines[0] + "\n")
    (out / "photo.png").write_bytes(b"by hand")
    assert "is there already" in restore_pictures([photo], out, brighter)[0].message
    assert (out / "photo.png").read_bytes() == b"by hand"


def test_what_was_changed_since_it_was_made_is_told_and_made_anew_if_wished(tmp_path, photo, brighter):
    out = tmp_path / "out"
    restore_pictures([photo], out, brighter)
    made = (out / "photo.png").read_bytes()
    (out / "photo.png").write_bytes(b"")
    (entry,) = restore_pictures([photo], out, brighter)
    assert (entry.status, (out / "photo.png").read_bytes()) == ("skipped", b"")
    assert "changed since: kept; add --overwrite to replace the file" in entry.message
    assert restore_pictures([photo], out, brighter, overwrite=True)[0].status == "done"
    assert (out / "photo.png").read_bytes() == made
    assert restore_pictures([photo], out, brighter, overwrite=True)[0].message == "done before"


def test_a_source_saved_anew_while_it_is_repaired_is_repaired_again(tmp_path, photo, brighter, monkeypatch):
    with monkeypatch.context() as patch:

        def slowly(path, *rest, **how):
            plan = yield from repairing(path, *rest, **how)
            Image.new("RGB", (33, 45), "green").save(path)
            return plan

        patch.setattr("sfumato.restoration.attempt.repairing", slowly)
        assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "done"
    assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "done"
    assert restore_pictures([photo], tmp_path / "out", brighter)[0].status == "skipped"


def test_what_nobody_foresaw_stops_no_folder(tmp_path, photo, brighter, monkeypatch):
    (photo.parent / "a.png").write_bytes(photo.read_bytes())

    def stumbles(path, *rest, **how):
        if path.name == "a.png":
            raise ValueError("two\nlines")
        return (yield from repairing(path, *rest, **how))

    monkeypatch.setattr("sfumato.restoration.attempt.repairing", stumbles)
    entries = restore_pictures([photo.parent], tmp_path / "out", brighter)
    assert [entry.status for entry in entries] == ["failed", "done"]
    assert entries[0].message.endswith("a.png: ValueError: two lines")


def test_a_name_of_nothing_is_not_the_folder_one_is_in(tmp_path, photo, brighter, monkeypatch):
    monkeypatch.chdir(photo.parent)
    with pytest.raises(DataError, match="the name of a picture is empty"):
        restore_pictures([""], tmp_path / "out", brighter)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StorageError("disk full"), torch.AcceleratorError("launch failure")], ids=repr)
def test_what_is_drawn_where_a_run_that_ended_would_have_written_stays(stop, tmp_path, photo, brighter, monkeypatch):
    def stopped(*_, **__):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr("sfumato.restoration.attempt.repairing", stopped)
        with pytest.raises(type(stop)):
            restore_pictures([photo], tmp_path / "out", brighter)
    (tmp_path / "out" / "photo.png").write_bytes(b"by hand")
    assert "is there already" in restore_pictures([photo], tmp_path / "out", brighter)[0].message
    assert (tmp_path / "out" / "photo.png").read_bytes() == b"by hand"


def test_nothing_is_overwritten(tmp_path, photo, brighter):
    before = photo.read_bytes()
    for out in (photo.parent, photo):
        for _ in range(2):
            assert "is an original" in restore_pictures([photo], out, brighter, overwrite=True)[0].message
    other = tmp_path / "other" / "photo.png"
    other.parent.mkdir()
    other.write_bytes(before[:-1] + b"x")
    for _ in range(2):
        assert "is there already" in restore_pictures([photo], other.parent, brighter)[0].message, "what failed is not ours"
    assert photo.read_bytes() == before
    (tmp_path / "there.png").write_text("precious")
    assert "is there already" in restore_pictures([photo], tmp_path / "there.png", brighter)[0].message
    assert (tmp_path / "there.png").read_text() == "precious"
    assert restore_pictures([photo], tmp_path / "there.png", brighter, overwrite=True)[0].status == "done"


def test_two_runs_into_one_folder_are_told(tmp_path, photo, brighter):
    out = tmp_path / "out"
    with atomic_io.alone(out), pytest.raises(StorageError, match="another process is at work there"):
        restore_pictures([photo], out, brighter)
    assert restore_pictures([photo], out, brighter)[0].status == "done"
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, "photo.png"], "nothing of the lock is left"


@pytest.mark.parametrize("where", ["folder", "out.png", "strips", "copied"])
def test_what_comes_in_between_is_not_overwritten(where, tmp_path, photo, brighter, monkeypatch):
    if where == "strips":
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
        monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    request = dataclasses.replace(brighter, strength=0.0) if where == "copied" else brighter
    target = tmp_path / where if where == "out.png" else tmp_path / where / "photo.png"

    def slowly(path, target, *rest, **how):
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"by hand")
        return (yield from repairing(path, target, *rest, **how))

    monkeypatch.setattr("sfumato.restoration.attempt.repairing", slowly)
    (entry,) = restore_pictures([photo], tmp_path / where, request)
    assert (entry.status, target.read_bytes()) == ("failed", b"by hand")
    assert "has come to be there meanwhile" in entry.message
    (entry,) = restore_pictures([photo], tmp_path / where, request, overwrite=True)
    assert entry.status == "done"


def test_a_better_bundled_model_is_another_request(tmp_path, monkeypatch):
    asked = [RestorationRequest(task="denoise"), RestorationRequest(task="upscale"), RestorationRequest(method="median")]
    before = [Manifest(None, request_facts(request)).request for request in asked]
    assert before == [Manifest(None, request_facts(request)).request for request in asked]
    bundled = weights.bundled()
    monkeypatch.setattr(weights, "bundled", lambda: {**bundled, "denoise": bundled["inpaint"]})
    after = [Manifest(None, request_facts(request)).request for request in asked]
    # `denoise` also repairs a JPEG before it is enlarged.
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_a_name_of_a_picture_that_cannot_be_written_is_no_folder(tmp_path, photo, brighter):
    for name in ("new.avif", "new.mp4", "new.gif"):
        with pytest.raises(SettingError, match="cannot be written as"):
            restore_pictures([photo], tmp_path / name, brighter)
        assert not (tmp_path / name).exists()


def test_two_pictures_of_one_name_do_not_become_one(tmp_path, photo, brighter):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(photo.read_bytes())
    entries = restore_pictures([tmp_path / "one", tmp_path / "two"], tmp_path / "out", brighter)
    assert [e.out for e in entries] == [str(tmp_path / "out" / name) for name in ("a.png", "two/a.png")]
    assert len(restore_pictures([tmp_path / "one" / "a.png", tmp_path / "one"], tmp_path / "out2", brighter)) == 1
    Image.new("RGB", (9, 9)).save(tmp_path / "one" / "a.gif")
    (tmp_path / "one" / "link.png").symlink_to("a.png")
    names = {Path(e.out).name: e.status for e in restore_pictures([tmp_path / "one"], tmp_path / "out3", brighter)}
    assert names == {"a.png": "done", "link.png": "done"} | dict.fromkeys(names, "done")
    assert len(names) == 3


def test_what_was_written_is_not_picked_up(tmp_path, photo, brighter):
    for _ in range(2):
        entries = restore_pictures([photo.parent], photo.parent / "restored", brighter)
        assert [Path(e.source) for e in entries] == [photo]


def test_what_is_passed_over_in_a_folder_is_known(tmp_path, photo):
    folder = photo.parent
    for name in ("a.psd", "film.mp4", "notes.txt", ".hidden.psd"):
        (folder / name).write_bytes(b"x")
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    (folder / "vector").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    found = {path.name: kind.name for path, kind in passed_over([folder, photo]).items()}
    assert found == {"a.psd": "Photoshop PSD", "broken.png": "broken link", "film.mp4": "film", "vector": "SVG"}
    assert passed_over([f"{folder}/*.psd"]).keys() == {folder / "a.psd"}


@pytest.mark.parametrize(
    ("name", "form", "out"),
    [
        ("x.jfif", "JPEG", "x.jpg"),
        ("x", "JPEG", "x.jpg"),
        ("x.jpe", "JPEG", "x.jpg"),
        ("x.v2", "PNG", "x.v2.png"),
        ("x.avif", "AVIF", "x.png"),
        ("x.ppm", "PPM", "x.png"),
        ("x.tga", "TGA", "x.png"),
        ("x.jp2", "JPEG2000", "x.png"),
    ],
)
def test_the_content_decides_which_pictures_there_are(tmp_path, same, drawn, name, form, out):
    picture = Image.fromarray((drawn(3, 48, 64)[0].permute(1, 2, 0) * 255).byte().numpy())
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / name, form)
    (tmp_path / "in" / "text").write_text("not a picture")
    (entry,) = restore_pictures([tmp_path / "in"], tmp_path / "out", same)
    assert (entry.status, Path(entry.out).name) == ("done", out)
    with Image.open(tmp_path / "in" / name) as before, Image.open(tmp_path / "out" / out) as after:
        apart = np.abs(np.asarray(before.convert("RGB")).astype(int) - np.asarray(after.convert("RGB")))
        assert apart.mean() < (5 if form == "JPEG" else 1)  # as a JPEG is compressed again


def test_globs_and_names(tmp_path, photo, brighter):
    assert [e.out for e in restore_pictures([str(photo.parent / "*.png")], tmp_path / "g", brighter)] == [str(tmp_path / "g" / "photo.png")]
    with pytest.raises(DataError, match=r"no file or folder '.*absent\.png'"):
        restore_pictures([tmp_path / "absent.png"], tmp_path / "g", brighter)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no picture in"):
        restore_pictures([tmp_path / "bare"], tmp_path / "h", brighter)
    (tmp_path / "second.png").write_bytes(photo.read_bytes())
    with pytest.raises(SettingError, match="is one picture, and there are 2"):
        restore_pictures([photo, tmp_path / "second.png"], tmp_path / "one.png", brighter)


def test_masks_that_cannot_be_are_told(tmp_path, photo, brighter):
    ask = dataclasses.replace(brighter, task="inpaint")

    def why(mask):
        return restore_pictures([photo], tmp_path / "out", ask, mask=mask)[0].message

    Image.fromarray(np.zeros((33, 45), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.full((45, 33), 255, np.uint8)).save(tmp_path / "other.png")
    assert "the mask is black everywhere" in why(tmp_path / "empty.png")
    assert "the mask is 33 x 45 pixels, the picture 45 x 33" in why(tmp_path / "other.png")
    assert "inpaint needs a mask" in why(None)
    (tmp_path / "masks").mkdir()
    assert "holds no mask called photo" in why(tmp_path / "masks")
    Image.fromarray(np.full((33, 45), 255, np.uint8)).save(tmp_path / "masks" / "photo.tif")
    assert "photo.tif: the mask is white everywhere" in why(tmp_path / "masks")


def test_masks_are_found_by_folder_name_and_ending(tmp_path, photo, brighter):
    ask = dataclasses.replace(brighter, task="inpaint")
    sources, masks = tmp_path / "pictures", tmp_path / "masks"
    rows = {"a/x.png": 0, "b/x.png": 8, "b/x.tif": 16}

    def draw(place, first):
        mask = np.zeros((33, 45), np.uint8)
        mask[first : first + 8] = 255
        (masks / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / place)

    for name, first in rows.items():
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(photo) as image:
            image.save(sources / name)
        draw(name, first)
    assert {e.status for e in restore_pictures([sources], tmp_path / "out", ask, mask=masks)} == {"done"}
    with Image.open(photo) as image:
        before = np.asarray(image)
    for name, first in rows.items():
        with Image.open(tmp_path / "out" / name) as image:
            changed = (np.asarray(image) != before).any(axis=(1, 2))
        assert list(np.flatnonzero(changed)) == list(range(first, first + 8)), name
    (masks / "b" / "x.tif").rename(masks / "b" / "x.bmp")
    assert {e.status for e in restore_pictures([sources / "b"], tmp_path / "c", ask, mask=masks / "b")} == {"done"}, "x.png is another's"
    draw("b/x.webp", 0)
    said = {Path(e.source).name: e.message for e in restore_pictures([sources / "b"], tmp_path / "d", ask, mask=masks / "b")}
    assert "x.bmp and" in said["x.tif"]
    assert "could both be its mask" in said["x.tif"]
    by_hand = [sources / "a" / "x.png", sources / "b" / "x.png"]
    assert [e.status for e in restore_pictures(by_hand, tmp_path / "e", ask, mask=masks)] == ["done", "done"]
    (masks / "a" / "x.png").rename(masks / "x.png")
    assert "holds no mask" in restore_pictures([sources], tmp_path / "f", ask, mask=masks)[0].message, "at the top it may be anyone's"


def test_a_file_that_somebody_changed_is_theirs(tmp_path, photo, brighter):
    (first,) = restore_pictures([photo], tmp_path / "out", brighter)
    (failed,) = restore_pictures([photo], tmp_path / "out", dataclasses.replace(brighter, task="inpaint"))
    again = dataclasses.replace(brighter, strength=0.5)
    (second,) = restore_pictures([photo], tmp_path / "out", again)
    assert [first.status, failed.status, second.status] == ["done", "failed", "done"]
    with Image.open(second.out) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(second.out)
    theirs = Path(second.out).read_bytes()
    (third,) = restore_pictures([photo], tmp_path / "out", brighter)
    assert "is there already" in third.message
    assert Path(second.out).read_bytes() == theirs


def test_a_method_that_wants_more_memory_says_how_much(tmp_path, brighter):
    Image.fromarray(np.zeros((1200, 1200, 3), np.uint8)).save(tmp_path / "large.png")
    ask = RestorationRequest(method="deep-image-prior", memory=2e9)
    (entry,) = restore_pictures([tmp_path / "large.png"], tmp_path / "out", ask)
    assert "deep-image-prior would take 17.9GB; give more --memory" in entry.message


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 1), "L"), ((1, 1), "RGBA"), ((8, 30_000), "RGB"), ((2, 3), "L")], ids=["dot", "clear dot", "ribbon", "tiny"]
)
def test_odd_shapes_are_repaired(shape, kind, tmp_path):
    path = tmp_path / "odd.png"
    Image.new(kind, shape[::-1]).save(path)
    request = RestorationRequest(task="denoise", model=model(tmp_path, encoder=(1, 1), decoder=(1, 1), fold=2))
    assert restore_pictures([path], tmp_path / "out", request)[0].status == "done"
    assert tuple(files.read(tmp_path / "out" / "odd.png").pixels.shape[:2]) == shape


def test_what_cannot_be_read_without_loss_is_one_line(tmp_path, same):
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(tmp_path / "nan.tif")
    frames = [Image.new("RGB", (9, 9), (80 * i, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    whole = tmp_path / "cut.jpg"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    whole.write_bytes(whole.read_bytes()[:900])
    entries = {e.source.rpartition("/")[2]: e for e in restore_pictures([tmp_path], tmp_path / "out", same) if e.status == "failed"}
    assert "floating-point pixels" in entries["nan.tif"].message
    assert "frames" in entries["moving.gif"].message
    assert "cut.jpg" in entries["cut.jpg"].message
    assert all("\n" not in entry.message for entry in entries.values())


@pytest.mark.parametrize(("scale", "factor"), [(1, None), (2, None), (2, 1.3)])
def test_strips_are_the_whole_picture(scale, factor, tmp_path, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    source = tmp_path / "a.png"
    Image.fromarray(RNG.integers(0, 256, (211, 97, 4), dtype=np.uint8)).save(source)
    torch.manual_seed(0)
    config = MODELS["gated"](width=4, middle=2, scale=scale, encoder=(1,), decoder=(1,))
    net = config.build()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    checkpoint.save(tmp_path / "net.safetensors", net, config, {})
    task = {"task": "upscale", "scale": factor} if scale > 1 else {"task": "denoise", "strength": 0.8}
    request = RestorationRequest(model=tmp_path / "net.safetensors", tile=64, **task)
    repair(source, tmp_path / "whole.png", request)
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    repair(source, tmp_path / "strips.png", request)
    whole, strips = (files.read(tmp_path / name) for name in ("whole.png", "strips.png"))
    assert whole.pixels.shape == (round(211 * (factor or scale)), round(97 * (factor or scale)), 3)
    assert (whole.pixels.int() - strips.pixels.int()).abs().max() <= 1, "rounding alone may differ"
    assert (whole.alpha.int() - strips.alpha.int()).abs().max() <= scale - 1


def _same_in_strips(tmp_path, request, monkeypatch):
    """The largest difference where anybody sees anything, and what was said of the whole and of the strips."""
    said = [repair(tmp_path / "a.png", tmp_path / "whole.png", request).summary]
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    said.append(repair(tmp_path / "a.png", tmp_path / "strips.png", request).summary)
    whole, strips = (files.read(tmp_path / name) for name in ("whole.png", "strips.png"))
    assert torch.equal(whole.alpha, strips.alpha)
    off = (whole.pixels.int() - strips.pixels.int()).abs().amax(dim=-1, keepdim=True)
    assert off[whole.alpha == 0].max() == 0, "what nobody sees stays"
    return off[whole.alpha > 0].max(), said


def test_colours_that_nobody_sees_are_replaced_alike_in_strips(tmp_path, monkeypatch):
    """Loud ones, under squares large enough for their means to come from far away, and strips that begin where no square does."""
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    rows, columns = np.mgrid[:611, :150]
    clear = ((rows // 70 + columns // 40) % 2 == 0) | ((rows > 200) & (rows < 330))
    pixels = RNG.integers(60, 200, (611, 150, 4), dtype=np.uint8)
    pixels[clear] = (255, 0, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    torch.manual_seed(0)
    config = MODELS["gated"](width=8, middle=2, encoder=(1,), decoder=(1,))
    net = config.build()
    torch.nn.init.normal_(net.tail.weight, std=0.1)
    checkpoint.save(tmp_path / "net.safetensors", net, config, {})
    monkeypatch.setattr("sfumato.restoration.repair_rows._WIDE", 64)
    request = RestorationRequest(task="denoise", model=tmp_path / "net.safetensors", tile=72)
    off, _ = _same_in_strips(tmp_path, request, monkeypatch)
    assert off <= 1, "rounding alone may differ"
    assert (files.read(tmp_path / "a.png").pixels.int() - files.read(tmp_path / "whole.png").pixels.int()).abs().max() > 20


def test_colours_that_nobody_sees_decide_nothing_in_strips(tmp_path, monkeypatch):
    """Salt and pepper, and colour where what is seen is grey."""
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    ramp = np.linspace(60, 190, 400).astype(np.uint8)[:, None, None].repeat(400, axis=1).repeat(3, axis=2)
    ramp = ramp + RNG.integers(0, 2, (400, 400, 1), dtype=np.uint8)
    ramp[:, 200:] = RNG.choice(np.array([0, 128, 255], np.uint8), (400, 200, 3), p=(0.05, 0.9, 0.05))
    alpha = np.full((400, 400, 1), 255, np.uint8)
    alpha[:, 200:] = 0
    Image.fromarray(np.concatenate([ramp, alpha], axis=2)).save(tmp_path / "a.png")
    off, said = _same_in_strips(tmp_path, RestorationRequest(), monkeypatch)
    assert said[0] == said[1]
    assert "no salt and pepper" in said[0]
    assert off == 0


def test_a_grey_picture_stored_in_colour_stays_grey_in_strips(tmp_path, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    grey = RNG.integers(0, 256, (90, 70, 1), dtype=np.uint8)
    Image.fromarray(grey.repeat(3, axis=2)).save(tmp_path / "a.png")
    torch.manual_seed(0)
    config = MODELS["paired"](grey=MODELS["gated"](channels=1, width=4, middle=1), colour=MODELS["gated"](channels=3, width=4, middle=1))
    net = config.build()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    checkpoint.save(tmp_path / "net.safetensors", net, config, {})
    request = RestorationRequest(model=tmp_path / "net.safetensors", tile=64, task="denoise", strength=0.8)
    repair(tmp_path / "a.png", tmp_path / "whole.png", request)
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    repair(tmp_path / "a.png", tmp_path / "strips.png", request)
    whole, strips = (files.read(tmp_path / name).pixels.int() for name in ("whole.png", "strips.png"))
    assert (strips == strips[..., :1]).all()
    assert (whole - strips).abs().max() <= 1, "rounding alone may differ"


def test_without_pyvips_a_large_picture_says_what_would_help(tmp_path, photo, monkeypatch, same):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    monkeypatch.setattr(repairs, "_WHOLE", 1e7)
    entry = restore_pictures([photo], tmp_path / "out", same)[0]
    assert re.search(r"needs 15\.\dGB of --memory, or pyvips, to be read in strips; install it with: pip install", entry.message)


def test_a_large_bmp_says_what_would_help(tmp_path, photo, monkeypatch, same):
    with Image.open(photo) as image:
        image.save(tmp_path / "a.bmp")
    monkeypatch.setattr(repairs, "_WHOLE", 1e7)
    for path, mask in ((tmp_path / "a.bmp", None), (photo, tmp_path / "a.bmp")):
        with pytest.raises(ImageError, match=r"a\.bmp: a BMP can only be read whole; give 15\.5GB of --memory, or a PNG"):
            repair(path, tmp_path / "out.png", same, mask=mask)
    monkeypatch.setattr("sfumato.io.decode.MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="read whole; give a PNG or TIFF"):
        repair(tmp_path / "a.bmp", tmp_path / "out.png", same)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the height of memory is counted in other units")
def test_looking_for_wrong_pixels_takes_no_more_than_is_reckoned_with():
    pixels = 1_000_000
    program = f"""
import resource, torch
from sfumato.analysis import flaws
images = torch.rand(1, 3, 1000, {pixels} // 1000, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
images[:, :, ::5, ::3] = 0
flaws.impulses(images[:, :, :64, :64])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
flaws.impulses(images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    stored = 3 + 12
    assert int(made.stdout) / pixels + stored < repairs._WHOLE


def test_less_memory_means_smaller_tiles(tmp_path):
    net = MODELS["dncnn"](width=8, depth=4).build()
    assert footprint(net) > 4 * 2 * 8
    sides = [tile_for(net, memory) for memory in (1e5, 1e7, 1e9, 1e12)]
    assert sides == sorted(sides)
    assert sides[0] == 32
    assert sides[-1] == 4096


def test_requests_that_cannot_be_are_refused():
    for change, words in (
        ({"strength": 3.0}, "strength = 3 is outside"),
        ({"task": "upscale", "strength": 0.5}, "has no effect on upscale"),
        ({"model": "a", "method": "median"}, "give one of them"),
        ({"memory": 1e6}, "less than torch itself needs"),
        ({"noise": 2.0}, r"outside \[0, 255\]"),
        ({"method": "wiener", "precision": "bf16"}, "precision = bf16 has no effect on wiener"),
        ({"method": "deep-image-prior", "noise": 0.1}, "has no effect on deep-image-prior"),
        ({"method": "deep-image-prior", "blur": "motion:3"}, "has no effect on deep-image-prior"),
        ({"task": "upscale", "scale": 0, "method": "bicubic"}, "scale = 0 is less than 1"),
        ({"blur": "box:3"}, "blur = 'box:3' is not a blur; write gaussian"),
        ({"method": "telea", "task": "denoise"}, "fills in"),
        ({"scale": 4}, "has no effect on the task auto"),
        ({"task": "upscale", "method": "median"}, "does not enlarge"),
        ({"method": "bicubic"}, "for the task upscale"),
        ({"method": "median", "noise": 0.1}, "has no effect on median"),
        ({"method": "median", "blur": "motion:3"}, "has no effect on median"),
        ({"task": "jpeg", "blur": "motion:3"}, "has no effect on the task jpeg"),
        ({"find": ("scratches",), "blur": "motion:3"}, "cannot be in one run"),
    ):
        with pytest.raises(SettingError, match=words):
            RestorationRequest(**change).check()
    with pytest.raises(LookupError, match=r"no method 'medien' \(did you mean 'median'"):
        RestorationRequest(method="medien").check()


def test_a_network_does_its_own_task(tmp_path, photo, brighter):
    """What is wrong for every picture is said once, before the work."""
    large = model(tmp_path, name="large", scale=2)
    other = photo.with_stem("other")
    other.write_bytes(photo.read_bytes())
    for request, words in (
        (RestorationRequest(task="denoise", model=large), "enlarges 2 times; it is for the task upscale"),
        (RestorationRequest(task="upscale", model=large, scale=3), "enlarges 2 times; leave it out"),
        (dataclasses.replace(brighter, task="upscale"), "does not enlarge"),
        (dataclasses.replace(brighter, noise=0.1), "takes no noise level"),
        (dataclasses.replace(brighter, task="deblur", blur="gaussian:2"), "estimates it; leave it out"),
        (RestorationRequest(task="upscale", scale=9), "is outside"),
        (RestorationRequest(model="digits"), "repairs nothing"),
    ):
        for workers in (None, Workers(jobs=2)):
            with pytest.raises(SettingError, match=words):
                restore_pictures([photo, other], tmp_path / "out", request, workers=workers)
        assert not (tmp_path / "out").exists()
    assert restore_pictures([photo], tmp_path / "out", RestorationRequest(task="upscale", model=large))[0].status == "done"


@pytest.mark.parametrize("large", [False, True], ids=["whole", "strips"])
def test_what_needs_no_repair_is_the_same_file(large, tmp_path, monkeypatch):
    if large:
        pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
        monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=97)
    for request in (RestorationRequest(), RestorationRequest(task="denoise", strength=0.0)):
        target = tmp_path / f"{request.task}.jpg"
        repair(tmp_path / "a.jpg", target, request)
        assert target.read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_a_mask_may_be_drawn_on_a_clear_layer(tmp_path, photo, brighter):
    drawn = np.zeros((33, 45, 4), np.uint8)
    drawn[5:9, 10:20] = (200, 0, 0, 255)
    drawn[20:30] = (255, 255, 255, 0)
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    plan = repair(photo, tmp_path / "o.png", dataclasses.replace(brighter, task="inpaint"), mask=tmp_path / "mask.png")
    assert "2.7% to fill in" in plan.summary


def test_a_classical_method_is_one_word_away(tmp_path, photo):
    for method, change in (("median", {}), ("wiener", {"blur": "gaussian:1", "noise": 0.02}), ("bicubic", {"task": "upscale", "scale": 3})):
        target = tmp_path / f"{method}.png"
        repair(photo, target, RestorationRequest(method=method, **change))
        assert tuple(files.read(target).pixels.shape[:2]) == ((99, 135) if method == "bicubic" else (33, 45))


def test_what_is_filled_in_by_strips_is_what_is_filled_in_at_once(tmp_path, monkeypatch):
    """By a mask, as dead pixels that are looked for, and where salt and pepper is found."""
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    clean = np.clip(np.add.outer(np.arange(420), np.arange(90)) / 4 + RNG.normal(40, 0.5, (420, 90)), 1, 254).astype(np.uint8)
    drawn = np.zeros_like(clean)
    drawn[50:62, 20:60], drawn[300:310, :] = 255, 255  # no hole for which there would be patches
    hit, dead = clean.copy(), clean.copy()
    hit[RNG.random(clean.shape) < 0.3] = 0
    hit[(RNG.random(clean.shape) < 0.2) & (hit > 0)] = 255
    dead[10::30, 5::40] = 255
    for name, pixels in (("clean", clean), ("drawn", drawn), ("hit", hit), ("dead", dead)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    asked = {"clean": {"task": "inpaint"}, "hit": {}, "dead": {"find": ("dead-pixels",)}}
    for name, how in asked.items():
        request, mask = RestorationRequest(tile=128, **how), tmp_path / "drawn.png" if name == "clean" else None
        repair(tmp_path / f"{name}.png", tmp_path / f"{name}-whole.png", request, mask=mask)
        with monkeypatch.context() as patch:
            patch.setattr(repairs, "_WHOLE", 1e9)
            said = repair(tmp_path / f"{name}.png", tmp_path / f"{name}-strips.png", request, mask=mask).summary
        whole, strips = (files.read(tmp_path / f"{name}-{way}.png").pixels.int() for way in ("whole", "strips"))
        assert "inpaint" in said or "fill in" in said
        assert (whole - strips).abs().max() <= 1, name
        assert (strips - torch.from_numpy(clean)[..., None].int()).abs().float().mean() < 1, name


def test_where_no_dead_pixel_is_found_strips_leave_the_pixels(tmp_path, photo, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    for name in ("out.png", "out.tif"):
        assert "nothing to fill in" in repair(photo, tmp_path / name, RestorationRequest(find=("dead-pixels",))).summary
        assert torch.equal(files.read(tmp_path / name).pixels, files.read(photo).pixels)


def test_what_has_to_see_the_whole_is_refused_in_one_line_where_it_does_not_fit(tmp_path, photo, monkeypatch, brighter):
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    for how in ({"find": ("scratches",)}, {"method": "median", "model": None}):
        with pytest.raises(ImageError, match="too large for 2 GB with --find dust or scratches, or --method"):
            repair(photo, tmp_path / "out.png", dataclasses.replace(brighter, task="auto", **how))
    for level, said in ((255, "is white everywhere"), (0, "is black everywhere")):
        Image.fromarray(np.full((33, 45), level, np.uint8)).save(tmp_path / "mask.png")
        with pytest.raises(ImageError, match=said):
            repair(photo, tmp_path / "out.png", dataclasses.replace(brighter, task="inpaint"), mask=tmp_path / "mask.png")
    Image.fromarray(np.full((30, 45), 255, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match="the mask is 45 x 30 pixels, the picture 45 x 33"):
        repair(photo, tmp_path / "out.png", dataclasses.replace(brighter, task="inpaint"), mask=tmp_path / "mask.png")


def test_out_at_or_above_the_folder_is_no_reason_to_find_nothing(tmp_path, same):
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.fromarray(RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(scans / "a.png")
    before = (scans / "a.png").read_bytes()
    (entry,) = restore_pictures([scans], tmp_path, same)
    assert (entry.status, entry.out) == ("done", str(tmp_path / "a.png"))
    (entry,) = restore_pictures([scans], scans, same)
    assert entry.status == "failed"
    assert "is an original and would be written over" in entry.message
    assert (scans / "a.png").read_bytes() == before


def test_a_name_as_long_as_names_can_be_stops_nobody(tmp_path, same):
    scans = tmp_path / "scans"
    scans.mkdir()
    names = ("a.png", "n" * 251 + ".png", "o" * 251 + ".bmp", "z.png")
    for name in names:
        Image.fromarray(RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(scans / name)
    entries = restore_pictures([scans], tmp_path / "out", same)
    assert [entry.status for entry in entries] == ["done"] * 4
    assert len(list((tmp_path / "out").glob("*.png"))) + len(list((tmp_path / "out").glob("*.bmp"))) == 4


def test_nothing_is_left_beside_originals_that_would_be_written_over(tmp_path, photo, brighter):
    (photo.parent / "other.png").write_bytes(photo.read_bytes())
    entries = restore_pictures([photo.parent], photo.parent, brighter)
    assert [entry.status for entry in entries] == ["failed", "failed"]
    assert sorted(path.name for path in photo.parent.iterdir()) == ["other.png", "photo.png"]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_one_bit_stays_one_bit_in_strips(ending, tmp_path, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    page = RNG.random((300, 210)) > 0.2
    Image.fromarray(page).save(tmp_path / f"a.{ending}", dpi=(300, 300))
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    same, loud = model(tmp_path), model(tmp_path, change=0.1, name="loud")
    repair(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}", RestorationRequest(task="denoise", model=same))
    with Image.open(tmp_path / f"b.{ending}") as image:
        assert image.mode == "1"
        assert np.array_equal(np.asarray(image), page)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    repair(tmp_path / f"a.{ending}", tmp_path / f"c.{ending}", RestorationRequest(task="denoise", model=loud))
    with Image.open(tmp_path / f"c.{ending}") as image:
        assert image.mode == "L", "what became grey is not made black and white again"


def test_names_that_all_end_alike_are_told_apart_too(tmp_path):
    found = [(tmp_path / name, Path(name)) for name in ("a.jpg", "a.png", "a.webp", "b.jpg")]
    names = dict(unique_names(iter(found), ending=".png"))
    assert [str(names[path]) for path, _ in found] == ["a.jpg.png", "a.png", "a.webp.png", "b.png"]


def test_a_picture_that_fails_again_is_tried_each_time_and_noted_once(tmp_path, photo, brighter):
    """Once for each content, request and reason; what is done does not wait for it."""
    out, bad = tmp_path / "out", photo.parent / "bad.png"
    bad.write_bytes(photo.read_bytes()[:200])

    def noted():
        rows = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
        return [(row["source"], row["status"]) for row in rows if row["status"] != "writing"]

    for _ in range(3):
        entries = restore_pictures([photo.parent], out, brighter)
        assert entries[0].status == "failed", "it was tried"
    assert [entry.status for entry in entries] == ["failed", "skipped"]
    assert noted() == [("bad.png", "failed"), ("photo.png", "done")]
    bad.write_bytes(photo.read_bytes()[:210])
    restore_pictures([photo.parent], out, brighter)
    assert len(noted()) == 3, "another content"
    for _ in range(2):
        restore_pictures([bad], out, dataclasses.replace(brighter, strength=0.5))
    assert len(noted()) == 4, "another request"
    bad.write_bytes(photo.read_bytes())
    for _ in range(2):
        entries = restore_pictures([photo.parent], out, brighter)
    assert [entry.status for entry in entries] == ["skipped", "skipped"]
    assert noted()[4:] == [("bad.png", "done")], "it was mended"


def test_what_cannot_be_looked_at_has_the_kind_that_its_name_claims_and_no_pixels(tmp_path):
    headers = Headers()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.txt").write_text("hello")
    long = tmp_path / f"{'x' * 300}.png"
    assert headers.of(tmp_path / "folder.png") == headers.of(tmp_path / "pipe.png") == headers.of(tmp_path / "text.txt") == (None, None)
    for path in (tmp_path / "empty.png", tmp_path / "none.png", long):
        assert headers.of(path) == (formats.ENDINGS[".png"], None)


@pytest.fixture
def openings(monkeypatch):
    """How often each file was opened so far in this test, by its path."""
    count = Counter()
    real = {place: place.open for place in (io, builtins)}
    for place, open_ in real.items():

        def opened(file, *rest, open_=open_, **how):
            count[os.fspath(file) if isinstance(file, str | Path) else ""] += 1
            return open_(file, *rest, **how)

        monkeypatch.setattr(place, "open", opened)
    return count


@pytest.fixture
def headers(monkeypatch):
    """How often Pillow read the header of a file on disk so far in this test, by format."""
    Image.init()
    count = Counter()
    for form, (factory, accept) in list(Image.OPEN.items()):

        def read(*how, form=form, factory=factory):
            count[form] += isinstance(how[0], io.BufferedReader)
            return factory(*how)

        monkeypatch.setitem(Image.OPEN, form, (read, accept))
    return count


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif", "a"])
def test_a_picture_is_opened_to_be_looked_at_and_to_be_repaired_and_no_more(name, tmp_path, same, openings, headers):
    """Whether it is repaired, left as it was, done before or damaged."""
    (tmp_path / "in").mkdir()
    source, form = tmp_path / "in" / name, {".jpg": "JPEG", "": "PNG"}.get(Path(name).suffix, Path(name).suffix[1:].upper())
    Image.fromarray(RNG.integers(60, 200, (20, 30, 3), dtype=np.uint8)).save(source, form.replace("TIF", "TIFF"))
    for request in (same, dataclasses.replace(same, strength=0), same):
        openings.clear()
        headers.clear()
        (entry,) = restore_pictures([tmp_path / "in"], tmp_path / "out", request)
        assert entry.status in ("done", "skipped"), entry.message
        assert 1 <= openings[str(source)] <= 2
        # For its pixels alone: the size is read without parsing the header.
        assert headers.total() <= 1
    source.write_bytes(source.read_bytes()[:60])
    openings.clear()
    assert restore_pictures([tmp_path / "in"], tmp_path / "out", same)[0].status == "failed"
    assert openings[str(source)] <= 2


def test_what_was_repaired_is_not_opened_again_to_tell_what_was_passed_over(tmp_path, photo, openings):
    (photo.parent / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert passed_over([photo.parent], taken={photo}) == passed_over([photo.parent])
    assert openings[str(photo)] == 1, "when nothing was known of it"


def test_a_picture_that_is_named_by_hand_is_opened_no_more_often(tmp_path, photo, same, openings):
    assert restore_pictures([photo], tmp_path / "out", same)[0].status == "done"
    assert openings[str(photo)] == 2
    openings.clear()
    sf.restore(photo, same.model, task="denoise")
    assert openings[str(photo)] == 1

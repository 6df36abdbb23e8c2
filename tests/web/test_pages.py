"""Each of the other pages in a browser: what is asked for comes, can be downloaded, and is what the public API gives."""

import io
import json
import zipfile

import numpy as np
from PIL import Image

import sfumato as sf


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def expected(images):
    return (images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8).squeeze()


def test_generated_images_are_those_of_their_seeds_and_one_opens_in_the_editor(visit):
    visitor = visit()
    page = visitor.open("generate")
    visitor.choose("#generate-model", "fashion")
    visitor.choose("#generate-label", "bag")
    visitor.type("#generate-seed", 5)
    visitor.type("#generate-count", 3)
    page.click("#generate-go")
    shown = visitor.shown("#generate-gallery")
    assert len(shown) == 3
    assert np.array_equal(pixels(shown[1]), expected(sf.generate("fashion", 1, seed=6, label="bag")))
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("(wrap => wrap.scrollWidth <= wrap.clientWidth)(document.querySelector('#generate-gallery .grid-wrap'))")
    page.set_viewport_size({"width": 1280, "height": 900})
    _, archive = visitor.download("#generate-files")
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == 4
    page.locator("#generate-gallery button.thumbnail-item").nth(1).click()
    page.wait_for_selector("#edit-image img")
    assert page.locator("#edit-seed input").input_value() == "6"
    (image,) = visitor.shown("#edit-image")
    assert np.array_equal(pixels(image)[9::19, 9::19], pixels(shown[1]))


def test_an_image_is_moved_by_the_keyboard_mixed_and_undone(visit, tmp_path):
    visitor = visit()
    page = visitor.open("edit")
    visitor.choose("#edit-model", "digits-vae")
    visitor.type("#edit-seed", 3)
    page.click("#edit-begin")
    (first,) = visitor.shown("#edit-image")
    visitor.type("#edit-axis-1", 2)
    names = page.locator("#edit-files a[href]")
    names.first.wait_for()
    picture, record = visitor.download("#edit-files")
    (tmp_path / "edited.json").write_bytes(record)
    again, _ = sf.replay("digits-vae", tmp_path / "edited.json") if "seed" in json.loads(record)["start"] else (None, None)
    (moved,) = visitor.shown("#edit-image")
    assert not np.array_equal(pixels(moved), pixels(first))
    if again is not None:
        assert np.array_equal(pixels(picture), expected(again.images[1:]))
    page.click("#edit-undo")
    page.wait_for_selector("#edit-files", state="hidden")
    (back,) = visitor.shown("#edit-image")
    assert np.array_equal(pixels(back), pixels(first))
    assert page.locator("#edit-axis-1 input[type=number]").input_value() == "0"


def test_a_point_is_dragged_and_a_picture_is_projected(visit, pictures):
    visitor = visit()
    page = visitor.open("edit")
    visitor.choose("#edit-model", "fashion")
    page.click("#edit-begin")
    (first,) = visitor.shown("#edit-image")
    page.click("#edit-dragging button")
    for name, value in {"from_x": 14, "from_y": 8, "to_x": 14, "to_y": 10}.items():
        visitor.type(f"#edit-{name}", value)
    visitor.type("#edit-drag-steps", 5)
    page.click("#edit-drag")
    page.locator("#edit-files a[href]").nth(1).wait_for()
    (dragged,) = visitor.shown("#edit-image")
    assert not np.array_equal(pixels(dragged), pixels(first))
    page.click("#edit-own button")
    visitor.send("#edit-picture", pictures / "many" / "03.png")
    visitor.type("#edit-project-steps", 10)
    page.click("#edit-project")
    page.wait_for_selector("#edit-status:has-text('PSNR')")


def test_a_dream_is_downloaded_with_its_recipe_and_its_film(visit, pictures):
    visitor = visit()
    page = visitor.open("dream")
    visitor.send("#dream-picture", pictures / "clean.png")
    visitor.choose("#dream-model", "eurosat-classifier")
    visitor.type("#dream-steps", 2)
    visitor.type("#dream-octaves", 2)
    page.click("#dream-go")
    picture, recipe, film = visitor.download("#dream-files")
    result = sf.dream(pictures / "clean.png", "eurosat-classifier", sf.Dream(steps=2, octaves=2)).images
    assert np.array_equal(pixels(picture), expected(result))
    assert json.loads(recipe)
    assert Image.open(io.BytesIO(film)).n_frames > 1


def test_the_channels_of_a_layer_are_shown_and_one_becomes_the_aim(visit):
    visitor = visit()
    page = visitor.open("dream")
    visitor.choose("#dream-model", "eurosat-classifier")
    page.click("#dream-gallery-part button")
    visitor.type("#dream-channels", 2)
    page.click("#dream-gallery-go")
    assert len(visitor.shown("#dream-gallery")) == 2
    page.locator("#dream-gallery button.thumbnail-item").nth(1).click()
    page.wait_for_function("document.querySelector('#dream-layers input, #dream-layers textarea').value.endsWith(':1')")


def test_a_picture_is_compressed_beside_the_common_formats(visit, pictures):
    visitor = visit()
    page = visitor.open("compress")
    visitor.send("#compress-picture", pictures / "clean.png")
    page.click("#compress-go")
    page.wait_for_selector("#compress-table table")
    assert "webp" in page.inner_text("#compress-table")
    (file,) = visitor.download("#compress-files")
    assert file == sf.compress(pictures / "clean.png", quality=50)


def test_pictures_of_a_folder_are_indexed_searched_and_grouped(visit, pictures):
    visitor = visit()
    page = visitor.open("search")
    visitor.choose("#search-folder", "many")
    visitor.choose("#search-model", "codec")
    page.click("#search-index")
    page.wait_for_selector("#search-status:has-text('12 pictures in the index, 0 passed over')")
    visitor.send("#search-query", pictures / "many" / "07.png")
    visitor.type("#search-count", 4)
    page.click("#search-go")
    page.wait_for_function("document.querySelectorAll('#search-gallery img').length == 4")
    assert "1.00 07.png" in page.inner_text("#search-gallery")
    visitor.type("#search-groups", 3)
    page.click("#search-group")
    page.wait_for_selector("#search-status:has-text('3 groups of')")
    (content,) = visitor.download("#search-files")
    assert content.startswith(b"<!doctype html>")


def test_every_bundled_model_has_a_card(visit):
    page = visit().open("models")
    page.wait_for_selector(".card")
    names = page.locator(".card h3").all_inner_texts()
    assert set(sf.bundled()) <= set(names)
    page.locator(".card summary").first.click()
    page.locator(".card details table").first.wait_for()

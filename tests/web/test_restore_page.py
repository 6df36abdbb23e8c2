"""The page Restore in a browser."""

import numpy as np
from PIL import Image

import sfumato as sf


def test_a_dropped_photograph_is_judged_restored_and_downloaded_with_its_metadata(visit, pictures, saved):
    visitor = visit()
    page = visitor.open("restore")
    visitor.send("#restore-files", pictures / "noisy.png")
    page.wait_for_selector("#restore-found b")
    assert "128 x 96 pixels" in page.inner_text("#restore-found")
    assert "remove the noise" in page.inner_text("#restore-found")
    page.click("#restore-go")
    (content,) = visitor.download("#restore-results")
    result = saved(content)
    expected = np.asarray(sf.restore(pictures / "noisy.png"))
    assert np.array_equal(np.asarray(result), expected)
    assert result.getexif()[0x010E] == "a wave"
    shown = [np.asarray(saved(content).convert("RGB")) for content in visitor.shown("#restore-slider")]
    assert np.array_equal(shown[0], np.asarray(Image.open(pictures / "noisy.png")))
    assert np.array_equal(shown[1], expected)


def test_a_painted_mask_is_filled_in_and_nothing_else_changes(visit, pictures, saved):
    visitor = visit()
    page = visitor.open("restore")
    visitor.send("#restore-files", pictures / "clean.png")
    page.wait_for_selector("#restore-found b")
    page.click("#restore-mask-part button")
    canvas = page.locator("#restore-mask canvas").first
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 30, middle[1], steps=5)
    page.mouse.up()
    page.click("#restore-go")
    (content,) = visitor.download("#restore-results")
    result, start = np.asarray(saved(content)), np.asarray(Image.open(pictures / "clean.png"))
    changed = (result != start).any(axis=2)
    assert 0 < changed.mean() < 0.5
    assert not changed[:4].any()
    assert not changed[-4:].any()


def test_several_pictures_are_restored_at_once_and_come_as_an_archive(visit, pictures):
    visitor = visit()
    page = visitor.open("restore")
    visitor.send("#restore-files", pictures / "noisy.png", pictures / "clean.png")
    page.wait_for_selector("#restore-found b")
    page.click("#restore-go")
    contents = visitor.download("#restore-results")
    assert len(contents) == 3
    assert contents[-1][:2] == b"PK"
    assert "2 restored, 0 not" in page.inner_text("#restore-status")

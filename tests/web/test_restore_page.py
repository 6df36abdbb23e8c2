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
    before, after = (page.locator("#restore-slider img").nth(i).get_attribute("src") for i in range(2))
    shown = [np.asarray(saved(visitor.context.request.get(address).body()).convert("RGB")) for address in (before, after)]
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

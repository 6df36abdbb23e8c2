"""What holds for all pages in a browser: visitors apart, cancelled work, reloads, wrong files, languages, narrow screens, the keyboard."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

LARGE = (1800, 1200)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A photograph whose restoration takes a while."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0 : LARGE[1], 0 : LARGE[0]]
    grey = 128 + 80 * np.sin(x / 40) * np.cos(y / 50) + rng.normal(0, 25, x.shape)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB").save(path, compress_level=1)
    return path


def begun(visitor, large):
    """Starts the restoration of the large picture and waits until it reports progress."""
    page = visitor.open("restore")
    visitor.send("#restore-files", large)
    page.wait_for_selector("#restore-found b")
    page.click("#restore-go")
    page.wait_for_selector("#restore-status progress[value]")
    return page


def test_long_work_reports_progress_is_cancelled_and_another_job_follows(visit, large, pictures):
    visitor = visit()
    page = begun(visitor, large)
    page.click("#restore-cancel")
    page.wait_for_selector("#restore-status:has-text('Cancelled')")
    page.wait_for_selector("#restore-cancel", state="hidden")
    page.locator("#restore-files button[aria-label=Clear], #restore-files button[aria-label='Remove this file']").first.click()
    visitor.send("#restore-files", pictures / "noisy.png")
    page.wait_for_selector("#restore-found:has-text('128 x 96')")
    page.click("#restore-go")
    assert len(visitor.download("#restore-results")) == 1


def test_a_reload_ends_the_work_of_the_page_and_the_next_job_is_done(visit, large, pictures):
    visitor = visit()
    begun(visitor, large)
    page = visitor.open("restore")
    visitor.send("#restore-files", pictures / "noisy.png")
    page.wait_for_selector("#restore-found:has-text('128 x 96')")
    page.click("#restore-go")
    assert len(visitor.download("#restore-results")) == 1


def test_two_visitors_get_their_own_results_and_never_those_of_the_other(visit, pictures):
    one, other = visit(), visit()
    for visitor, name in ((one, "noisy.png"), (other, "clean.png")):
        visitor.open("restore")
        visitor.send("#restore-files", pictures / name)
    for visitor in (one, other):
        visitor.page.wait_for_selector("#restore-found b")
        visitor.page.click("#restore-go")
    contents = [visitor.download("#restore-results")[0] for visitor in (one, other)]
    assert contents[0] != contents[1]
    address = one.page.locator("#restore-results a[href]").first.get_attribute("href")
    assert one.context.request.get(address).status == 200
    assert other.context.request.get(address).status == 403
    upload = one.page.locator("#restore-files a[href]").first.get_attribute("href")
    assert other.context.request.get(upload).status == 403


def test_files_that_are_no_pictures_are_refused_in_one_line(visit, tmp_path, pictures):
    visitor = visit()
    page = visitor.open("restore")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a.png", b"x")
    whole = (pictures / "clean.png").read_bytes()
    contents = {"empty.png": b"", "cut.png": whole[: len(whole) // 2], "text.jpg": b"no picture at all", "archive.png": archive.getvalue()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        visitor.send("#restore-files", tmp_path / name)
        page.wait_for_selector(f"#diagnose-status .bad:has-text('{name}')")
        assert "/" not in page.inner_text("#diagnose-status").partition(name)[0]
        line = page.locator("#diagnose-status .bad > span:visible")
        assert line.inner_text().count("\n") == 0
        assert line.evaluate("line => getComputedStyle(line).color") == "rgb(180, 35, 24)"
        page.locator("#restore-files button[aria-label=Clear], #restore-files button[aria-label='Remove this file']").first.click()
        page.wait_for_selector("#restore-files input[type=file]", state="attached")
    visitor.send("#restore-files", pictures / "noisy.png")
    page.wait_for_selector("#restore-found b")


def test_the_language_changes_on_the_page_and_is_kept(visit, pictures):
    visitor = visit()
    page = visitor.open("restore")
    visitor.send("#restore-files", pictures / "noisy.png")
    page.wait_for_selector("#restore-found b")
    page.click("#language")
    page.wait_for_selector("#restore-go:has-text('开始修复')")
    assert "建议：去噪" in page.inner_text("#restore-found")
    assert "Suggested" not in page.inner_text("#restore-found")
    page.wait_for_selector("#pages button[role=tab]:has-text('模型')")
    assert "noisy" in page.inner_text("#restore-files")
    visitor.reload()
    page.wait_for_selector("#restore-go:has-text('开始修复')")
    page.click("#language")
    page.wait_for_selector("#restore-go:has-text('Restore')")


def test_a_browser_in_chinese_gets_a_page_in_chinese(visit):
    visitor = visit(locale="zh-CN")
    visitor.open("restore").wait_for_selector("#restore-go:has-text('开始修复')")


def test_no_page_is_wider_than_a_telephone(visit):
    from tests.web.conftest import TABS

    visitor = visit()
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    page = visitor.open("restore")
    for tab in TABS:
        visitor.turn(tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


def test_everything_is_reached_by_the_keyboard(visit):
    visitor = visit()
    page = visitor.open("restore")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[id^=restore-], #language, #dark, #pages') || {}).id"))
    assert {"language", "dark", "pages", "restore-files", "restore-task", "restore-strength", "restore-find", "restore-go"} <= reached


def test_dark_and_light_are_changed_and_kept(visit):
    visitor = visit(color_scheme="light")
    page = visitor.open("restore")
    page.click("#dark")
    page.wait_for_selector("body.dark", state="attached")
    visitor.reload()
    page.wait_for_selector("body.dark", state="attached")

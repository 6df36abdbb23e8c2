"""The page Train in a browser: a training outlives the page and the studio."""

import time

from tests.web.conftest import Studio, Visitor


def until(condition, seconds=200):
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_training_goes_on_when_the_studio_ends_and_is_stopped_by_the_next_one(browser, tmp_path, studio):
    first = Studio(tmp_path)
    visitor = Visitor(browser, first.address)
    page = visitor.open("train")
    visitor.choose("#train-recipe", "dcgan")
    visitor.type("#train-budget", "20min")
    visitor.type("#train-name", "letters")
    page.click("#train-go")
    run = tmp_path / "runs" / "letters"
    until(lambda: (run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count("\n") >= 1)
    visitor.reload()
    visitor.context.close()
    first.close()
    second = Studio(tmp_path)
    visitor = Visitor(browser, second.address)
    page = visitor.open("train")
    page.wait_for_selector("#train-state:has-text('Running')")
    page.click("#train-stop")
    page.wait_for_selector("#train-state:has-text('Start it again to go on')")
    assert (run / "state" / "state.safetensors").exists()
    assert visitor.problems == []
    visitor.context.close()
    second.close()

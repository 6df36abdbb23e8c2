"""A studio in a process of its own, and pages of a real browser that note what must not happen."""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import MissingExtraError
from sfumato.web.studio import check_gradio

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LONG = int(os.environ.get("STUDIO_TEST_MILLISECONDS", "240000"))
"""Milliseconds that a page may take on a machine that is busy with other work; no test waits for them if all is well."""


def lacking():
    """What the tests in a browser need and do not have; empty if all is there."""
    packages = [name for name in ("playwright",) if importlib.util.find_spec(name) is None]
    try:
        check_gradio()
    except MissingExtraError:
        packages.append("gradio of a version that the studio takes")
    return ", ".join([*packages, *([] if CHROMIUM else ["chromium"])])


class Studio:
    """A running studio: its address, its folder of runs and its log."""

    def __init__(self, folder, *options):
        self.folder, self.log = folder, folder / "log.txt"
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
        words = ["studio", "--port", "0", "--no-open", "--threads", "1", "--runs", str(folder / "runs"), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sfumato", *words], stdout=subprocess.PIPE, stderr=log, env=environment, cwd=folder
            )
        line = self.process.stdout.readline().decode()
        match = re.search(r"http://\S+", line)
        assert match, self.log.read_text()
        self.address = match[0]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder with a noisy photograph with metadata, a clean one, and a small one."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:96, 0:128]
    clean = np.stack([128 + 90 * np.sin(x / 19), 128 + 90 * np.cos(y / 23), 128 + 60 * np.sin((x + y) / 31)], -1)
    noisy = Image.fromarray((clean + rng.normal(0, 25, clean.shape)).clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "a wave"
    noisy.save(folder / "noisy.png", exif=exif)
    Image.fromarray(clean.clip(0, 255).astype(np.uint8)).save(folder / "clean.png")
    (folder / "many").mkdir()
    for i in range(12):
        shade = rng.integers(0, 255, 3)
        tile = np.full((32, 32, 3), shade) + rng.normal(0, 20, (32, 32, 3))
        Image.fromarray(tile.clip(0, 255).astype(np.uint8)).save(folder / "many" / f"{i:02}.png")
    return folder


@pytest.fixture(scope="session")
def studio(tmp_path_factory, pictures):
    """A studio that may use the folder of the pictures."""
    if absent := lacking():
        pytest.skip(f"not here: {absent}")
    running = Studio(tmp_path_factory.mktemp("studio"), "--folders", str(pictures))
    yield running
    running.close()
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="session")
def browser(studio):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM)
        yield opened
        opened.close()


LEFT = ("AbortError: signal is aborted", "Connection errored out")
"""What gradio writes on a page that is left while it waits for a job; nobody sees that page any more."""


class Visitor:
    """One visitor: a browser with cookies of its own, one page, and the list of what must not happen."""

    def __init__(self, browser, address, **options):
        self.address, self.problems, self.addresses = address, [], set()
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.context.set_default_timeout(LONG)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.context.route("**/*", self._look)

    def _look(self, route):
        address = route.request.url
        if address.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.problems.append(f"a request to {address}")
            route.abort()

    def open(self, tab="restore"):
        """Opens the studio at a page of it."""
        self._leave(lambda: self.page.goto(self.address))
        self.turn(tab)
        return self.page

    def reload(self):
        """Loads the page once more."""
        self._leave(self.page.reload)

    def _leave(self, go):
        """Goes to another page, and forgets what gradio writes on the one that is left."""
        before = len(self.problems)
        go()
        self.page.wait_for_selector("#restore-go", state="attached")
        self.problems[before:] = [each for each in self.problems[before:] if not any(words in each for words in LEFT)]

    def turn(self, tab):
        """Changes to another page of the studio."""
        place = list(TABS).index(tab)
        button = self.page.locator("#pages button[role=tab]").nth(place)
        if button.count() and button.is_visible():
            button.click()
        else:  # a narrow page has a menu for the tabs that do not fit
            self.page.locator("#pages .overflow-menu > button").click()
            self.page.locator("#pages .overflow-dropdown button").filter(has_text=re.compile(f"^{tab}$", re.I)).click()
        self.page.wait_for_selector(TABS[tab])

    def send(self, selector, *paths):
        """Drops files on an upload."""
        self.page.locator(f"{selector} input[type=file]").set_input_files([str(path) for path in paths])

    def choose(self, selector, text):
        """Chooses an entry of a list by its text, once there are entries."""
        field = self.page.locator(f"{selector} input")
        field.wait_for()
        self.page.wait_for_function("selector => document.querySelector(selector).value != ''", arg=f"{selector} input")
        field.click()
        self.page.locator(f"[role=option]:has-text('{text}')").first.click()

    def type(self, selector, value):
        """Writes into a field, as somebody at the keyboard does."""
        field = self.page.locator(f"{selector} input, {selector} textarea").first
        field.fill(str(value))
        field.press("Tab")
        # A page takes the value a little later: by its own clock, which a busy machine slows as well.
        self.page.evaluate("() => new Promise(done => setTimeout(done, 50))")

    def download(self, selector):
        """The bytes of the files that a list of files offers."""
        links = self.page.locator(f"{selector} a[href]")
        links.first.wait_for()
        return [self.fetch(links.nth(i).get_attribute("href")) for i in range(links.count())]

    def fetch(self, address):
        """The bytes at an address of the studio."""
        answer = self.context.request.get(address)
        assert answer.ok
        return answer.body()

    def shown(self, selector):
        """The bytes of the pictures that are shown at a place, once the first is there."""
        pictures = self.page.locator(f"{selector} img")
        pictures.first.wait_for()
        return [self.fetch(pictures.nth(i).get_attribute("src")) for i in range(pictures.count())]


TABS = {
    "restore": "#restore-go",
    "generate": "#generate-go",
    "edit": "#edit-begin",
    "dream": "#dream-go",
    "compress": "#page-compress",
    "search": "#search-index",
    "train": "#train-go",
    "models": "#models-refresh",
}
"""The pages in their order, and something that each has."""


@pytest.fixture
def visit(browser, studio):
    """Makes visitors; at the end, none has seen an error or has asked for anything elsewhere."""
    with contextlib.ExitStack() as stack:
        visitors = []

        def new(**options):
            visitor = Visitor(browser, studio.address, **options)
            stack.callback(visitor.context.close)
            visitors.append(visitor)
            return visitor

        yield new
        assert [visitor.problems for visitor in visitors] == [[] for _ in visitors]


@pytest.fixture
def saved(tmp_path):
    """Writes bytes to a file and opens it as an image."""

    def write(content, name="result.png"):
        path = Path(tmp_path, name)
        path.write_bytes(content)
        return Image.open(path)

    return write

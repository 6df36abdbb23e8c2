"""The report of a run: every picture with what was found and done, safe whatever files are called, bounded, and checked first."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sfumato as sf
from sfumato.batch.manifest import Entry, Status
from sfumato.core.errors import SettingError, StorageError
from sfumato.restoration import report as reports
from sfumato.restoration.report import Report
from sfumato.restoration.request import RestorationRequest

MEDIAN = RestorationRequest(method="median", task="denoise")


class Page(HTMLParser):
    """A page as a browser reads it: tags, pictures, and the text of definition lists and of items."""

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.tags, self.pictures, self.sliders, self.facts, self.lines = [], [], [], [], []
        self._open, self.content = "", content
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values, self._open = dict(attributes), tag
        if tag == "img":
            kind, _, data = values["src"].partition(";base64,")
            assert kind == "data:image/webp"
            self.pictures.append((values["alt"], Image.open(io.BytesIO(base64.b64decode(data)))))
        if "data-name" in values:
            self.sliders.append(values["data-name"])
        if tag in ("dt", "dd", "li", "h2", "p"):
            self.lines.append("")

    def handle_endtag(self, tag):
        if tag in ("dt", "dd", "li", "h2", "p"):
            self._open = ""

    def handle_data(self, text):
        if self._open in ("dt", "dd", "li", "h2", "p", "b") and self.lines:
            self.lines[-1] += text

    def value(self, name):
        """The values of a row of the tables."""
        return [self.lines[i + 1] for i, line in enumerate(self.lines) if line == name]


@pytest.fixture
def pictures(tmp_path):
    """Three pictures: with single wrong pixels, without damage, and no picture at all."""
    folder = tmp_path / "in"
    folder.mkdir()
    spotted = np.full((40, 60), 100, np.uint8)
    spotted[::7, ::5] = 255
    Image.fromarray(spotted).save(folder / "spotted.png")
    Image.fromarray(np.full((40, 60), 100, np.uint8)).save(folder / "even.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def run(source, tmp_path, request=MEDIAN, **options):
    sf.restore_pictures([source], tmp_path / "out", request, report=tmp_path / "page.html", **options)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_a_report_shows_each_picture_before_and_after(pictures, tmp_path):
    page = run(pictures, tmp_path)
    assert page.value("Found") == ["denoise", "denoise"]
    assert page.value("Done") == ["median", "median"]
    assert page.value("Size") == ["60 x 40 pixels"] * 2
    assert page.value("Task") == ["denoise"]
    assert page.value("Method") == ["median"]
    assert page.value("Strength") == ["1"]
    assert page.sliders == ["spotted.png"]
    before, after = (np.asarray(dict(page.pictures)[f"spotted.png, {kind}"].convert("L")) for kind in ("before", "after"))
    assert before.max() > 200
    assert after.max() < 130
    assert "even.png, unchanged" in dict(page.pictures)
    (failed,) = [line for line in page.lines if line.startswith("broken.png: ")]
    assert failed.count("broken.png") == 1


def test_a_page_fetches_nothing_and_names_no_folder_of_this_machine(pictures, tmp_path):
    page = run(pictures, tmp_path)
    assert not re.search(r"""(src|href)\s*=(?!["']?data:)""", page.content)
    assert "http" not in page.content.replace("http-equiv", "")
    assert str(tmp_path) not in page.content


def test_names_of_files_are_text(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    name = '<img src=x onerror=alert(1)>"&\u202e\x07.png'
    Image.new("L", (20, 20), 90).save(folder / name)
    (folder / "<script>alert(2)<.png").write_bytes(b"no picture")
    page = run(folder, tmp_path)
    assert page.tags.count("script") == 1
    assert len(page.pictures) == page.tags.count("img") == 1
    (title,) = [line for line in page.lines if line.startswith("<img")]
    assert title == '<img src=x onerror=alert(1)>"&\ufffd\ufffd.png'
    assert page.pictures[0][0].startswith(title)


def test_a_second_run_tells_what_the_first_did(pictures, tmp_path):
    first, second = (run(pictures, tmp_path) for _ in range(2))
    assert second.value("Done") == first.value("Done") == ["median", "median"]
    assert second.value("Time")[1:] == ["by an earlier run"] * 2
    assert second.sliders == first.sliders


def test_a_large_picture_is_reduced_and_shown_in_part_at_full_size(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_SIDES", ((24, 100),))
    monkeypatch.setattr(reports, "_DETAIL", 64)
    spotted = np.full((200, 300), 100, np.uint8)
    spotted[150, 250] = 255
    Image.fromarray(spotted).save(tmp_path / "a.png")
    page = run(tmp_path / "a.png", tmp_path)
    sizes = [image.size for _, image in page.pictures]
    assert sizes == [(100, 67), (100, 67), (64, 64), (64, 64)]
    assert np.asarray(page.pictures[2][1].convert("L")).max() > 180


def test_an_enlarged_picture_is_compared_at_the_size_of_the_result(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16), dtype=np.uint8)).save(tmp_path / "a.png")
    page = run(tmp_path / "a.png", tmp_path, RestorationRequest(task="upscale", method="bicubic", scale=2))
    assert page.value("Size") == ["16 x 12 pixels to 32 x 24 pixels"]
    assert [image.size for _, image in page.pictures] == [(16, 12), (32, 24)]
    assert page.content.count('width="32" height="24"') == 2
    assert not page.value("Strength")


def test_pictures_of_a_report_are_bounded_in_total(tmp_path, monkeypatch):
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(reports, "MOST_BYTES", 20_000)
    page = run(tmp_path / "*.png", tmp_path)
    shown = len({alt.partition(",")[0] for alt, _ in page.pictures})
    assert 0 < shown < 4
    assert page.content.count("Not shown") == 4 - shown
    assert len(page.value("Done")) == 4


def test_of_too_many_pictures_the_failures_are_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "MOST_ENTRIES", 3)
    report = Report(RestorationRequest(), tmp_path)
    for i in range(10):
        status = Status.FAILED if i == 8 else Status.DONE
        report.add(Entry(source=f"{i}.png", out=str(tmp_path / f"{i}.png"), status=status, message="x.png: gone" if i == 8 else "a: b"), 10)
    page = Page(report.page())
    assert [line for line in page.lines if line.endswith(".png")] == ["0.png", "1.png", "2.png"]
    assert any(line.startswith("8.png") for line in page.lines)
    assert any(line.startswith("6 more pictures") for line in page.lines)


def test_a_run_that_is_stopped_leaves_a_report(pictures, tmp_path):
    def stop(entry, number, count):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(pictures, tmp_path, on_progress=stop)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert any("stopped after 1 of 3" in line for line in page.lines)


def test_a_result_that_is_gone_is_told_on_the_page(pictures, tmp_path):
    def remove(entry, number, count):
        Path(entry.out).unlink(missing_ok=True)

    page = run(pictures, tmp_path, on_progress=remove)
    assert not page.pictures
    assert page.content.count("cannot be shown") == 2


def test_the_place_of_a_report_is_checked_before_the_work(pictures, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "theirs.html").write_text("precious")
    (tmp_path / "folder.html").mkdir()
    for name, error in (
        ("page.txt", SettingError),
        ("theirs.html", SettingError),
        ("folder.html", SettingError),
        ("file/page.html", StorageError),
    ):
        with pytest.raises(error, match=r"page|theirs|folder|file") as raised:
            sf.restore_pictures([pictures], tmp_path / "out", MEDIAN, report=tmp_path / name)
        assert "--out" not in str(raised.value)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "theirs.html").read_text() == "precious"


def test_a_report_is_replaced_by_the_same_command_unless_it_was_changed(pictures, tmp_path):
    for _ in range(2):
        run(pictures, tmp_path)
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(SettingError):
        run(pictures, tmp_path)
    run(pictures, tmp_path, overwrite=True)
    assert (tmp_path / "page.html").read_text() != "mine"

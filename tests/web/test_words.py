"""Every sentence in both languages, with the same values, and every key in use."""

import re
import string
from pathlib import Path

import sfumato.web
from sfumato.web.pages.restore import found_words
from sfumato.web.sentences import WORDS
from sfumato.web.words import LANGUAGES, both, joined, text

SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in Path(sfumato.web.__file__).parent.rglob("*.py") if path.name != "sentences.py"
)


def fields(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_every_sentence_is_there_in_both_languages_with_the_same_values():
    for key, sentences in WORDS.items():
        assert len(sentences) == len(LANGUAGES), key
        english, chinese = sentences
        assert fields(english) >= fields(chinese), key
        assert bool(english) == bool(chinese), key
        assert not re.search("[\u4e00-\u9fff]", english) or key == "other_language", key


def test_every_sentence_is_used_and_every_used_sentence_is_there():
    used = set(re.findall(r'(?:both|label|text)\(\s*["\']([a-z_0-9]+)["\'][,)]', SOURCE))
    assert used - set(WORDS) == set()
    begun = set(re.findall(r'"([a-z]+_(?:[a-z]+_)?)(?:"\s*\+|\{)', SOURCE)) | {"task_", "axis_"}
    quoted = set(re.findall(r'"([a-z_0-9]+)"', SOURCE))
    assert {key for key in WORDS if key not in used | quoted and not key.startswith(tuple(begun))} == set()


def test_values_are_escaped_and_sentences_inside_sentences_are_not():
    assert both("failed", error="<b>") == '<span lang="en">Not done: &lt;b&gt;</span><span lang="zh-CN">未完成：&lt;b&gt;</span>'
    inner = both("t_left", left="0:10")
    assert both("t_running", images="1", total="2", seconds="3", left=inner).count("0:10") == 2
    assert (
        joined([both("d_sharp"), both("d_no_white_noise")])
        == '<span lang="en">sharp, no white noise</span><span lang="zh-CN">清晰，无白噪声</span>'
    )


def test_a_picture_is_described_in_both_languages():
    facts = {
        "noise": 0.1,
        "noise_kind": "white",
        "bands": None,
        "judged": True,
        "salt": None,
        "quality": 40,
        "blur": None,
        "task": "denoise",
        "width": 4,
        "height": 3,
    }
    words = found_words(facts)
    assert "noise of 25.5/255" in words
    assert "噪声 25.5/255" in words
    assert "JPEG 质量 40" in words
    assert "coarse noise of at least 25.5/255" in found_words({**facts, "noise_kind": "coarse"})
    assert "could be told from details" in found_words({**facts, "noise": None, "noise_kind": "untold"})
    assert "条带 2.6/255" in found_words({**facts, "bands": 0.01, "task": "bands"})
    assert text("d_none", "zh") in found_words({**facts, "judged": False})

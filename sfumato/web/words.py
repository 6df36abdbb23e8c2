"""Sentences in English and Chinese, from the table in `sentences.py`.

Labels change with the page's language in the browser. A message is written in both languages at once, and the page shows the one that is
chosen, so that a change of the language needs no request.
"""

import html

from sfumato.core.text import printable
from sfumato.web.sentences import WORDS

LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The languages, and the names that the browser knows them by."""


def text(key: str, language: str, **values: object) -> str:
    """The sentence called `key` in one language, with its values.

    >>> text("size", "en", width=4, height=3)
    '4 x 3 pixels'
    """
    sentence = WORDS[key][tuple(LANGUAGES).index(language)]
    return sentence.format(**values) if values else sentence


def both(key: str, **values: object) -> str:
    """The sentence in both languages as HTML; values are escaped, and those that are both languages themselves (`Both`) are not.

    >>> both("other_language")
    '<span lang="en">中文</span><span lang="zh-CN">English</span>'
    """
    return Both({language: text(key, language, **_escaped(values, language)) for language in LANGUAGES})


class Both(str):
    """HTML in both languages."""

    parts: dict[str, str]

    def __new__(cls, parts: dict[str, str]) -> "Both":
        """From the HTML in each language."""
        result = super().__new__(cls, "".join(f'<span lang="{LANGUAGES[key]}">{part}</span>' for key, part in parts.items()))
        result.parts = parts
        return result


def joined(sentences: list[str], separator: str = ", ") -> str:
    """Several sentences of `both` as one."""
    between = {"en": separator, "zh": {", ": "，"}.get(separator, separator)}
    return Both(
        {key: between[key].join(each.parts[key] if isinstance(each, Both) else escaped(each) for each in sentences) for key in LANGUAGES}
    )


def escaped(value: object) -> str:
    """A value as HTML, without control characters."""
    return html.escape(printable(str(value), lines=True))


def _escaped(values: dict[str, object], language: str) -> dict[str, object]:
    return {
        name: value if isinstance(value, int | float) else value.parts[language] if isinstance(value, Both) else escaped(value)
        for name, value in values.items()
    }

"""Addresses of models on a hub: hf:owner/name, hf:owner/name@revision."""

import re
from dataclasses import dataclass
from pathlib import Path

from sfumato.core.errors import SettingError
from sfumato.core.text import quoted

PREFIX = "hf:"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"(?:{PREFIX})?({_PART})/({_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")


@dataclass(frozen=True)
class HubAddress:
    """A repository of models on a hub, and one of its revisions."""

    owner: str
    name: str
    revision: str = ""
    """A branch, a tag or a commit; empty for the main branch."""

    @property
    def repository(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        """The address as a person types it."""
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_address(which: str | Path) -> bool:
    """Whether the name of a model is an address on a hub. A folder of such a name is written ./hf:...

    >>> is_address("hf:owner/cats"), is_address("runs/cats")
    (True, False)
    """
    return str(which).startswith(PREFIX)


def parsed(text: str) -> HubAddress:
    """The address that `text` is, with or without `hf:`. Raises SettingError if it is none.

    >>> parsed("hf:owner/cats@v1")
    HubAddress(owner='owner', name='cats', revision='v1')
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or "--" in text or ".." in text:
        raise SettingError(f"{quoted(text)} is no address of a model on a hub; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return HubAddress(match[1], match[2], match[3] or "")

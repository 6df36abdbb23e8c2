"""Clean images to degraded ones: a file per kind of damage, random within ranges, the same again from the same seed."""

from sfumato.core.registry import Room

DEGRADATIONS = Room(__name__, method="__call__")

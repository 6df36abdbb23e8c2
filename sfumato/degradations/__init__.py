"""Degradations: clean images to degraded ones, one file for each kind, random within ranges and reproducible from a seed."""

from sfumato.core.registry import Room

DEGRADATIONS = Room(__name__, method="__call__")
"""Settings classes of the degradations by id."""

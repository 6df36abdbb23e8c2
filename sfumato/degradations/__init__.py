"""Degradations: clean images to degraded ones, one file for each kind, random within ranges and reproducible from a seed."""

from sfumato.core.registry import Room
from sfumato.degradations.base import Degradation

DEGRADATIONS: Room[Degradation] = Room(__name__, method="__call__")
"""Settings classes of the degradations by id."""

"""Clean images to degraded ones: a file per kind of damage, random within ranges, the same again from the same seed."""

from sfumato.core.catalog import Catalog

DEGRADATIONS = Catalog(__name__)

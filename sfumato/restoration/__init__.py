"""Restoration of pictures: from the damage to a plan, from the plan to a repaired file."""

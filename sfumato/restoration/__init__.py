"""Repairing pictures: from what is wrong with one to a plan, from the plan to a repaired file."""

"""Edits between two images of a generator: inversion, directions, dragging, mixing."""

"""Batches of files: sources, names of results, and a manifest of results. Independent of the task."""

"""One task for many files: sources, names of results, workers, and a manifest of results. Independent of the task."""

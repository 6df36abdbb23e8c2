"""Many files: which there are, what each result is called, what was done to each. Knows no task."""

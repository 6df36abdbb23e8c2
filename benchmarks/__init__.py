"""One question a file; each prints its figure beside the alternative, measured in the same run."""

"""Networks on disk: saved, loaded, imported from others' files, exported, and fetched. Nothing in a file is ever executed."""

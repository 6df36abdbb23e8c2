"""Images as vectors: indexes of folders, search, groups, and doubles."""

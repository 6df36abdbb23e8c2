"""Two minutes that show it all, and the page on which they are shown."""

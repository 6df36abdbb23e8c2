"""Search for settings within a budget of time, and a comparison of the best with the default."""

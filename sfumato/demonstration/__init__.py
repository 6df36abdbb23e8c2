"""The demonstration of two minutes, and its page."""

"""How good is it: pure functions of images and feature vectors."""

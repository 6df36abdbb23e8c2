"""Methods from before networks, images to images, so that anyone can compare."""

"""A verb per file: images in, images out."""

"""Latents to images: from seeds, and along paths between them."""

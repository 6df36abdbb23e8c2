"""Classical restoration methods, images to images, as baselines for networks."""

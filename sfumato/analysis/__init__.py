"""What is wrong with a picture, from the picture alone."""

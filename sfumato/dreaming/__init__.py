"""DeepDream and feature visualisation: pictures that show what the layers of a network respond to."""

"""How good images are: formulas from images and feature vectors to numbers. They open no model and no file."""

"""Words every room shares: images, settings, names, errors, randomness, the machine. Imports nothing from the package."""

"""Files to batches: reading, preparing, ordering and augmenting images. Knows core only."""

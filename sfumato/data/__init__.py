"""Files to batches: reading, preparing, ordering and augmenting images."""

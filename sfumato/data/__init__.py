"""Files to batches for training and measuring: reading, preparing, ordering and augmenting images."""

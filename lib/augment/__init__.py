"""Classic augmentation, batched."""

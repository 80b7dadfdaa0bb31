"""Data sets, their augmentation and the loaders that turn them into batches."""

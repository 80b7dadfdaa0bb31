"""Measurements: of the losses, and everything that is to be run on a GPU."""

"""Trained versions: weights, manifest, card."""

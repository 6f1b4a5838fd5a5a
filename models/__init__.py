"""Starter models: one MONAI-bundle folder each, with its card. Reached through importlib.resources."""

"""MONAI Label inference tasks: thin adapters."""

"""MONAI Label train tasks: thin adapters."""

"""The MONAI Label app folder. Reached through importlib.resources."""

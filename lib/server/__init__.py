"""The ASGI app around MONAI Label's."""

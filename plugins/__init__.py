"""Modules for other programs, as data of the package: nothing here is imported by the server."""

"""MONAI Label's datastore with history and curation."""

"""LesionLabel: a MONAI Label server for focal liver lesions on portal-venous CT. Research software, not for clinical use."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lesionlabel")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

NOT_FOR_CLINICAL_USE = "Research software, not for clinical use."

"""CT in and out: DICOM series, NIfTI, NRRD, ready-cut ROIs, and the memory-mapped volume store."""

"""Everything that the LesionLabel module for 3D Slicer does, in plain Python: it imports neither qt nor slicer."""

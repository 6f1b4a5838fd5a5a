"""One click is enough: the network that outlines a clicked lesion, what it was trained on, and how."""

"""Which images a strategy may offer: those without a final label that are no synthetic ones."""

from __future__ import annotations

from monailabel.interfaces.datastore import Datastore


def offered(datastore: Datastore) -> list[str]:
    """Image ids in order, without a final label, and not marked {"synthetic": true} in their info."""
    return sorted(i for i in datastore.get_unlabeled_images() if not datastore.get_image_info(i).get("synthetic"))

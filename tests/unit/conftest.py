"""A lesion as a reader outlines it, without a volume."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.lesion import Lesion, Proof

NUMBERS = count(1)


@pytest.fixture(scope="session")
def outlined() -> Callable[..., Lesion]:
    """A function that draws a round lesion: class, centre (column, row, slice), diameter in mm; pixels of 1 mm."""

    def outline(
        label: str,
        centre: tuple[float, float, int] = (50.0, 50.0, 10),
        diameter_mm: float = 20.0,
        *,
        proof: Proof = Proof.SINGLE_READER,
        saw_model: bool | None = False,
        reader: str = "r",
    ) -> Lesion:
        contour = contour_from_circle(centre[:2], diameter_mm, centre[2])
        identity = f"case-{next(NUMBERS)}"
        return Lesion(identity, "case", contour, diameter_mm, label, proof, reader, "2026-01-01T00:00:00+00:00", saw_model)

    return outline

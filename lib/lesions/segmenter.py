"""From a reader's clicks to a lesion's outline: what goes in, what comes out, whoever does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.volume import Volume


@dataclass(frozen=True)
class Clicks:
    """Where a reader clicked: indices (i, j, k) in volume.voxels. inside: in the lesion, the newest last; outside: not in it."""

    inside: tuple[tuple[float, float, float], ...]
    outside: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Segmented:
    """A lesion as a segmenter found it.

    contours: one a slice, by slice; the clicked one alone unless the whole lesion was asked for. slice_index: the clicked one.
    confidence: the Dice that the segmenter expects of the clicked slice's outline, 0 to 1; None where it cannot say.
    """

    contours: tuple[Contour, ...]
    slice_index: int
    confidence: float | None

    @property
    def contour(self) -> Contour:
        """In the clicked slice."""
        return next(contour for contour in self.contours if contour.slice_index == self.slice_index)


class Segmenter(Protocol):
    """Anything that outlines the lesion under a click."""

    def segment(self, volume: Volume, clicks: Clicks, *, whole: bool = False) -> Segmented:
        """The outline of the lesion in the slice of the newest click inside it; with whole, in all its slices.

        Raises OutsideVolumeError outside the volume, NoLesionError where the click is on something else.
        """
        ...

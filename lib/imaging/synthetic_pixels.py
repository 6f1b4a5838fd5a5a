"""The pixels of synthetic ROIs in every form that leaves this program, all from one rounding to whole HU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import HU_WINDOW, ROI_SIZE

LOW, HIGH = HU_WINDOW
#: The burnt-in mark lies within this many pixels of the ROI's upper edge, where no lesion is: that fills about two thirds.
BURNT_ROWS = 7
#: 3 to 4 × 5 pixels a letter: as large as leaves the lesion free.
LETTERS = {
    "S": (" ##", "#  ", " # ", "  #", "## "),
    "Y": ("# #", "# #", " # ", " # ", " # "),
    "N": ("#  #", "## #", "# ##", "#  #", "#  #"),
    "T": ("###", " # ", " # ", " # ", " # "),
    "H": ("# #", "# #", "###", "# #", "# #"),
    "E": ("###", "#  ", "## ", "#  ", "###"),
    "I": ("#", "#", "#", "#", "#"),
    "C": (" ##", "#  ", "#  ", "#  ", " ##"),
}


def to_hu(images: NDArray[Any]) -> NDArray[np.int16]:
    """Whole HU of ROIs in [0, 1], the same shape. Every writer, and the register of what was made, starts from these.

    images: (n, 64, 64) in [0, 1], at least one. Raises InputError for anything else.
    """
    values = np.asarray(images)
    if values.ndim != 3 or values.shape[1:] != (ROI_SIZE, ROI_SIZE) or not len(values) or values.dtype.kind != "f":
        raise InputError(
            f"Synthetic ROIs are real numbers of shape (n, {ROI_SIZE}, {ROI_SIZE}), n from 1; got {values.shape} {values.dtype}."
        )
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(f"Synthetic ROIs are in [0, 1]; got {values.min():.4g} to {values.max():.4g}.")
    return np.rint(LOW + values.astype(np.float64) * (HIGH - LOW)).astype(np.int16)


def to_unit(hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """Whole HU back in [0, 1], float32: any way of mapping them to HU gives the same whole numbers."""
    return ((hu.astype(np.float64) - LOW) / (HIGH - LOW)).astype(np.float32)


def to_grey(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Whole HU as the 8-bit greys that import-rois reads back."""
    return np.rint((hu.astype(np.float64) - LOW) / (HIGH - LOW) * 255).astype(np.uint8)


def grey_hu(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Whole HU of 8-bit greys."""
    return np.rint(LOW + grey / 255 * (HIGH - LOW)).astype(np.int16)


def word(scale: int = 1) -> NDArray[np.bool_]:
    """SYNTHETIC as pixels, True where the letters are, (7, 36) times scale with an empty pixel around."""
    rows = [" ".join(LETTERS[letter][row] for letter in "SYNTHETIC") for row in range(5)]
    drawn = np.pad(np.array([[pixel == "#" for pixel in row] for row in rows]), 1)
    return np.kron(drawn, np.ones((scale, scale), dtype=bool))


def burn_in(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of ROIs (n, 64, 64) in [0, 1] with SYNTHETIC, white on black, in the upper left corner."""
    burnt = images.copy()
    letters = word()
    burnt[:, : letters.shape[0], : letters.shape[1]] = letters
    return burnt

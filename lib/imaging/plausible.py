"""Whether numbers can be the HU of a CT of the body.

What is expected of a CT: air near -1000, lung, fat near -100, soft tissue between about 0 and 200 (with contrast), little
bone and metal above. A CT cropped to the liver has neither air nor, perhaps, fat and must pass too. So there are two rules:

* where fat or air is seen (at least 0.1 % of the voxels below -100), some soft tissue must be there as well: at least 1 %
  of the voxels in [-150, 300]; and at most 15 % of all may be above 700, which numbers without their rescale intercept
  (tissue near 1050) and PET break;
* where none is seen, it can only be a crop inside soft tissue: 99 % in [-100, 400], the middle 90 % not wider than 250 HU,
  and at most 30 % within ±5. MR, pictures, label maps and normalised images break one of these.

An MR that was stored as NIfTI with a narrow, tissue-like range cannot be told apart by its numbers; in DICOM its modality
says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.errors import NotCTError

OFFSET = 32768
#: Scanners pad outside the field of view with numbers down to about -3024; nothing real is lower.
LOWEST_PADDING = -4000
ALLOWED = "Allowed: a CT in HU (air -1000, water 0)."


def check_hu(voxels: NDArray[np.int16]) -> None:
    """Raise NotCTError, saying what was seen and what is allowed, unless voxels (slice, row, column) can be HU."""
    counts = np.zeros(2 * OFFSET, dtype=np.int64)
    for plane in voxels:
        counts += np.bincount((plane.astype(np.int32) + OFFSET).ravel(), minlength=2 * OFFSET)
    total = int(counts.sum())
    cumulative = np.cumsum(counts)

    def share(low: int, high: int) -> float:
        """Share of voxels with low <= value <= high."""
        below = cumulative[low + OFFSET - 1] if low > -OFFSET else 0
        return float(cumulative[high + OFFSET] - below) / total

    def quantile(q: float) -> int:
        return int(np.searchsorted(cumulative, q * total)) - OFFSET

    present = np.flatnonzero(counts)
    lowest, highest = int(present[0]) - OFFSET, int(present[-1]) - OFFSET
    seen = f"Its values run from {lowest} to {highest}"
    if lowest == highest:
        raise NotCTError(f"All voxels are {lowest}: the image is empty. {ALLOWED}")
    impossible = share(-OFFSET, LOWEST_PADDING - 1)
    if impossible > 0.001:
        raise NotCTError(
            f"{seen}, and {impossible:.0%} of them are below {LOWEST_PADDING}, far under air and any padding: the numbers are "
            f"not on the HU scale (a wrong rescale slope?). {ALLOWED} Convert the series with its rescale slope and intercept."
        )
    if lowest == 0 and highest == 255:
        raise NotCTError(f"{seen}: that is an 8-bit picture, its HU are lost. {ALLOWED} Export the original series.")
    if share(-OFFSET, -101) < 0.001:
        _check_crop(seen, share(-100, 400), quantile(0.95) - quantile(0.05), share(-5, 5))
        return
    bright = share(700, OFFSET - 1)
    if bright > 0.15:
        raise NotCTError(
            f"{seen}, and {bright:.0%} of them are above 700: the numbers are not on the HU scale (a rescale intercept of about "
            f"-1024 is missing?). {ALLOWED} Convert the series with its rescale slope and intercept."
        )
    tissue = share(-150, 300)
    if tissue < 0.01:
        raise NotCTError(
            f"{seen}, and only {tissue:.1%} of them are in the range of soft tissue, -150 to 300: the numbers are not on the HU "
            f"scale, or no body is in the image. {ALLOWED}"
        )


def _check_crop(seen: str, inside: float, width: int, near_zero: float) -> None:
    """The rule for an image without air and fat: it must be a crop from inside soft tissue."""
    reasons = []
    if inside < 0.99:
        reasons.append(f"{1 - inside:.0%} of them are outside -100 to 400")
    if width > 250:
        reasons.append(f"the middle 90 % of them span {width}")
    if near_zero > 0.30:
        reasons.append(f"{near_zero:.0%} of them are within ±5")
    if reasons:
        raise NotCTError(
            f"{seen}, there is neither air nor fat, and {', and '.join(reasons)}: that is no CT in HU (MR, a picture, a label "
            f"map, a normalised image, a missing rescale intercept?). {ALLOWED} A crop without air and fat must be soft tissue."
        )

"""Whether an outline holds what no focal lesion of the liver is made of: lung, air, bone, metal."""

from __future__ import annotations

import numpy as np

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.volume import Volume

#: Fat is near -100 HU and aerated lung below -500; soft tissue with contrast stays below 250, cortical bone begins near 300.
LOWEST_HU, HIGHEST_HU, FAT_HU = -200, 300, -100
#: The largest share of an outline's pixels that may lie outside. Measured as a circle on its longest diameter, a lesion half as
#: wide as it is long that lies flat against the lung takes in a quarter of lung: half of the circle is not lesion, half of that
#: on the lung's side. Coarse calcium and the lung's edge are far below it; a lesion that is calcified throughout is not.
LARGEST_SHARE = 0.25


def why_no_lesion(volume: Volume, contour: Contour, mean_hu: float) -> str | None:
    """Why what is outlined cannot be a focal lesion of the liver, in numbers; None where it can.

    mean_hu: of its pixels without their edge, as the reader is told it. Below fat it is no tissue's: an eighth of lung makes a
    cyst that dark, before the share of lung tells.
    """
    _, rows, columns = volume.geometry.shape
    hu = volume.voxels[contour.slice_index][contour.mask(rows, columns)]
    low, high = (float(np.mean(part)) if hu.size else 0.0 for part in (hu < LOWEST_HU, hu > HIGHEST_HU))
    reasons = []
    if low + high > LARGEST_SHARE:
        reasons.append(f"; in a lesion of the liver at most {100 * LARGEST_SHARE:.0f} % are")
    if mean_hu < FAT_HU:
        reasons.append(f"; their mean of {mean_hu:.0f} HU is below fat ({FAT_HU} HU)")
    if not reasons:
        return None
    return (
        f"Of the outlined pixels {100 * low:.0f} % are below {LOWEST_HU} HU (lung, air) and {100 * high:.0f} % above "
        f"{HIGHEST_HU} HU (bone, dense calcium, metal){''.join(reasons)}. Outline the lesion alone."
    )

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.errors import NoLesionError
from lesionlabel.lesions.segmenter import Segmented, Segmenter
from lesionlabel.settings import Settings


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_ct, tiny_label, promote_untrained) -> Path:
    """A folder with home/, where a model serves, studies/ct.nii.gz and label.nii.gz. Read only."""
    folder = tmp_path_factory.mktemp("site")
    promote_untrained(Settings(home=folder / "home", device="cpu"))
    tiny_ct(folder / "studies" / "ct.nii.gz")
    tiny_label(folder / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    return folder


@pytest.fixture(scope="session")
def desk(site: Path) -> Desk:
    return Desk(Settings(home=site / "home", device="cpu"))


@pytest.fixture(scope="session")
def ct(site: Path) -> Path:
    return site / "studies" / "ct.nii.gz"


class DarkParts:
    """A segmenter that knows the tiny CT: what is darker than its liver, without a disc around each click outside."""

    def segment(self, volume, clicks, *, whole=False):
        smooth = ndimage.gaussian_filter(volume.voxels.astype(float), (0.7, 0.7, 0.7))
        dark = (smooth < 80) & (smooth > -40)
        k, y, x = np.mgrid[tuple(map(slice, dark.shape))]
        for i, j, n in clicks.outside:
            dark &= ~((np.hypot(x - i, y - j) < 5) & (k == round(n)))
        i, j, k = (round(v) for v in clicks.inside[-1])
        parts = np.zeros(dark.shape, np.int32)
        ndimage.label(dark if whole else dark * (np.arange(len(dark)) == k)[:, None, None], output=parts)
        if not parts[k, j, i]:
            raise NoLesionError("liver", "This is liver.")
        found = parts == parts[k, j, i]
        contours = tuple(contour_from_mask(found[n], n) for n in range(len(found)) if found[n].any())
        return Segmented(contours, k, 0.55)


@pytest.fixture(scope="session")
def dark_parts() -> Segmenter:
    return DarkParts()

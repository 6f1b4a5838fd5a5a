import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.imaging.store import VolumeStore
from lesionlabel.infers.overlay import overlay
from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.roi import cut_context


def turned(path, to, ct, flip: bool):
    """The tiny CT as a file that lies askew in the patient, its axes flipped or not."""
    image = sitk.ReadImage(str(path))
    if flip:
        image = sitk.DICOMOrient(image, "RPS")
    angle = np.radians(12)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    image.SetDirection((tilt @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    sitk.WriteImage(image, str(to))
    return image


@pytest.mark.parametrize("flip", [False, True])
def test_each_voxel_of_an_oblique_image_takes_the_value_of_the_roi_at_its_own_place(ct, tmp_path, flip):
    file = turned(ct, tmp_path / "askew.nrrd", ct, flip)
    volume = VolumeStore(tmp_path / "volumes", 2**30).open(tmp_path / "askew.nrrd")
    contour = contour_from_circle((34.6, 45.3), 14.2, 12)
    context = cut_context(volume, contour)
    # A plane: linear interpolation gives it back exactly.
    rows, columns = np.mgrid[:64, :64].astype(float)
    drawn = overlay(volume, contour, context, 1000 + rows + 0.01 * columns)
    sitk.WriteImage(drawn, str(tmp_path / "map.nrrd"), useCompression=True)
    drawn = sitk.ReadImage(str(tmp_path / "map.nrrd"))
    assert drawn.GetPixelID() == sitk.sitkFloat32
    assert drawn.GetSize() == file.GetSize()
    for name in ("Origin", "Spacing", "Direction"):
        assert getattr(drawn, f"Get{name}")() == pytest.approx(getattr(file, f"Get{name}")(), abs=1e-6)
    voxels = sitk.GetArrayFromImage(drawn)
    step = 14.2 * 1.5 / 64
    found = 0
    for k, j, i in np.argwhere(voxels != 0).tolist():
        x, y, z = volume.geometry.to_voxel(drawn.TransformIndexToPhysicalPoint((i, j, k)))
        assert z == pytest.approx(12, abs=1e-3)
        row, column = (np.clip((at - centre) / step + 31.5, 0, 63) for at, centre in ((y, 45.3), (x, 34.6)))
        assert voxels[k, j, i] == pytest.approx(1000 + row + 0.01 * column, abs=2e-3)
        found += 1
    # All pixels whose centres the ROI's square of 21.3 pixels covers, and no others.
    inside = [np.count_nonzero(np.abs(np.arange(96) - centre) <= 21.3 / 2) for centre in (34.6, 45.3)]
    assert found == inside[0] * inside[1]

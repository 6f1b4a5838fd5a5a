"""The model `lesion`: every point, box and option that 3D Slicer and OHIF send changes the outline as a reader expects."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from lesionlabel.infers.desk import Desk
from lesionlabel.infers.lesion import LesionOutline
from lesionlabel.lesions.errors import InputError, NoLesionError, OutsideVolumeError
from lesionlabel.settings import Settings

CYST, METASTASIS = [35, 45, 12], [62, 50, 10]


@pytest.fixture(scope="module")
def twins(tmp_path_factory, ct):
    """The tiny CT with its cyst a second time in the same slices, 30 columns on."""
    image = sitk.ReadImage(str(ct))
    values = sitk.GetArrayFromImage(image)
    values[:, 30:60, 50:80] = values[:, 30:60, 20:50]
    copy = sitk.GetImageFromArray(values)
    copy.CopyInformation(image)
    path = tmp_path_factory.mktemp("twins") / "twins.nii.gz"
    sitk.WriteImage(copy, str(path))
    return path


@pytest.fixture
def ask(site, ct, dark_parts):
    task = LesionOutline(Desk(Settings(home=site / "home", device="cpu"), dark_parts))

    def asked(image=ct, **params):
        file, found = task({"image": str(image), "label": "metastasis", "result_extension": ".nrrd", **params})
        if file is None:
            return None, found
        mask = sitk.ReadImage(file)
        Path(file).unlink()
        return mask, found

    return asked


def voxels(mask):
    return sitk.GetArrayFromImage(mask).astype(bool)


def test_a_click_gives_the_outline_on_the_images_own_grid_under_the_readers_segment(ask, ct):
    mask, found = ask(foreground=[CYST], background=[])
    image = sitk.ReadImage(str(ct))
    for of in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, of)() == pytest.approx(getattr(image, of)())
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert found["label_names"] == {"metastasis": 1}
    assert np.unique(sitk.GetArrayFromImage(mask)).tolist() == [0, 1]
    assert np.nonzero(voxels(mask))[0].tolist() == [12] * int(voxels(mask).sum())
    assert voxels(mask).sum() * 4 == pytest.approx(np.pi * 14**2, rel=0.15)
    assert found["lesion"]["confidence"] == 0.55
    assert any("0.55 (1 is perfect). Check it." in note for note in found["reader_notes"])


def test_indices_are_those_of_the_viewer_which_reverses_the_slices_of_a_left_handed_file(ask, ct, tmp_path):
    left_handed = sitk.DICOMOrient(sitk.ReadImage(str(ct)), "LAS")
    sitk.WriteImage(left_handed, str(tmp_path / "las.nii.gz"))
    seen_in_slicer = [35, 95 - 45, 23 - 12]
    mask, _ = ask(tmp_path / "las.nii.gz", foreground=[seen_in_slicer])
    k, j, i = (axis.mean() for axis in np.nonzero(voxels(mask)))
    assert mask.TransformContinuousIndexToPhysicalPoint((i, j, k)) == pytest.approx((-26, -6, 66), abs=0.5)


def test_the_type_comes_only_when_it_is_asked_for_so_that_the_readers_own_comes_first(ask):
    _, found = ask(foreground=[CYST])
    assert (found["answered"], found["prediction"], found["model"], found["entropy"]) == (False, [], None, None)
    assert "lesion_report" in found["why_not"]
    _, found = ask(foreground=[CYST], with_type=True)
    assert found["answered"]
    assert sum(entry["score"] for entry in found["prediction"]) == pytest.approx(1)


def test_where_no_model_serves_or_the_type_is_refused_the_outline_comes_with_the_reason(tmp_path, ct, ask, dark_parts):
    task = LesionOutline(Desk(Settings(home=tmp_path, device="cpu", allow_starter=False), dark_parts))
    file, found = task({"image": str(ct), "foreground": [CYST], "with_type": True})
    assert file is not None
    Path(file).unlink()
    assert not found["answered"]
    assert "No type is given: " in found["why_not"]
    assert found["why_not"] in found["reader_notes"]
    mask, found = ask(foreground=[CYST], with_type=True, roi=[34, 36, 44, 46, 12, 12])
    assert voxels(mask).sum() == 9
    assert "too small to characterise" in found["why_not"]


def test_a_click_outside_the_lesion_takes_that_part_away(ask):
    whole = voxels(ask(foreground=[CYST])[0])
    less = voxels(ask(foreground=[CYST], background=[[40, 45, 12]])[0])
    assert whole[12, 45, 40]
    assert not less[12, 45, 40]
    assert less.sum() < whole.sum()


def test_another_lesion_in_the_same_slice_does_not_take_the_first_one_out(ask, twins):
    first, _ = ask(twins, foreground=[CYST])
    both, found = ask(twins, foreground=[CYST, [65, 45, 12]])
    assert np.all(voxels(both)[voxels(first)])
    _, parts = cast("tuple[object, int]", ndimage.label(voxels(both)))
    assert parts == found["lesions_outlined"] == 2
    assert found["lesion"]["centre_voxel"] == pytest.approx([65, 45, 12], abs=0.6)
    again, found = ask(twins, foreground=[CYST, [37, 45, 12]])
    assert found["lesions_outlined"] == 1
    assert np.array_equal(voxels(again), voxels(first))


def test_points_of_other_slices_say_nothing_about_this_one(ask):
    mask, found = ask(foreground=[CYST, METASTASIS])
    assert set(np.nonzero(voxels(mask))[0].tolist()) == {10}
    assert found["lesion"]["slice"] == 10


def test_the_whole_lesion_is_outlined_in_all_its_slices(ask):
    mask, found = ask(foreground=[[35, 45, 14]], whole=True)
    slices = set(np.nonzero(voxels(mask))[0].tolist())
    assert len(slices) == found["slices_outlined"] >= 7
    assert found["lesion"]["slice"] == 12  # where it is widest
    assert voxels(mask).sum() * 12 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.25)


def test_a_box_bounds_the_outline_and_is_a_click_in_its_middle(ask):
    mask, _ = ask(foreground=[CYST], roi=[30, 38, 52, 41, 13, 11])  # either end first, as a flipped image gives it
    _, y, x = np.nonzero(voxels(mask))
    assert (x.min(), x.max(), y.min(), y.max()) == (30, 38, 41, 52)
    mask, found = ask(foreground=[], background=[], roi=[20, 50, 30, 60, 12, 12])
    assert found["lesion"]["centre_voxel"] == pytest.approx([35, 45, 12], abs=0.6)


def test_the_state_that_a_client_resets_is_in_its_points(ask):
    once, _ = ask(foreground=[CYST])
    again, _ = ask(foreground=[CYST], reset_state=True)
    assert np.array_equal(voxels(once), voxels(again))


@pytest.mark.parametrize(
    ("params", "error", "said"),
    [
        ({"foreground": []}, InputError, "No lesion was clicked"),
        ({"foreground": [], "background": [CYST]}, InputError, "Only points outside the lesion"),
        ({"foreground": [[1, 2]]}, InputError, "three numbers"),
        ({"foreground": [[35, 45, 120]]}, OutsideVolumeError, "outside the volume of 96 × 96 × 24"),
        ({"foreground": [[35, 45, 20]]}, NoLesionError, "This is liver"),
        ({"foreground": [CYST], "roi": [50, 60, 50, 60, 10, 14]}, InputError, "outside the box"),
        ({"foreground": [CYST], "roi": [50, 60]}, InputError, "six finite numbers"),
        ({"foreground": [CYST], "whole": "maybe"}, InputError, "whole must be true or false"),
        ({"foreground": [CYST], "with_types": True}, InputError, "did you mean with_type"),
        ({"foreground": [CYST], "result_extension": ".json"}, InputError, r"Allowed: \.nrrd"),
    ],
)
def test_what_cannot_be_outlined_is_answered_with_its_reason(ask, params, error, said):
    with pytest.raises(error, match=said):
        ask(**params)

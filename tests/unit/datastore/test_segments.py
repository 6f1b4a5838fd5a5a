import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.segments import LabelError, names_of, read_segments
from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.errors import InputError


@pytest.fixture
def volume(tmp_path, tiny_ct):
    tiny_ct(tmp_path / "ct.nii.gz")
    return read_volume(tmp_path / "ct.nii.gz")


@pytest.fixture
def truth(tmp_path, tiny_label):
    tiny_label(tmp_path / "truth.nii.gz", {"cyst": 1, "metastasis": 3})
    return sitk.ReadImage(str(tmp_path / "truth.nii.gz"))


def on_grid(segments, volume):
    whole = np.zeros(volume.geometry.shape, dtype=np.int32)
    k, j, i = segments.start
    whole[tuple(slice(a, a + n) for a, n in zip((k, j, i), segments.mask.shape, strict=True))] = segments.mask
    return whole


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI", "SPL", "PIR", "AIL"])
@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_a_label_in_any_orientation_covers_the_same_voxels(tmp_path, volume, truth, orientation, extension):
    path = tmp_path / f"label{extension}"
    sitk.WriteImage(sitk.DICOMOrient(truth, orientation), str(path))
    segments = read_segments(path, volume)
    assert np.array_equal(on_grid(segments, volume), sitk.GetArrayFromImage(truth))
    assert segments.values == [1, 3]


def test_a_label_cropped_to_its_segments_lands_in_its_place(tmp_path, volume, truth):
    values = sitk.GetArrayFromImage(truth)
    k, j, i = (range(axis.min(), axis.max() + 1) for axis in np.nonzero(values))
    part = truth[i.start : i.stop, j.start : j.stop, k.start : k.stop]
    sitk.WriteImage(part, str(tmp_path / "part.nrrd"))
    assert np.array_equal(on_grid(read_segments(tmp_path / "part.nrrd", volume), volume), values)


def test_a_label_on_a_rotated_grid_covers_the_same_tissue(tmp_path, volume, truth):
    turn = sitk.Euler3DTransform((0.0, 0.0, 66.0), 0.0, 0.0, 0.3)
    rotated = sitk.Image(200, 200, 40, sitk.sitkUInt8)
    rotated.SetSpacing((1.4, 1.4, 2.0))
    rotated.SetDirection(turn.GetMatrix())
    rotated.SetOrigin(turn.TransformPoint((-140.0, -140.0, 27.0)))
    label = sitk.Resample(truth, rotated, sitk.Transform(), sitk.sitkNearestNeighbor)
    sitk.WriteImage(label, str(tmp_path / "rotated.nrrd"))
    found = on_grid(read_segments(tmp_path / "rotated.nrrd", volume), volume)
    expected = sitk.GetArrayFromImage(truth)
    overlap = 2 * np.sum((found == expected) & (expected > 0)) / (np.sum(found > 0) + np.sum(expected > 0))
    assert overlap > 0.9


def test_slicers_own_segmentation_names_its_segments_even_in_layers(tmp_path, volume, truth):
    values = sitk.GetArrayFromImage(truth)
    layers = np.stack([values == 1, values == 3], axis=-1).astype(np.uint8)
    image = sitk.GetImageFromArray(layers, isVector=True)
    image.CopyInformation(truth)
    for number, (name, layer) in enumerate((("Cyst", "0"), ("weird one", "1"))):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", "1")
        image.SetMetaData(f"Segment{number}_Layer", layer)
    sitk.WriteImage(image, str(tmp_path / "label.seg.nrrd"))
    segments = read_segments(tmp_path / "label.seg.nrrd", volume, [{"name": "wrong", "idx": 1}])
    found = {name: on_grid(segments, volume) == value for value, name in segments.names.items()}
    assert np.array_equal(found["Cyst"], values == 1)
    assert np.array_equal(found["weird one"], values == 3)


@pytest.mark.parametrize(
    ("info", "present", "expected"),
    [
        ([{"name": "a", "idx": 1}, {"name": "b", "idx": 2}], [2], {2: "b"}),
        # 3D Slicer leaves the background out of the list and still counts it in idx: the values are positions.
        ([{"name": "a", "idx": 2}, {"name": "b", "idx": 3}], [1, 2], {1: "a", 2: "b"}),
        ([{"name": "a", "idx": 5}, {"name": "b", "idx": 9}], [5, 9], {5: "a", 9: "b"}),
        ([{"name": "a", "idx": 1}], [1, 7], {1: "a"}),
        (None, [1], {}),
        ("rubbish", [1], {}),
    ],
)
def test_names_come_from_the_voxel_values_that_are_there(info, present, expected):
    assert names_of(info, present) == expected


def test_a_value_that_two_readings_name_differently_is_refused():
    with pytest.raises(InputError, match="different names"):
        names_of([{"name": "a", "idx": 1}, {"name": "b", "idx": 3}, {"name": "c", "idx": 2}], [2])


def test_an_empty_a_distant_and_a_damaged_label_are_told_apart(tmp_path, volume, truth):
    sitk.WriteImage(truth * 0, str(tmp_path / "empty.nii.gz"))
    with pytest.raises(LabelError, match="no segment"):
        read_segments(tmp_path / "empty.nii.gz", volume)
    truth.SetOrigin((5000.0, 0.0, 0.0))
    sitk.WriteImage(truth, str(tmp_path / "far.nii.gz"))
    with pytest.raises(LabelError, match="outside the image"):
        read_segments(tmp_path / "far.nii.gz", volume)
    (tmp_path / "bad.nii.gz").write_bytes(b"not a label")
    with pytest.raises(LabelError, match="damaged"):
        read_segments(tmp_path / "bad.nii.gz", volume)


@pytest.mark.parametrize(("moved_mm", "taken"), [(-1.0, True), (-84.0, False)])
def test_a_label_that_reaches_out_of_the_image_was_drawn_on_another_one(tmp_path, volume, truth, moved_mm, taken):
    truth.SetOrigin((-96.0 + moved_mm, -96.0, 30.0))
    sitk.WriteImage(truth, str(tmp_path / "moved.nrrd"))
    if taken:
        assert read_segments(tmp_path / "moved.nrrd", volume).values == [1, 3]
        return
    with pytest.raises(LabelError, match=r"[1-9]\d* % of the label's voxels lie outside the image"):
        read_segments(tmp_path / "moved.nrrd", volume)


def test_a_label_without_a_position_has_the_images_own_number_of_voxels(tmp_path, volume, truth):
    for name, label in (("whole", truth), ("part", truth[:, :, :20])):
        label.SetMetaData("qform_code", "0")
        label.SetMetaData("sform_code", "0")
        sitk.WriteImage(label, str(tmp_path / f"{name}.nii"))
        header = bytearray((tmp_path / f"{name}.nii").read_bytes())
        header[252:256] = b"\0\0\0\0"
        (tmp_path / f"{name}.nii").write_bytes(header)
    assert read_segments(tmp_path / "whole.nii", volume).values == [1, 3]
    with pytest.raises(LabelError, match="says no position and has 96 × 96 × 20 voxels"):
        read_segments(tmp_path / "part.nii", volume)


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd"])
def test_a_label_that_was_cut_short_is_not_read_as_far_as_it_goes(tmp_path, volume, truth, extension):
    path = tmp_path / f"label{extension}"
    sitk.WriteImage(truth, str(path))
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    with pytest.raises(LabelError, match="cut short"):
        read_segments(path, volume)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda image: sitk.JoinSeries([image, image]), "4-D"),
        (lambda image: sitk.Cast(image, sitk.sitkFloat32) * float("nan"), "NaN"),
        (lambda image: sitk.Cast(image, sitk.sitkFloat64) * 1e12, "whole numbers"),
    ],
)
def test_voxels_that_are_no_segment_values_are_no_label(tmp_path, volume, truth, change, named):
    sitk.WriteImage(change(truth), str(tmp_path / "label.nii.gz"))
    with pytest.raises(LabelError, match=named):
        read_segments(tmp_path / "label.nii.gz", volume)


def test_a_header_whose_segments_are_no_numbers_is_no_label(tmp_path, volume, truth):
    truth.SetMetaData("Segment0_Name", "cyst")
    truth.SetMetaData("Segment0_LabelValue", "one")
    sitk.WriteImage(truth, str(tmp_path / "label.seg.nrrd"))
    with pytest.raises(LabelError, match="header"):
        read_segments(tmp_path / "label.seg.nrrd", volume)


def test_the_names_file_beside_a_label_names_its_values_unless_the_client_does(tmp_path, volume, truth):
    sitk.WriteImage(truth, str(tmp_path / "ct-1.nii.gz"))
    names = tmp_path / "ct-1.segments.json"
    names.write_text('{"image": "ct-1", "segments": [{"name": "liver", "value": 1}, {"name": "tumor", "value": 3}]}')
    assert read_segments(tmp_path / "ct-1.nii.gz", volume).names == {1: "liver", 3: "tumor"}
    said = [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 3}]
    assert read_segments(tmp_path / "ct-1.nii.gz", volume, said).names == {1: "cyst", 3: "metastasis"}
    names.write_text('{"segments": [{"name": "liver"}]}')
    with pytest.raises(InputError, match=r"ct-1\.segments\.json"):
        read_segments(tmp_path / "ct-1.nii.gz", volume)


def test_a_label_that_points_at_another_file_is_refused(tmp_path, volume):
    (tmp_path / "label.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n\n"
    )
    with pytest.raises(InputError, match="another file"):
        read_segments(tmp_path / "label.nrrd", volume)

"""Which part of a label file is the lesion, and when the reader has to be asked."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.imaging.read import read_volume
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.outline import outline
from lesionlabel.lesions.errors import InputError

INFO = [{"name": "liver", "idx": 1}, {"name": "tumor", "idx": 2}]


@pytest.fixture
def case(tmp_path, tiny_ct, dark_parts):
    """The tiny CT, a function that saves a mask on its grid, and one that outlines what is in it."""
    tiny_ct(tmp_path / "ct.nii.gz")
    volume, image = read_volume(tmp_path / "ct.nii.gz"), sitk.ReadImage(str(tmp_path / "ct.nii.gz"))
    path = tmp_path / "label.nrrd"

    def save(mask):
        label = sitk.GetImageFromArray(mask)
        label.CopyInformation(image)
        sitk.WriteImage(label, str(path))

    def ask(**request):
        return outline(volume, read_request({"label_file": path, **request}), dark_parts).contour

    return SimpleNamespace(save=save, ask=ask, empty=lambda: np.zeros(volume.geometry.shape, np.uint8))


@pytest.fixture
def liver_with_tumor(case):
    mask = case.empty()
    mask[4:20, 30:70, 20:70] = 1
    mask[10:14, 40:50, 30:42] = 2
    case.save(mask)
    return case


def test_one_segment_needs_no_name_and_is_outlined_where_it_is_widest(case):
    mask = case.empty()
    mask[10:14, 40:50, 30:40] = 3
    mask[12, 40:50, 30:46] = 3
    case.save(mask)
    found = case.ask()
    assert found.slice_index == 12
    assert found.centre == pytest.approx((37.5, 44.5))


def test_of_several_segments_none_is_guessed(liver_with_tumor):
    with pytest.raises(
        InputError, match=r"holds 2 segments: value 1, without a name; value 2, without a name. Name one as segment"
    ):
        liver_with_tumor.ask()
    with pytest.raises(InputError, match=r"liver \(value 1\); tumor \(value 2\)"):
        liver_with_tumor.ask(label_info=INFO)


@pytest.mark.parametrize("segment", ["tumor", "TUMOR", "2", 2])
def test_a_segment_is_chosen_by_name_or_voxel_value_though_another_surrounds_it(liver_with_tumor, segment):
    found = liver_with_tumor.ask(label_info=INFO, segment=segment)
    assert found.centre == pytest.approx((35.5, 44.5))


def test_a_name_goes_before_a_value(liver_with_tumor):
    found = liver_with_tumor.ask(label_info=[{"name": "2", "idx": 1}, {"name": "tumor", "idx": 2}], segment="2")
    assert found.centre == pytest.approx((44.5, 49.5))


@pytest.mark.parametrize(
    ("info", "segment", "named"),
    [
        (INFO, "lesion", r"no segment called 'lesion'. It holds: liver \(value 1\); tumor"),
        (INFO, "3", "no segment called '3'"),
        ([*INFO, {"name": "gone", "idx": 3}], "gone", "no segment called 'gone'"),
        ([{"name": "cyst", "idx": 1}, {"name": "cyst", "idx": 2}], "cyst", "2 segments of the label are called 'cyst'"),
    ],
)
def test_a_segment_that_cannot_be_meant_is_named_with_those_there(liver_with_tumor, info, segment, named):
    with pytest.raises(InputError, match=named):
        liver_with_tumor.ask(label_info=info, segment=segment)


def test_two_parts_of_a_segment_are_asked_about_with_their_sizes_and_places(case):
    mask = case.empty()
    mask[10:14, 40:50, 30:40] = 1
    mask[5:8, 60:64, 50:54] = 1
    case.save(mask)
    with pytest.raises(InputError, match=r"2 separate parts: 28\.3 mm at voxel \[34, 44, 10\]; 11\.3 mm at voxel \[52, 62, 5\]"):
        case.ask()


def test_slips_of_the_brush_beside_the_lesion_are_left_out(case):
    mask = case.empty()
    mask[10:14, 40:50, 30:40] = 1
    mask[5, 60, 50] = mask[8, 20, 20] = 1
    case.save(mask)
    assert case.ask().centre == pytest.approx((34.5, 44.5))


def test_a_small_lesion_alone_is_outlined_and_several_are_asked_about(case):
    mask = case.empty()
    mask[5, 60, 50] = 1
    case.save(mask)
    assert case.ask().centre == pytest.approx((50, 60))
    mask[8, 20, 20] = 1
    case.save(mask)
    with pytest.raises(InputError, match="2 separate parts"):
        case.ask()


def test_a_label_of_thousands_of_values_is_told_in_a_few_words(case):
    mask = case.empty()
    mask[10:20, 30:50, 30:50] = np.random.default_rng(1).integers(1, 255, (10, 20, 20))
    case.save(mask)
    with pytest.raises(InputError, match=r"holds 254 segments: .*; and 246 more") as told:
        case.ask()
    assert len(str(told.value)) < 500

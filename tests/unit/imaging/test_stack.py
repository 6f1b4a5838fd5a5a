from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from scipy.spatial.transform import Rotation

from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.errors import InputError


def moved(distances: dict[int, float], axis: int = 2) -> Callable[[FileDataset, int], None]:
    def change(dataset: FileDataset, number: int) -> None:
        place = [float(v) for v in dataset.ImagePositionPatient]
        place[axis] += distances.get(number, 0.0)
        dataset.ImagePositionPatient = place

    return change


def test_slices_are_ordered_by_place_not_by_file_or_number(write_series: Callable[..., Any]) -> None:
    series = write_series()
    volume = read_volume(series.folder)
    np.testing.assert_array_equal(volume.voxels, series.hu)
    assert volume.geometry.spacing == pytest.approx((0.75, 0.75, 2.5))
    np.testing.assert_allclose(volume.geometry.to_lps([0, 0, 5]), [-9.0, -7.5, 42.5])


def test_a_missing_slice_is_named(write_series: Callable[..., Any]) -> None:
    series = write_series()
    series.files[3].unlink()
    with pytest.raises(InputError, match=r"missing between 35\.00 and 40\.00 mm \(usual distance 2\.50 mm\)"):
        read_volume(series.folder)


def test_a_doubled_position_is_named(write_series: Callable[..., Any]) -> None:
    series = write_series(change=moved({4: -2.5}))
    with pytest.raises(InputError, match=r"1 position\(s\) hold more than one slice, at 37\.50 mm"):
        read_volume(series.folder)


def test_uneven_spacing_is_named(write_series: Callable[..., Any]) -> None:
    series = write_series(change=moved({3: 0.6}))
    with pytest.raises(InputError, match=r"unevenly spaced: distances run from 1\.90 to 3\.10 mm, off their place at 38\.10 mm"):
        read_volume(series.folder)


def test_positions_rounded_by_the_scanner_are_even(write_series: Callable[..., Any]) -> None:
    series = write_series(change=moved({1: 0.05, 2: -0.04, 4: 0.05}))
    assert read_volume(series.folder).geometry.spacing[2] == pytest.approx(2.5)


@pytest.mark.parametrize(("degrees", "refused"), [(0.2, False), (2.0, True), (20.0, True)])
def test_gantry_tilt_is_refused(degrees: float, refused: bool, write_series: Callable[..., Any]) -> None:
    shear = 2.5 * np.tan(np.deg2rad(degrees))
    series = write_series(change=moved({n: shear * n for n in range(6)}, axis=1))
    if refused:
        with pytest.raises(InputError, match=rf"gantry was tilted by {degrees:.1f}°"):
            read_volume(series.folder)
    else:
        read_volume(series.folder)


def test_a_slice_shifted_sideways_is_named(write_series: Callable[..., Any]) -> None:
    series = write_series(change=moved({2: 4.0}, axis=0))
    with pytest.raises(InputError, match=r"1 slice\(s\) are shifted sideways against the others, at 35\.00 mm"):
        read_volume(series.folder)


def test_one_or_two_slices_are_no_series(write_series: Callable[..., Any]) -> None:
    series = write_series()
    for path in series.files[1:]:
        path.unlink()
    with pytest.raises(InputError, match=r"1 usable slice\(s\); at least 3"):
        read_volume(series.folder)


def test_coronal_slices_are_refused(write_series: Callable[..., Any]) -> None:
    series = write_series(orientation=(1, 0, 0, 0, 0, -1))
    with pytest.raises(InputError, match="coronal, sagittal"):
        read_volume(series.folder)


def test_slices_turned_by_more_than_45_degrees_are_refused_and_by_less_keep_their_order(write_series: Callable[..., Any]) -> None:
    def along(turn: Rotation) -> tuple[float, ...]:
        return tuple(turn.as_matrix()[:, :2].T.ravel())

    # About an axis between left and back, so that the head stays the main part of the normal.
    steep = Rotation.from_rotvec(np.radians(50) * np.array([1, 1, 0]) / np.sqrt(2))
    with pytest.raises(InputError, match="more than 45°"):
        read_volume(write_series("steep", orientation=along(steep)).folder)
    less = Rotation.from_euler("zxz", (10, 43, 35), degrees=True)
    series = write_series("less", orientation=along(less))
    volume = read_volume(series.folder)
    assert volume.geometry.spacing == pytest.approx((0.75, 0.75, 2.5), abs=1e-5)
    assert sorted(plane.sum() for plane in volume.voxels) == sorted(plane.sum() for plane in series.hu)


def test_pixels_that_are_not_square_are_refused(write_series: Callable[..., Any]) -> None:
    series = write_series(spacing=(0.75, 0.9, 2.5))
    with pytest.raises(InputError, match=r"0\.75 × 0\.9 mm"):
        read_volume(series.folder)


def test_a_stack_read_from_a_folder_with_junk(write_series: Callable[..., Any], tmp_path: Path) -> None:
    series = write_series()
    (series.folder / "README").write_text("notes")
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)

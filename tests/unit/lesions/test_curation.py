"""A saved segmentation becomes findings where it is clear, and questions where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlabel.lesions.curation import findings_from_mask
from lesionlabel.lesions.volume import Geometry

SHAPE = (12, 80, 90)
GEOMETRY = Geometry(SHAPE, np.diag([0.8, 0.8, 2.5, 1.0]))
NAMES = {1: "cyst", 2: "metastasis"}


def ball(mask: NDArray[np.uint8], value: int, centre: tuple[float, float, float], radius_mm: float) -> None:
    """Paint a ball around (k, j, i)."""
    k, j, i = np.indices(SHAPE)
    distance = np.hypot(np.hypot((k - centre[0]) * 2.5, (j - centre[1]) * 0.8), (i - centre[2]) * 0.8)
    mask[distance <= radius_mm] = value


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    return np.zeros(SHAPE, dtype=np.uint8)


def test_each_component_is_a_finding_in_its_widest_slice(mask: NDArray[np.uint8]) -> None:
    ball(mask, 1, (4, 20, 25), 9)
    ball(mask, 1, (8, 60, 60), 6)
    ball(mask, 2, (5, 60, 20), 8)
    findings, questions = findings_from_mask(mask, NAMES, GEOMETRY)
    assert questions == []
    assert [(f.label, f.contour.slice_index) for f in findings] == [("cyst", 4), ("cyst", 8), ("metastasis", 5)]
    for finding, centre, radius in zip(findings, ((25, 20), (60, 60), (20, 60)), (9, 6, 8), strict=True):
        np.testing.assert_allclose(finding.contour.centre, centre, atol=0.01)
        assert finding.diameter_mm == pytest.approx(2 * radius, abs=1.6)
        assert finding.volume_mm3 == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.06)


def test_the_outline_is_the_mask_of_that_slice(mask: NDArray[np.uint8]) -> None:
    ball(mask, 2, (5, 40, 44.5), 10)
    mask[5, 40, 55:63] = 2
    (finding,), _ = findings_from_mask(mask, NAMES, GEOMETRY)
    np.testing.assert_array_equal(finding.contour.mask(80, 90), mask[5] == 2)


def test_parts_that_meet_at_a_corner_are_one_lesion(mask: NDArray[np.uint8]) -> None:
    mask[3, 10:25, 10:25] = 1
    mask[4, 25:35, 25:35] = 1
    findings, _ = findings_from_mask(mask, NAMES, GEOMETRY)
    assert [f.contour.slice_index for f in findings] == [3]
    assert findings[0].volume_mm3 == pytest.approx((15 * 15 + 10 * 10) * 0.8 * 0.8 * 2.5)


def test_a_part_under_five_millimetres_is_asked_about(mask: NDArray[np.uint8]) -> None:
    ball(mask, 1, (4, 20, 25), 9)
    mask[9, 70, 70:73] = 1
    findings, questions = findings_from_mask(mask, NAMES, GEOMETRY)
    assert len(findings) == 1
    assert [(q.label, q.slice_index) for q in questions] == [("cyst", 9)]
    assert "under 5 mm" in questions[0].reason


def test_touching_classes_are_asked_about_even_across_slices_and_corners(mask: NDArray[np.uint8]) -> None:
    mask[4, 20:40, 20:40] = 1
    mask[5, 40:60, 40:60] = 2
    findings, questions = findings_from_mask(mask, NAMES, GEOMETRY)
    assert findings == []
    assert [(q.label, q.slice_index) for q in questions] == [("cyst", 4), ("metastasis", 5)]
    assert "metastasis" in questions[0].reason
    assert "cyst" in questions[1].reason


def test_a_voxel_of_distance_is_no_touch_and_other_segments_do_not_count(mask: NDArray[np.uint8]) -> None:
    mask[4, 20:40, 20:40] = 1
    mask[4, 41:60, 41:60] = 2
    mask[4, 40, :] = 9
    findings, questions = findings_from_mask(mask, NAMES, GEOMETRY)
    assert [f.label for f in findings] == ["cyst", "metastasis"]
    assert questions == []


def test_a_lesion_at_the_volumes_corner_is_taken(mask: NDArray[np.uint8]) -> None:
    mask[:3, :12, :12] = 1
    mask[-3:, -12:, -12:] = 2
    findings, questions = findings_from_mask(mask, NAMES, GEOMETRY)
    assert [f.contour.centre for f in findings] == [(5.5, 5.5), (83.5, 73.5)]
    assert questions == []


def test_an_empty_mask_has_nothing(mask: NDArray[np.uint8]) -> None:
    assert findings_from_mask(mask, NAMES, GEOMETRY) == ([], [])

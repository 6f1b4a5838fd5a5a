"""The phase is told from the image alone, and "unknown" is said where it cannot be told."""

import numpy as np
import pytest

from lesionlabel.lesions.phase import check_phase
from lesionlabel.lesions.volume import Geometry, Volume

MM, SLICE_MM = 1.5, 4.0
PORTAL = {"aorta": 155, "cava": 152, "liver": 105, "veins": 168, "kidney": 170, "spleen": 112}


def abdomen(aorta, cava, liver, veins, kidney, spleen, slices=24, noise=14.0, spine=240.0):
    """A simple trunk: muscle, fat, spine, aorta and cava, liver with branches through it, spleen, kidneys."""
    size = 230
    y, x = np.meshgrid(*[(np.arange(size) - size / 2) * MM] * 2, indexing="ij")
    hu = np.full((slices, size, size), -1000.0)

    def put(cx, cy, rx, ry, value, z=slice(None)):
        hu[z, ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = value

    put(0, 0, 155, 110, -100)
    put(0, 0, 145, 100, 60)
    put(0, -2, 132, 88, -100)
    put(0, 82, 60, 20, 62)
    put(-60, -10, 68, 62, liver)
    put(95, 10, 28, 38, spleen)
    for side in (-1, 1):
        put(65 * side, 62, 20, 22, kidney, slice(0, slices // 2))
    put(0, 50, 20, 17, spine)
    put(0, 78, 8, 14, spine + 200)
    put(10, 21, 11, 11, aorta)
    put(-20, 24, 12, 9, cava)
    for index in range(slices):
        shift = 1.2 * index
        for cx, cy, r in ((-70, -30 + shift, 6), (-90 + shift, 5, 5), (-45, -40 + shift, 7)):
            put(cx, cy, r, r, veins, slice(index, index + 1))
    hu += np.random.default_rng(4).normal(0, noise, hu.shape)
    return volume_of(hu)


def volume_of(hu, mm=MM, slice_mm=SLICE_MM):
    geometry = Geometry(hu.shape, np.diag([mm, mm, slice_mm, 1.0]))
    return Volume(np.rint(hu).astype(np.int16), geometry, geometry)


def test_portal_venous_is_told_with_what_it_rests_on():
    phase = check_phase(abdomen(**PORTAL))
    assert phase.name == "portal-venous"
    assert not phase.refused
    assert phase.aorta_hu == pytest.approx(155, abs=8)
    assert phase.liver_hu == pytest.approx(105, abs=5)
    assert phase.liver_veins_hu == pytest.approx(168, abs=12)
    assert "portal-venous" in phase.sentence
    assert f"aorta {phase.aorta_hu:.0f} HU" in phase.sentence


@pytest.mark.parametrize(
    "scan",
    [
        {"aorta": 320, "cava": 90, "liver": 66, "veins": 70, "kidney": 180, "spleen": 120},
        {"aorta": 290, "cava": 110, "liver": 78, "veins": 135, "kidney": 190, "spleen": 130},
    ],
    ids=["early", "late"],
)
def test_arterial_is_told_and_refused(scan):
    phase = check_phase(abdomen(**scan))
    assert phase.name == "arterial"
    assert phase.refused
    assert "arterial" in phase.sentence


@pytest.mark.parametrize("liver", [58, 25])
def test_unenhanced_is_told_and_refused_in_a_fatty_liver_too(liver):
    phase = check_phase(abdomen(aorta=42, cava=40, liver=liver, veins=40, kidney=32, spleen=48))
    assert phase.name == "unenhanced"
    assert phase.refused


def test_portal_venous_with_a_fatty_liver_is_not_called_unenhanced():
    assert check_phase(abdomen(**{**PORTAL, "liver": 74})).name == "portal-venous"


@pytest.mark.parametrize(
    "scan",
    [
        {**PORTAL, "aorta": 105, "cava": 104, "veins": 108, "liver": 84},
        {**PORTAL, "aorta": 212, "veins": 150},
    ],
    ids=["late venous", "between arterial and portal-venous"],
)
def test_between_the_phases_it_says_unknown_and_does_not_refuse(scan):
    phase = check_phase(abdomen(**scan))
    assert phase.name == "unknown"
    assert not phase.refused
    assert "make sure" in phase.sentence


@pytest.mark.parametrize(
    "hu",
    [
        np.full((20, 128, 128), -1000.0),
        np.full((20, 128, 128), 105.0),
        np.random.default_rng(0).uniform(0, 255, (20, 128, 128)),
        np.full((1, 128, 128), 50.0),
        np.full((20, 3, 3), 50.0),
    ],
    ids=["air", "even", "no CT", "one slice", "tiny"],
)
def test_what_is_no_abdomen_is_never_called_a_phase(hu):
    phase = check_phase(volume_of(hu))
    assert phase.name == "unknown"
    assert phase.sentence


def test_the_answer_does_not_hang_on_the_pixel_size():
    coarse = abdomen(**PORTAL)
    fine = volume_of(np.repeat(np.repeat(coarse.voxels, 2, axis=1), 2, axis=2), MM / 2)
    first, second = check_phase(coarse), check_phase(fine)
    assert first.name == second.name == "portal-venous"
    assert first.aorta_hu == pytest.approx(second.aorta_hu, abs=3)

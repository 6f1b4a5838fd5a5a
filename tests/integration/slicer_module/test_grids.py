"""From a click in 3D Slicer's scene to a curated lesion on the server, on volumes of every kind of grid."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = pytest.mark.acceptance


def ras(image: sitk.Image, voxel: tuple[float, float, float]) -> tuple[float, float, float]:
    left, back, head = image.TransformContinuousIndexToPhysicalPoint(voxel)
    return -left, -back, head


def middle(mask: sitk.Image) -> tuple[float, float, float]:
    k, j, i = np.nonzero(sitk.GetArrayFromImage(mask))
    return float(i.mean()), float(j.mean()), float(k.mean())


def on_grid_of(label: sitk.Image, image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.Resample(label, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8))


@pytest.mark.parametrize("image", ["axial", "oblique", "flipped", "left_handed", "left_handed_nrrd", "coronal", "anisotropic"])
def test_a_click_in_the_scene_becomes_the_same_voxels_on_the_server_and_a_curated_lesion(
    image, site, new_session, opened, true_mask
):
    session = new_session(f"reader-{image}")
    scene = opened(session, image)
    truth = true_mask(image, "cyst")
    lesion = session.mark("click")
    region, said = session.outline(lesion.number, scene.place(ras(truth, middle(truth))), whole=image == "axial")
    assert said[0].startswith("The outline is the computer's")
    scene.show(lesion.number, "1: cyst", region)
    drawn = scene.region(lesion.number)
    assert drawn.is_same(region)
    session.set_type(lesion.number, "cyst")

    outcome = session.decide({lesion.number: drawn})
    assert outcome.saw_model is False
    assert outcome.sentences[0].startswith("Saved: 1 lesion(s): cyst")
    stored = sitk.ReadImage(str(site.studies / "labels" / "final" / f"{image}.nrrd"))
    whole = np.zeros(scene.geometry.shape, dtype=np.uint8)
    whole[drawn.slices()] = drawn.mask
    np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), whole)
    found = on_grid_of(stored, truth) > 0
    true = sitk.GetArrayFromImage(truth) > 0
    # In the slice that was clicked, all of it lies on the lesion that was clicked.
    axis = 2 - np.argmax(np.abs(np.asarray(truth.GetDirection()).reshape(3, 3)[2]))
    clicked = found.any(axis=tuple(other for other in range(3) if other != axis))
    overlap = (found & true).sum() * 2 / (found.sum() + np.compress(clicked, true, axis=axis).sum())
    assert overlap > 0.8


def test_a_measurement_becomes_a_disc_of_that_diameter_in_its_slice(new_session, opened, true_mask):
    session = new_session("reader-measure")
    for image in ("oblique", "left_handed", "coronal"):
        scene = opened(session, image)
        truth = true_mask(image, "metastasis")
        i, j, k = middle(truth)
        at = np.array([i, j, k])
        across = np.argmin(np.abs(np.asarray(truth.GetDirection()).reshape(3, 3)[2]))
        step = np.zeros(3)
        step[across] = 10.0 / truth.GetSpacing()[across]
        lesion = session.mark("measurement")
        region = session.measure(scene.place(ras(truth, tuple(at - step))), scene.place(ras(truth, tuple(at + step))))
        scene.show(lesion.number, "1", region)
        assert scene.region(lesion.number).is_same(region)
        session.set_type(lesion.number, "metastasis")
        said = session.decide({lesion.number: scene.region(lesion.number)}).sentences[0]
        assert float(re.findall(r"metastasis ([0-9.]+) mm", said)[0]) == pytest.approx(20, abs=3)
        session.close()

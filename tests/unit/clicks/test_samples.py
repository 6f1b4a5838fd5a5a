"""What the click segmenter learns from says the truth about itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from lesionlabel.clicks import samples as sampling
from lesionlabel.clicks.anatomy import VESSEL_HU
from lesionlabel.clicks.lesions import Patches, draw_any_lesion
from lesionlabel.clicks.samples import ACROSS, draw_samples
from lesionlabel.clicks.scenes import draw_scene
from lesionlabel.lesions.window import SIDE
from lesionlabel.phantom.patient import draw_densities
from lesionlabel.phantom.presets import PRESETS


def test_a_scene_s_lesion_stands_out_where_its_truth_says(scenes):
    differences = []
    for scene in scenes:
        lesion, liver = scene.kinds == 0, scene.kinds == 2
        y, x = np.nonzero(lesion)
        assert scene.truth(np.stack([x, y], axis=-1)).all()
        if lesion.sum() < 60 or liver.sum() < 60:
            continue
        hu = scene.volume.voxels[scene.slice_index].astype(float)
        inner = ndimage.binary_erosion(lesion, iterations=2)
        differences.append(abs(np.median(hu[inner if inner.any() else lesion]) - np.median(hu[liver])))
    assert len(differences) >= 4
    # A lesion may be as dense as the liver in its middle and differ in its rim or its texture; not many are.
    assert np.mean(np.array(differences) > 4) >= 0.75


def test_a_made_up_abdomen_has_liver_vessels_and_other_tissue(made_up):
    liver = made_up.hu[made_up.depth > 3]
    assert 0.3 < (made_up.depth > 0).mean() < 0.9
    assert abs(np.median(liver) - made_up.densities.liver) < 8
    assert 0.001 < (liver > made_up.densities.liver + VESSEL_HU).mean() < 0.3
    outside = made_up.hu[made_up.depth < -3]
    assert np.mean(np.abs(outside - made_up.densities.liver) > 30) > 0.3


def test_a_fading_lesion_is_fainter_at_its_edge_than_in_its_middle():
    rng, densities = np.random.default_rng(3), draw_densities(np.random.default_rng(3), PRESETS["sharp"])
    fading = next(lesion for _ in range(200) if (lesion := draw_any_lesion(rng, densities)).fade_mm and len(lesion.bodies) == 1)
    y, x = np.indices((241, 241), dtype=np.float32) - 120
    plain, liver = replace(fading, fade_mm=0.0), np.full_like(x, densities.liver)
    kept = np.abs(fading.paint(liver, x, y, 0.0, 0.7) - liver), np.abs(plain.paint(liver, x, y, 0.0, 0.7) - liver)
    depth = np.asarray(ndimage.distance_transform_edt(fading.contains(x, y, 0.0)))
    edge, middle = ((depth > 2) & (depth < 4)), depth > 1.5 * fading.fade_mm
    assert kept[0][edge].mean() < 0.8 * kept[1][edge].mean()
    np.testing.assert_allclose(kept[0][middle], kept[1][middle], atol=1e-3)
    np.testing.assert_array_equal(plain.contains(x, y, 0.0), fading.contains(x, y, 0.0))


def test_patches_of_tissue_lie_side_by_side_in_a_lesion():
    rng, densities = np.random.default_rng(4), draw_densities(np.random.default_rng(4), PRESETS["sharp"])
    bodies = [body for _ in range(200) for body in draw_any_lesion(rng, densities).bodies]
    patchy = [(body, body.inside) for body in bodies if isinstance(body.inside, Patches)]
    assert 30 < len(patchy) < 150
    y, x = np.indices((61, 61), dtype=np.float32) - 30
    for body, field in patchy:
        found = body.body + body.inside_sd * field(x * body.diameter_mm / 60, y * body.diameter_mm / 60, 0.0)
        tissues = body.body + field.hu
        assert tissues.min() - 0.01 <= found.min() <= found.max() <= tissues.max() + 0.01
        assert tissues.min() > -6
        assert tissues.max() < densities.liver + 81
    likes = [np.abs(body.body + field.hu - densities.liver).min() < 8 for body, field in patchy]
    assert 0.3 < np.mean(likes) < 0.9


def test_a_window_s_edge_does_not_tell_what_was_clicked():
    samples = draw_samples(range(1), seed=8, scenes_each=16)
    off = np.hypot(*(samples.clicks - (SIDE - 1) / 2).T) * samples.pixels_mm
    wide = samples.pixels_mm > 1.6
    lesion, elsewhere = (off[wide & kind] for kind in (samples.kinds == 0, samples.kinds != 0))
    # Windows that fill a scene cannot move: where clicks lie in them must not tell lesions from other places.
    assert 0.4 < np.median(lesion) / np.median(elsewhere) < 2.5


def test_a_scene_is_the_same_for_the_same_draws(anatomy, scenes):
    again = draw_scene(np.random.default_rng([6, 0]), anatomy)
    np.testing.assert_array_equal(again.volume.voxels, scenes[0].volume.voxels)
    np.testing.assert_array_equal(again.kinds, scenes[0].kinds)


def test_nothing_of_a_lesion_is_painted_far_outside_of_what_counts_as_lesion(anatomy):
    """Whatever bodies, rims and layers it has: what a reader sees of it and what the network is told must agree."""
    y, x = np.indices((300, 300), dtype=np.float32) - 150
    kinds = set()
    for number in range(60):
        lesion = draw_any_lesion(np.random.default_rng([8, number]), anatomy.densities)
        kinds.add(len(lesion.bodies))
        painted = lesion.paint(np.full_like(x, anatomy.densities.liver), x, y, 0.0, anatomy.densities.edge_mm)
        inside = lesion.contains(x, y, 0.0)
        far = np.asarray(ndimage.distance_transform_edt(~inside)) > 12
        assert np.abs(painted[far] - anatomy.densities.liver).max(initial=0) < 1
        deep = np.asarray(ndimage.binary_erosion(inside, iterations=3), dtype=bool)
        if deep.sum() > 50:
            assert np.abs(painted[deep] - anatomy.densities.liver).max() > 5
    assert len(kinds) >= 4


@pytest.fixture
def with_that_anatomy(anatomy, monkeypatch):
    """Drawing an abdomen takes seconds; which one it is does not matter here."""
    monkeypatch.setattr(sampling, "draw_anatomy", lambda rng: anatomy)


def test_samples_hold_the_click_in_the_lesion_and_nothing_where_there_is_none(with_that_anatomy):
    samples = draw_samples([3], seed=1, scenes_each=4)
    assert samples.planes.shape == (len(samples), 4, 96, 96)
    assert np.isfinite(samples.planes.astype(np.float32)).all()
    hit = 0
    for mask, (x, y), kind in zip(samples.masks, samples.clicks, samples.kinds, strict=True):
        if kind == 0:
            hit += mask[round(float(y)), round(float(x))] > 0
        else:
            assert not mask.any()
    lesions = (samples.kinds == 0).sum()
    assert lesions >= 8
    # A click lies in a pixel of the slice whose middle is inside, so that near the edge a window's smaller pixel may not be.
    assert hit >= 0.9 * lesions
    assert samples.masks.max() == ACROSS**2
    assert {1, 2, 3} & set(samples.kinds.tolist())


def test_sample_number_n_is_the_same_whichever_others_are_drawn(with_that_anatomy):
    alone = draw_samples([4], seed=1, scenes_each=1)
    both = draw_samples([3, 4], seed=1, scenes_each=1)
    np.testing.assert_array_equal(both.planes[-len(alone) :], alone.planes)
    np.testing.assert_array_equal(both.clicks[-len(alone) :], alone.clicks)

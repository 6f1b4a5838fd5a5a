"""What the server returns, opened by 3D Slicer's own libraries: the right segment, in the right place, under the right name.

For straight, flipped, oblique and anisotropic volumes, and for one that is stored in sagittal slices.
"""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.dispatch import dispatch
from lesionlabel.infers.lesion import LesionOutline
from lesionlabel.infers.lesion_report import LesionReport
from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.segmenter import Segmented
from lesionlabel.settings import Settings

NAMES = ("cyst", "metastasis", "hemangioma")
CYST, METASTASIS = (35, 45, 12), (62, 50, 10)
RADIUS_MM = 14.0


class Discs:
    """A segmenter whose answer is known to the pixel: a disc of 28 mm around the newest click, of two slices less when whole."""

    def segment(self, volume, clicks, *, whole=False):
        *centre, k = clicks.inside[-1]
        k = round(k)
        disc = partial(contour_from_circle, centre, 2 * RADIUS_MM / volume.geometry.pixel_mm)
        return Segmented(tuple(disc(n) for n in ((k - 1, k, k + 1) if whole else (k,))), k, 0.9)


def straight(image):
    return image


def flipped(image):
    return sitk.DICOMOrient(image, "RPS")


def sagittal(image):
    return sitk.DICOMOrient(image, "PSL")


def oblique(image):
    turned = sitk.Image(image)
    a, b = np.deg2rad((12, 25))
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turned.SetDirection((x @ z).ravel().tolist())
    return turned


def thick(image):
    spread = sitk.Image(image)
    spread.SetSpacing((0.7, 0.7, 7.5))
    return spread


@pytest.fixture(scope="module")
def home(tmp_path_factory, promote_untrained):
    folder = tmp_path_factory.mktemp("home")
    promote_untrained(Settings(home=folder, device="cpu"))
    return folder


@pytest.fixture(params=[straight, flipped, sagittal, oblique, thick], ids=lambda make: make.__name__)
def case(request, home, tmp_path, tiny_ct, scene):
    """One volume in the server's studies and in Slicer, and what a reader does there. at: the lesion's place, LPS mm."""
    studies = tmp_path / "studies"
    tiny_ct(tmp_path / "tiny.nii.gz")
    tiny = sitk.ReadImage(str(tmp_path / "tiny.nii.gz"))
    image = request.param(tiny)
    studies.mkdir()
    sitk.WriteImage(image, str(studies / "case.nrrd"))
    upright = tiny if request.param in (flipped, sagittal) else image
    at = {name: upright.TransformIndexToPhysicalPoint(index) for name, index in (("c", CYST), ("m", METASTASIS))}
    desk = Desk(Settings(home=home, device="cpu"), Discs())
    answers = AnswerLog(tmp_path / "answers")
    datastore = CuratedDatastore(studies, Curator(desk.store.open, desk.settings.classes, answers))
    tasks = {"lesion": LesionOutline(desk), "lesion_report": LesionReport(desk, datastore)}

    def ask(model, **params):
        request_ = {"model": model, "image": "case", "client_id": "r", "result_extension": ".nrrd", **params}
        return Path(dispatch(tasks, datastore, answers, lambda path: desk.open(path).voxels, request_)["file"])

    volume = scene.volume(studies / "case.nrrd")
    return SimpleNamespace(ask=ask, at=at, volume=volume, datastore=datastore, image=image, kind=request.param)


def test_a_click_fills_the_readers_segment_where_the_lesion_is_and_leaves_the_rest(case, scene, tmp_path):
    node = scene.segmentation(case.volume, NAMES)
    click = scene.to_ijk(case.volume, case.at["c"])
    file = case.ask("lesion", foreground=[click], background=[], label="metastasis", slice=click[2])
    scene.click_result(file, node, "metastasis", click[2], case.volume)
    filled = {name: scene.voxels(node, name, case.volume) for name in NAMES}
    assert [int(filled[name].any()) for name in NAMES] == [0, 1, 0]
    assert scene.centre_lps(filled["metastasis"], case.volume) == pytest.approx(case.at["c"], abs=0.6)
    in_plane = sorted(case.image.GetSpacing())[0] ** 2  # the lesion's slice has square pixels
    assert filled["metastasis"].sum() * in_plane == pytest.approx(np.pi * RADIUS_MM**2, rel=0.07)
    assert node.GetSegmentation().GetNumberOfSegments() == len(NAMES)
    # A second lesion under the same segment, in another slice; and a correction of the first.
    other = scene.to_ijk(case.volume, case.at["m"])
    second = case.ask("lesion", foreground=[other], label="metastasis", slice=other[2])
    scene.click_result(second, node, "metastasis", other[2], case.volume)
    both = scene.voxels(node, "metastasis", case.volume)
    assert np.all(both[filled["metastasis"]]) or other[2] == click[2]
    assert both.sum() > filled["metastasis"].sum()


def test_the_whole_lesion_is_added_in_all_its_slices(case, scene):
    node = scene.segmentation(case.volume, NAMES)
    click = scene.to_ijk(case.volume, case.at["c"])
    file = case.ask("lesion", foreground=[click], label="cyst", slice=click[2], whole=True)
    scene.click_result(file, node, "cyst", click[2], case.volume)
    voxels = scene.voxels(node, "cyst", case.volume)
    assert scene.centre_lps(voxels, case.volume) == pytest.approx(case.at["c"], abs=0.6)
    in_plane = sorted(case.image.GetSpacing())[0] ** 2
    assert voxels.sum() * in_plane == pytest.approx(3 * np.pi * RADIUS_MM**2, rel=0.07)


def test_by_position_the_voxels_land_in_the_segment_that_the_answer_names(case, scene):
    # M:1567-1572: label_names, sorted by number, are the ids of the segments.
    node = scene.segmentation(case.volume, NAMES)
    file = case.ask("lesion", foreground=[scene.to_ijk(case.volume, case.at["c"])], label="hemangioma")
    scene.import_labels(file, node, ["hemangioma"])
    assert [scene.voxels(node, name, case.volume).any() for name in NAMES] == [False, False, True]


def test_a_report_is_a_list_of_points_with_their_types_at_the_lesions(case, scene):
    for name in ("c", "m"):
        case.ask("lesion", foreground=[scene.to_ijk(case.volume, case.at[name])], label="cyst")
    file = case.ask("lesion_report")
    loaded = scene.markups.LoadMarkups(str(file))
    assert loaded
    node = scene.scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert node.GetNumberOfControlPoints() == 2
    found = {}
    for n in range(2):
        right, anterior, superior = node.GetNthControlPointPositionWorld(n)
        found[-right, -anterior, superior] = node.GetNthControlPointLabel(n), node.GetNthControlPointDescription(n)
        assert node.GetNthControlPointLocked(n)
    for place in case.at.values():
        nearest = min(found, key=lambda at: np.linalg.norm(np.subtract(at, place)))
        assert nearest == pytest.approx(place, abs=0.6)
        label, description = found[nearest]
        assert any(name in label for name in NAMES)
        assert label.endswith("%")
        assert f"{'S' if place[2] >= 0 else 'I'} {abs(nearest[2]):.1f} mm, slice " in description
        assert "HCC, abscess, FNH and others will be misnamed" in description
        assert "Not for clinical use" in description.replace("not for", "Not for")
    assert scene.scene.GetFirstNodeByClass("vtkMRMLMarkupsROINode") is None  # M:1800 would rename boxes


@pytest.mark.parametrize("extension", [".nii.gz", ".seg.nrrd"])
def test_segments_that_slicer_saves_become_lesions_of_their_class_in_their_place(case, scene, tmp_path, extension):
    node = scene.segmentation(case.volume, (*NAMES, "Segment_1"))
    click = scene.to_ijk(case.volume, case.at["c"])
    file = case.ask("lesion", foreground=[click], label="metastasis", slice=click[2])
    scene.click_result(file, node, "metastasis", click[2], case.volume)
    names = [*NAMES, "Segment_1"]
    exported = node if extension == ".seg.nrrd" else scene.export(node, names, case.volume)
    label = scene.save(exported, tmp_path / f"label{extension}")
    sent = {"label_info": [{"name": name, "idx": n} for n, name in enumerate(names, start=1)], "client_id": "r"}
    case.datastore.save_label("case", str(label), "final", sent)
    info = case.datastore.get_label_info("case", "final")
    [lesion] = info["lesions"]
    assert lesion["label"] == "metastasis"
    assert lesion["diameter_mm"] == pytest.approx(2 * RADIUS_MM, abs=2.5)
    assert info["not_curated"] == []
    after = scene.markups.LoadMarkups(str(case.ask("lesion_report")))
    assert after
    points = scene.scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    right, anterior, superior = points.GetNthControlPointPositionWorld(0)
    assert (-right, -anterior, superior) == pytest.approx(case.at["c"], abs=1.1)

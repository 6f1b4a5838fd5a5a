"""What is refused: garbage never takes the place of a label or an image, and a label that was sent is kept all the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.segments import LabelError
from lesionlabel.infers.drawing import SCHEMA
from lesionlabel.lesions.errors import InputError
from lesionlabel.strategies.first import First

NAMED = {"label_info": [{"name": "cyst", "idx": 1}], "client_id": "reader-1"}


@pytest.fixture
def labelled(datastore, tmp_path, tiny_label):
    """The datastore with a good final label of case_a."""
    tiny_label(tmp_path / "good.nii.gz", {"cyst": 1})
    datastore.save_label("case_a", str(tmp_path / "good.nii.gz"), "final", dict(NAMED))
    return datastore


def text(path: Path) -> Path:
    path.write_text("this is no label")
    return path


def picture(path: Path) -> Path:
    Image.fromarray(np.full((96, 96), 7, np.uint8)).save(path, format="PNG")
    return path


def mask(path: Path, shape=(24, 96, 96), origin=(-96.0, -96.0, 30.0), value=1) -> Path:
    values = np.zeros(shape, np.uint8)
    values[..., 40:50, 30:40] = value
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((2.0, 2.0, 3.0)[: image.GetDimension()])
    image.SetOrigin(origin[: image.GetDimension()])
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("make", "name", "named"),
    [
        (text, "x.nii.gz", "cannot be read"),
        (text, "x.nrrd", "cannot be read"),
        (text, "x.seg.nrrd", "cannot be read"),
        (text, "x.txt", r"\.txt ending"),
        (text, "x.json", "no 3D Slicer markups"),
        (picture, "x.png", r"\.png ending"),
        (picture, "x.nii.gz", "cannot be read"),
        (lambda path: mask(path, shape=(96, 96)), "x.nii.gz", "2-D"),
        (lambda path: mask(path, origin=(900.0, 0.0, 0.0)), "x.nrrd", "outside the image"),
        (lambda path: mask(path, value=0), "x.nrrd", "no segment"),
    ],
)
def test_what_is_no_segmentation_is_refused_and_kept_and_the_good_label_stays(
    labelled, open_datastore, tmp_path, make, name, named
):
    before = labelled.get_label_info("case_a", "final"), Path(labelled.get_label_uri("case_a", "final")).read_bytes()
    sent = make(tmp_path / name)
    with pytest.raises(LabelError, match=named) as refused:
        labelled.save_label("case_a", str(sent), "final", {"client_id": "reader-2"})
    assert "the one before stays" in str(refused.value)
    for seen in (labelled, open_datastore()):
        assert (seen.get_label_info("case_a", "final"), Path(seen.get_label_uri("case_a", "final")).read_bytes()) == before
    saved, kept = labelled.history.labels("final", "case_a")
    assert (saved.event, kept.event) == ("saved", "refused")
    assert kept.file.read_bytes() == sent.read_bytes()
    assert kept.info["client_id"] == "reader-2"
    assert kept.info["refused"] in str(refused.value)


def test_an_image_with_nothing_but_a_refused_label_is_not_completed(datastore, tmp_path):
    with pytest.raises(LabelError):
        datastore.save_label("case_a", str(text(tmp_path / "x.nii.gz")), "final", {})
    assert datastore.status()["completed"] == 0
    assert First()({}, datastore) == {"id": "case_a"}
    assert len(datastore.history.labels("final", "case_a")) == 1


def test_a_refused_label_between_two_good_ones_makes_no_third_version_of_them(labelled, tmp_path, tiny_label):
    with pytest.raises(LabelError):
        labelled.save_label("case_a", str(text(tmp_path / "x.nii.gz")), "final", {})
    tiny_label(tmp_path / "other.nii.gz", {"metastasis": 1})
    labelled.save_label("case_a", str(tmp_path / "other.nii.gz"), "final", dict(NAMED))
    assert [version.event for version in labelled.history.labels("final", "case_a")] == ["saved", "refused", "saved"]


def test_a_readable_label_without_names_and_slicers_markups_are_taken_as_they_are(datastore, tmp_path, tiny_label):
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 4})
    datastore.save_label("case_a", str(tmp_path / "label.nii.gz"), "final", {})
    assert datastore.get_label_info("case_a", "final")["not_curated"][0]["value"] == 4
    (tmp_path / "boxes.json").write_text(json.dumps({"@schema": SCHEMA, "markups": [{"type": "ROI"}]}))
    datastore.save_label("case_b", str(tmp_path / "boxes.json"), "final", {})
    assert "no lesion was taken from it" in datastore.get_label_info("case_b", "final")["curation_problem"]
    assert datastore.status()["completed"] == 2


def test_markups_never_take_the_place_of_curated_lesions(labelled, tmp_path):
    before = labelled.get_label_info("case_a", "final")
    (tmp_path / "boxes.json").write_text(json.dumps({"@schema": SCHEMA, "markups": []}))
    with pytest.raises(LabelError, match="1 curated lesion"):
        labelled.save_label("case_a", str(tmp_path / "boxes.json"), "final", {})
    assert labelled.get_label_info("case_a", "final") == before


def test_other_tags_hold_whatever_is_sent(labelled, tmp_path):
    labelled.save_label("case_a", str(text(tmp_path / "x.txt")), "notes", {})
    assert set(labelled.get_labels_by_image_id("case_a")) == {"final", "notes"}


def test_an_image_that_the_check_refuses_is_not_stored_and_the_one_before_stays(datastore, tmp_path, tiny_ct):
    def check(path):
        checked.append(path)
        if path.stat().st_size < 100:
            raise InputError("The image was not taken.")

    checked: list[Path] = []
    datastore = CuratedDatastore(datastore.studies, check=check)
    before = (datastore.studies / "case_a.nii.gz").read_bytes()
    for image_id in ("case_a", "new"):
        with pytest.raises(InputError, match="not taken"):
            datastore.add_image(image_id, str(text(tmp_path / "x.nii.gz")), {})
    assert datastore.list_images() == ["case_a", "case_b"]
    assert (datastore.studies / "case_a.nii.gz").read_bytes() == before
    assert not list(datastore.studies.glob(".new-*"))
    tiny_ct(tmp_path / "good.nii.gz", seed=8)
    assert datastore.add_image("new", str(tmp_path / "good.nii.gz"), {}) == "new"
    assert len(checked) == 3

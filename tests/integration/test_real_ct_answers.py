"""Both tumours of the real CT, asked about through its DICOM series and through the NIfTI that import writes.

Their types are not known, so only that the two ways agree, and the measurements, are looked at.
"""

from pathlib import Path

import numpy as np
import pytest

from lesionlabel.datastore.segments import read_segments
from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import import_studies
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.curation import findings_from_mask
from lesionlabel.lesions.errors import NoLesionError
from lesionlabel.settings import Settings

pytestmark = pytest.mark.real_ct


@pytest.fixture(scope="module")
def imported(real_ct: Path, tmp_path_factory, promote_untrained):
    folder = tmp_path_factory.mktemp("real")
    settings = Settings(home=folder / "home", device="cpu")
    promote_untrained(settings)
    report = import_studies(real_ct, folder / "studies", Identity(settings.home))
    [image] = report.imported
    return Desk(settings), folder / "studies" / f"{image.image_id}.nii.gz"


@pytest.fixture(scope="module")
def tumours(imported):
    """The outline of each tumour's largest component in its widest slice, from the archive's masks."""
    desk, nifti = imported
    volume = desk.open(nifti).volume
    [label] = (nifti.parent / "labels").rglob("*.nii.gz")
    segments = read_segments(label, volume)
    # 1 is the liver, then its tumours.
    mask = segments.mask * (segments.mask > 1)
    findings, questions = findings_from_mask(mask, {2: "livertumor1", 3: "livertumor2"}, volume.geometry)
    assert not questions
    k, j, i = segments.start
    return volume, [
        (volume.geometry.to_lps([f.contour.centre[0] + i, f.contour.centre[1] + j, f.contour.slice_index + k]), f.diameter_mm)
        for f in findings
    ]


def test_a_diameter_gives_the_same_answer_through_dicom_and_nifti(imported, tumours, real_ct):
    desk, nifti = imported
    _, found = tumours
    assert len(found) == 2
    for centre, diameter_mm in found:
        asked = read_request({"center_lps": centre.tolist(), "diameter_mm": diameter_mm})
        answers = [desk.answer(path, asked).json for path in (real_ct / "PATIENT_DICOM", nifti)]
        assert answers[0] == answers[1]
        assert len(answers[0]["prediction"]) == 3
        assert answers[0]["lesion"]["diameter_mm"] == pytest.approx(diameter_mm, abs=0.1)


def test_a_click_gives_the_same_answer_or_refusal_through_dicom_and_nifti(imported, tumours, real_ct):
    """How good the outlines are is the benchmark's matter (docs/segmenter.md): some clicks on these tumours are refused."""
    desk, nifti = imported
    volume, found = tumours
    for centre, _ in found:
        asked = read_request({"point": volume.native.to_voxel(centre).tolist()})
        answers = []
        for path in (real_ct / "PATIENT_DICOM", nifti):
            try:
                answers.append(desk.answer(path, asked).json)
            except NoLesionError as error:
                answers.append({"reader_notes": error.what})
        first, second = answers
        assert first["reader_notes"] == second["reader_notes"]
        if "lesion" in first:
            # The outline's points lie between pixels, where the two grids' last digits differ.
            np.testing.assert_allclose(first["lesion"]["contour_lps"], second["lesion"]["contour_lps"], atol=0.02)
            one, other = ([entry["score"] for entry in answer["prediction"]] for answer in answers)
            np.testing.assert_allclose(one, other, atol=1e-6)

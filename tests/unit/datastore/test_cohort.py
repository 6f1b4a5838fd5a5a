import json

import numpy as np
import pytest

from lesionlabel.datastore.cohort import cohort_of
from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList
from lesionlabel.lesions.errors import InputError

NAMED = [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}]


@pytest.fixture
def label(datastore, tmp_path, tiny_label):
    def save(image, values, tag="final"):
        tiny_label(tmp_path / "label.nii.gz", values)
        datastore.save_label(image, str(tmp_path / "label.nii.gz"), tag, {"label_info": NAMED, "proof": "follow-up"})

    return save


def sidecar(datastore, image, patient, simulated):
    record = {"image": image, "patient": patient, "simulated": simulated, "info": {}, "source": {}}
    (datastore.studies / f"{image}.series.json").write_text(json.dumps(record))


def test_final_lesions_come_with_their_patient_proof_and_the_tissue_around_them(datastore, store, label):
    sidecar(datastore, "case_a", "pseudonym-7", False)
    label("case_a", {"cyst": 1, "metastasis": 2})
    label("case_b", {"cyst": 1})
    label("case_b", {"metastasis": 2}, tag="original")
    cohort = cohort_of(datastore, store, DEFAULT_CLASSES)
    assert cohort.counts() == {"cyst": 2, "metastasis": 1, "hemangioma": 0}
    assert cohort.patients == ["pseudonym-7", "pseudonym-7", "image-case_b"]
    assert {str(lesion.proof) for lesion in cohort} == {"follow-up"}
    context = cohort.lesions[0].context
    x, y = (round(v) for v in context.centre)
    assert np.mean(context.hu[y - 2 : y + 3, x - 2 : x + 3]) == pytest.approx(8, abs=8)


def test_a_label_saved_again_counts_once_as_it_is_now(datastore, store, label):
    label("case_a", {"cyst": 1, "metastasis": 2})
    label("case_a", {"metastasis": 2})
    assert cohort_of(datastore, store, DEFAULT_CLASSES).counts() == {"cyst": 0, "metastasis": 1, "hemangioma": 0}


def test_simulated_and_real_lesions_never_mix(datastore, store, label):
    sidecar(datastore, "case_a", "phantom-1", True)
    label("case_a", {"cyst": 1, "metastasis": 2})
    label("case_b", {"cyst": 1})
    with pytest.raises(InputError, match=r"1 curated lesion\(s\) of patients and 2 of the phantom"):
        cohort_of(datastore, store, DEFAULT_CLASSES)
    assert len(cohort_of(datastore, store, DEFAULT_CLASSES, "phantom")) == 2
    assert cohort_of(datastore, store, DEFAULT_CLASSES, "patients").patients == ["image-case_b"]


def test_nothing_curated_says_what_to_do(datastore, store):
    with pytest.raises(InputError, match="Save labels whose segments are named by class"):
        cohort_of(datastore, store, DEFAULT_CLASSES)


def test_lesions_of_a_class_no_longer_configured_are_left_out_and_counted(datastore, store, label, caplog):
    label("case_a", {"cyst": 1, "metastasis": 2})
    fewer = ClassList(tuple(c for c in DEFAULT_CLASSES if c.name != "cyst"))
    assert cohort_of(datastore, store, fewer).counts() == {"metastasis": 1, "hemangioma": 0}
    assert "1 curated lesion(s) of the class 'cyst'" in caplog.text


def test_lesions_in_synthetic_images_never_count_as_patients(datastore, store, label):
    label("case_a", {"cyst": 1, "metastasis": 2})
    label("case_b", {"cyst": 1})
    datastore.update_image_info("case_a", {"synthetic": True})
    assert cohort_of(datastore, store, DEFAULT_CLASSES).patients == ["image-case_b"]

from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.experiment.checks import check_experiment
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.cohort import make_cohort

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(dict.fromkeys(NAMES, 8), seed=7)


def with_lesion(cohort, index, **changes):
    lesions = list(cohort.lesions)
    lesions[index] = replace(lesions[index], **changes)
    return Cohort(tuple(lesions), cohort.class_names)


def turned(lesion):
    return replace(lesion.context, hu=np.ascontiguousarray(np.rot90(lesion.context.hu)))


def test_a_cohort_as_it_should_be_has_no_warning(cohort):
    assert check_experiment(cohort, 3) == ()


def test_an_image_under_two_patients_is_refused_by_name_turned_too(cohort):
    other = with_lesion(cohort, 9, context=turned(cohort.lesions[0]))
    assert other.lesions[9].patient != other.lesions[0].patient
    with pytest.raises(InputError, match=f"more than one patient: {cohort.lesions[0].lesion_id} = {cohort.lesions[9].lesion_id}"):
        check_experiment(other, 3)


def test_an_image_twice_in_one_patient_is_told(cohort):
    first = cohort.lesions[0]
    twice = Cohort((*cohort.lesions, replace(first, lesion_id="again", context=turned(first))), NAMES)
    [warning] = check_experiment(twice, 3)
    assert f"{first.lesion_id} = again" in warning


def test_a_patient_with_most_lesions_is_told(cohort):
    most = Cohort(
        tuple(
            replace(lesion, patient="phantom-many") if lesion.label == "cyst" and i % 2 else lesion
            for i, lesion in enumerate(cohort)
        ),
        NAMES,
    )
    [warning] = check_experiment(most, 3)
    assert "(phantom-many) has 4 of the lesions of class 'cyst' (8)" in warning


def test_too_few_patients_of_a_class_are_refused(cohort):
    one = Cohort(tuple(replace(x, patient="phantom-one") if x.label == "cyst" else x for x in cohort), NAMES)
    with pytest.raises(InputError, match=r"'cyst' has lesions of 1 patient"):
        check_experiment(one, 3)


def test_lesions_decided_with_the_answer_in_sight_are_told_and_not_enough_alone(cohort):
    [warning] = check_experiment(with_lesion(cohort, 0, saw_model=True), 3)
    assert warning.startswith("1 lesion(s) were decided after seeing")
    with pytest.raises(InputError, match="none may be tested"):
        check_experiment(Cohort(tuple(replace(x, saw_model=None) for x in cohort), NAMES), 3)

from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.experiment import checks
from lesionlabel.experiment.profiles import make_plan
from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList
from lesionlabel.lesions.cohort import BlindDecision, Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof
from lesionlabel.phantom.cohort import make_cohort

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(dict.fromkeys(NAMES, 8), seed=7)


def check(cohort, *arms, seeds=1):
    return checks.check_experiment(cohort, make_plan(cohort, "quick", arms or ("classic",), seeds), DEFAULT_CLASSES)


def with_lesion(cohort, index, **changes):
    lesions = list(cohort.lesions)
    lesions[index] = replace(lesions[index], **changes)
    return Cohort(tuple(lesions), cohort.class_names)


def turned(lesion):
    return replace(lesion.context, hu=np.ascontiguousarray(np.rot90(lesion.context.hu)))


def test_a_cohort_as_it_should_be_has_no_warning(cohort):
    assert check(cohort) == ()


def test_an_image_under_two_patients_is_refused_by_name_turned_too(cohort):
    other = with_lesion(cohort, 9, context=turned(cohort.lesions[0]))
    assert other.lesions[9].patient != other.lesions[0].patient
    with pytest.raises(InputError, match=f"more than one patient: {cohort.lesions[0].lesion_id} = {cohort.lesions[9].lesion_id}"):
        check(other)


def test_an_image_twice_in_one_patient_is_told(cohort):
    first = cohort.lesions[0]
    twice = Cohort((*cohort.lesions, replace(first, lesion_id="again", context=turned(first))), NAMES)
    [warning] = check(twice)
    assert f"{first.lesion_id} = again" in warning


def test_a_patient_with_most_lesions_is_told(cohort):
    most = Cohort(
        tuple(
            replace(lesion, patient="phantom-many") if lesion.label == "cyst" and i % 2 else lesion
            for i, lesion in enumerate(cohort)
        ),
        NAMES,
    )
    [warning] = check(most)
    assert "(phantom-many) has 4 of the lesions of class 'cyst' (8)" in warning


def test_too_few_patients_of_a_class_are_refused(cohort):
    one = Cohort(tuple(replace(x, patient="phantom-one") if x.label == "cyst" else x for x in cohort), NAMES)
    with pytest.raises(InputError, match=r"'cyst' has lesions of 1 patient"):
        check(one)


def test_simulated_beside_real_lesions_are_refused(cohort):
    plan = make_plan(cohort, "quick", ("classic",), 1)
    mixed = with_lesion(cohort, 0, patient="p1")
    with pytest.raises(InputError, match="mixes 23 simulated and 1 real"):
        checks.check_experiment(mixed, plan, DEFAULT_CLASSES)


def test_other_classes_than_the_configured_ones_are_refused_before_anything_is_trained(cohort):
    plan, other = make_plan(cohort, "quick", ("classic",), 1), ClassList(DEFAULT_CLASSES.classes[::-1])
    with pytest.raises(InputError, match="LESIONLABEL_CLASS_FILE"):
        checks.check_experiment(cohort, plan, other)


def test_too_few_patients_for_generators_are_told_with_what_can_be_run(cohort):
    assert check(cohort, "classic", "duplicates", seeds=3) == ()
    with pytest.raises(InputError, match=r"fold \d of seed 0\. .*--arms classic,duplicates,words,mean,diameter"):
        check(cohort, "dcgan")


def test_a_fold_that_trains_on_a_handful_is_told():
    # One patient has nearly everything: where it is tested, three other lesions of each class are left to train on.
    everyone = make_cohort(dict.fromkeys(NAMES, 16), seed=7)
    lesions = [replace(x, patient="phantom-all") if i % 16 > 2 else x for i, x in enumerate(everyone)]
    told = check(Cohort(tuple(lesions), NAMES))
    assert any("1 fold(s) train on far fewer lesions than 32: 9 in fold" in one for one in told), told


def test_a_type_that_rests_on_opinion_is_told(cohort):
    [warning] = check(with_lesion(cohort, 0, proof=Proof.CONSENSUS))
    assert warning.startswith("The type of 1 lesion(s) rests on readers' opinion")


def test_lesions_decided_with_the_answer_in_sight_are_told_and_not_enough_alone(cohort):
    first = cohort.lesions[0]
    assert check(with_lesion(cohort, 0, saw_model=True, blind=BlindDecision(first.label, first.proof))) == check(cohort)
    [warning] = check(replace(cohort, dropped=2))
    assert "favour what the model gets right" in warning
    [warning] = check(with_lesion(cohort, 0, saw_model=True))
    assert warning.startswith("1 lesion(s) were decided after seeing")
    with pytest.raises(InputError, match="none may be tested"):
        check(Cohort(tuple(replace(x, saw_model=None) for x in cohort), NAMES))

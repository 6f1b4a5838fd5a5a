"""Nothing but the lesion tells its class: 200 lesions find gross shortcuts; benchmarks/phantom_shortcuts.py has 2,000."""

import numpy as np
import pytest

from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.roi import Context
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.shortcuts import FORBIDDEN, guess_class, lesion_summary, masked_picture


@pytest.fixture(scope="module")
def cohort():
    return make_cohort({"cyst": 58, "metastasis": 70, "hemangioma": 72}, seed=8)


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_no_shortcut(cohort, name):
    guess = guess_class(cohort, FORBIDDEN[name], "forest", folds=3)
    assert not guess.beats_majority, f"{name}: {guess}"


def test_the_lesion_itself_does_tell(cohort):
    guess = guess_class(cohort, lesion_summary, "logistic", folds=3)
    assert guess.low > 0.5


def test_a_planted_shortcut_is_found(cohort):
    """The surroundings of metastases made brighter by 25 HU must be noticed, or the test above proves nothing."""
    planted = []
    for lesion in cohort:
        context = lesion.context
        if lesion.label == "metastasis":
            context = Context(context.hu + np.float32(25), context.centre, context.diameter_px, context.spacing_mm)
        planted.append(CohortLesion(lesion.lesion_id, lesion.patient, lesion.label, context))
    assert guess_class(Cohort(tuple(planted), cohort.class_names), masked_picture, "forest", folds=3).beats_majority

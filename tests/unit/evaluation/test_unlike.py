import numpy as np
import pytest

from lesionlabel.evaluation.unlike import WARN_FROM, Familiar, false_alarms, held_out_percentiles
from lesionlabel.lesions.errors import InputError


def cloud(rng, n, width=6):
    return rng.normal(size=(n, width))


def familiar_of(features, patients) -> Familiar:
    return Familiar(features.astype(np.float32), np.asarray(patients, dtype=np.int64))


def test_a_patients_own_lesions_never_make_a_lesion_look_familiar():
    rng = np.random.default_rng(0)
    others = cloud(rng, 70)
    strange = np.full(6, 50.0)
    # Two lesions of one patient that look the same and like nobody else's.
    features = np.vstack([others, strange, strange])
    familiar = familiar_of(features, [*range(70), 70, 70])
    assert familiar.scale[-1] == familiar.scale[-2] > 100
    nobodys = familiar.percentile(strange)
    of_that_patient = familiar.percentile(strange, patient=70)
    assert nobodys == 0
    assert of_that_patient >= WARN_FROM


def test_usual_lesions_are_warned_about_as_often_as_said_and_strange_ones_always():
    rng = np.random.default_rng(1)
    familiar = familiar_of(cloud(rng, 300), np.arange(300))
    usual = [familiar.percentile(row) for row in cloud(rng, 600)]
    alarms = false_alarms(usual, [f"p-{i}" for i in range(600)])
    assert alarms.low <= 0.05 <= alarms.high + 0.02
    assert all(familiar.percentile(row + 20) == 100 for row in cloud(rng, 20))


def test_false_alarms_come_from_lesions_that_the_network_has_not_seen():
    rng = np.random.default_rng(2)
    training, held_out = cloud(rng, 80), cloud(rng, 30)
    percentiles = held_out_percentiles(training, [f"p-{i}" for i in range(80)], held_out)
    assert percentiles is not None
    assert len(percentiles) == 30
    assert 0.1 < np.mean(np.array(percentiles) > 50) < 0.95
    far = held_out_percentiles(training, [f"p-{i}" for i in range(80)], held_out + 30)
    assert far is not None
    assert false_alarms(far, ["p"] * 30).value == pytest.approx(1)


def test_too_few_lesions_give_no_percentile():
    rng = np.random.default_rng(3)
    assert not familiar_of(cloud(rng, 59), np.arange(59)).measures
    assert familiar_of(cloud(rng, 60), np.arange(60)).measures
    assert not familiar_of(cloud(rng, 60), np.zeros(60)).measures
    assert held_out_percentiles(cloud(rng, 20), ["p"] * 20, cloud(rng, 5)) is None


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        familiar_of(np.zeros((5, 3)), np.arange(4))
    with pytest.raises(InputError, match="NaN"):
        familiar_of(np.full((2, 3), np.nan), np.arange(2))

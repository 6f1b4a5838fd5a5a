import numpy as np
import pytest

from lesionlabel.evaluation.subsampling import interval_around, leave_out_quarters
from lesionlabel.lesions.errors import InputError


def test_a_quarter_of_the_patients_is_left_out_with_all_their_lesions():
    patients = [f"p{i % 13}" for i in range(20)]
    kept = leave_out_quarters(patients, 50, np.random.default_rng(0))
    assert kept.lesions.shape == (51, 20)
    assert kept.lesions[0].all()
    for draw in kept.lesions[1:]:
        out = {p for p, k in zip(patients, draw, strict=True) if not k}
        assert len(out) == 3
        assert not any(k for p, k in zip(patients, draw, strict=True) if p in out)
    assert kept.scale == pytest.approx(np.sqrt(10 / 3))
    with pytest.raises(InputError, match="at least 4"):
        leave_out_quarters(["a", "a", "b", "c"], 50, np.random.default_rng(0))


def test_intervals_hold_the_mean_of_a_population_as_often_as_they_say():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        values = rng.standard_normal(24)
        kept = leave_out_quarters([str(i) for i in range(24)], 200, rng)
        interval = interval_around((kept.lesions @ values) / kept.lesions.sum(axis=1), kept.scale, 24, (-np.inf, np.inf))
        assert interval.low <= interval.value <= interval.high
        held += interval.low <= 0 <= interval.high
    assert 0.90 < held / 400 < 0.98


def test_an_interval_lies_around_the_figure_and_within_what_it_can_be():
    # Smaller samples shift the figure down by 0.3; the interval does not follow them.
    values = np.array([0.9, 0.5, 0.6, 0.7])
    interval = interval_around(values, 1.0, 3, (0, 1))
    assert interval.low == pytest.approx(0.9 - 0.095)
    assert interval.high == pytest.approx(0.995)
    assert interval_around(values, 2.0, 3, (0, 1)).high == 1

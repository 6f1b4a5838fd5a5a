from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from lesionlabel.evaluation.noninferiority import MARGIN, against_margin, pair, planned_power


def draw(rng, lesions, discordance, difference, per_patient=1, alike=0.0):
    """Answers of two sides to lesions of a class, and their patients."""
    owner = np.arange(lesions) // per_patient
    own, shared = rng.random(lesions), rng.random(lesions)[owner]
    x = np.where((rng.random(lesions) < alike)[owner], shared, own)
    won, lost = (discordance + difference) / 2, (discordance - difference) / 2
    return ~((x >= won) & (x < won + lost)), ~(x < won), [f"p{i}" for i in owner]


def rejections(sizes, discordance, difference, draws=1500, seed=0, **patients):
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        found.append(against_margin([pair(*draw(rng, n, discordance, difference, **patients)) for n in sizes], 0.05))
    return sum(one.p_not_worse < 0.05 for one in found), sum(one.p_worse < 0.05 for one in found), draws


def covers(count, of, rate):
    low, high = proportion_confint(count, of, alpha=0.001, method="wilson")
    return low <= rate <= high


def test_the_score_test_is_tangos_on_counts():
    first, second = np.ones(60, dtype=bool), np.ones(60, dtype=bool)
    first[:7], second[7:10] = False, False
    won, lost, n = 3, 7, 60
    found = against_margin([pair(first, second, [str(i) for i in range(60)])], 0.05)

    # The likelihood of the counts under a true difference of -MARGIN, maximised over the one share that is left free.
    def likelihood(share):
        other = share - MARGIN
        return -(won * np.log(other) + lost * np.log(share) + (n - won - lost) * np.log(1 - share - other))

    bounds = (MARGIN + 1e-9, (1 + MARGIN) / 2 - 1e-9)
    best: Any = minimize_scalar(likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    variance = (2 * best.x - MARGIN - MARGIN**2) / n
    assert found.difference == pytest.approx(-4 / 60)
    assert found.p_not_worse == pytest.approx(norm.sf((-4 / 60 + MARGIN) / np.sqrt(variance)), abs=1e-4)
    assert found.p_worse == pytest.approx(norm.cdf(-4 / np.sqrt(10)), abs=1e-4)


@pytest.mark.parametrize("sizes", [[65], [53, 64, 65]])
def test_one_that_is_worse_by_the_margin_is_called_no_worse_at_the_nominal_rate(sizes):
    wrong, _, of = rejections(sizes, 0.2, -MARGIN)
    assert wrong / of < 0.05 or covers(wrong, of, 0.05)
    _, worse, of = rejections(sizes, 0.2, 0.0)
    assert covers(worse, of, 0.05)


def test_patients_with_several_lesions_do_not_make_it_surer_than_it_is():
    wrong, _, of = rejections([100], 0.2, -MARGIN, per_patient=4, alike=0.7)
    assert wrong / of < 0.075
    rng = np.random.default_rng(1)
    assert np.mean([pair(*draw(rng, 100, 0.2, 0.0, 4, 0.7)).design_effect for _ in range(50)]) > 1.3


def test_the_power_that_is_told_is_the_power_that_it_has():
    for sizes in ([65], [100], [60, 60, 60]):
        shown, _, of = rejections(sizes, 0.2, 0.0)
        assert shown / of == pytest.approx(planned_power(sizes, 0.05), abs=0.06)


def test_a_class_without_lesions_shows_nothing():
    nothing = pair(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), [])
    full = pair(np.ones(50, dtype=bool), np.ones(50, dtype=bool), [str(i) for i in range(50)])
    found = against_margin([nothing, full], 0.05)
    assert (found.p_not_worse, found.p_worse, found.power) == (1, 1, 0)
    assert against_margin([full], 0.05).p_worse == 1
    assert against_margin([full], 0.05).p_not_worse < 0.05

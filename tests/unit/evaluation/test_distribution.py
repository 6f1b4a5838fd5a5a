import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lesionlabel.evaluation import distribution
from lesionlabel.evaluation.distribution import NEIGHBOURS, Prdc, neighbours_for, polynomial_kernel
from lesionlabel.lesions.errors import InputError


def normal(n: int, seed: int, d: int = 3, at: float = 0.0) -> np.ndarray:
    return at + np.random.default_rng(seed).standard_normal((n, d))


def prdc(real: np.ndarray, fake: np.ndarray, k: int = NEIGHBOURS) -> Prdc:
    return distribution.prdc(cdist(real, real), cdist(fake, fake), cdist(real, fake), k)


def test_identical_sets_are_precise_and_complete():
    x = normal(60, 0)
    # Each real's ball holds itself and its 5 neighbours, all of which are fakes too.
    assert prdc(x, x, 5) == pytest.approx((1, 1, 6 / 5, 1))


def test_sets_far_apart_share_nothing():
    assert prdc(normal(60, 0), normal(60, 1, at=100.0)) == Prdc(0.0, 0.0, 0.0, 0.0)


def test_figures_follow_the_published_definitions_point_by_point():
    real, fake, k = normal(25, 2), normal(40, 3, at=0.7), 4

    def ball(points: np.ndarray, i: int) -> float:
        return sorted(float(np.linalg.norm(points[i] - p)) for j, p in enumerate(points) if j != i)[k - 1]

    near = np.array([[np.linalg.norm(r - f) for f in fake] for r in real])
    in_real = near <= np.array([ball(real, i) for i in range(len(real))])[:, None]
    in_fake = near <= np.array([ball(fake, j) for j in range(len(fake))])[None]
    found = prdc(real, fake, k)
    assert found.precision == pytest.approx(np.mean([in_real[:, j].any() for j in range(len(fake))]))
    assert found.recall == pytest.approx(np.mean([in_fake[i].any() for i in range(len(real))]))
    assert found.density == pytest.approx(in_real.sum() / (k * len(fake)))
    assert found.coverage == pytest.approx(np.mean([in_real[i].any() for i in range(len(real))]))
    assert 0 < found.precision < 1
    assert 0 < found.coverage < 1


def test_an_outlier_among_the_reals_fools_precision_but_not_density():
    cluster = 0.1 * normal(50, 4, d=2)
    with_outlier = np.vstack([cluster, [[10.0, 0.0]]])
    nowhere = np.column_stack([np.linspace(4, 8, 30), np.zeros(30)])
    assert prdc(cluster, nowhere).precision == 0
    found = prdc(with_outlier, nowhere)
    assert found.precision == 1
    assert found.density == pytest.approx(1 / 5)


def test_an_outlier_among_the_fakes_fools_recall_but_not_coverage():
    real = normal(50, 5, d=2)
    fake = np.vstack([[20.0, 0.0] + 0.1 * normal(50, 6, d=2), [[-20.0, 0.0]]])
    found = prdc(real, fake)
    assert found.recall == 1
    assert found.coverage == 0


def test_a_dropped_mode_lowers_recall_and_coverage_and_not_precision():
    real = np.vstack([normal(50, 7), normal(50, 8, at=30.0)])
    both = prdc(real, np.vstack([normal(50, 9), normal(50, 10, at=30.0)]))
    one = prdc(real, normal(100, 11))
    assert one.recall == pytest.approx(both.recall / 2, abs=0.06)
    assert one.coverage == pytest.approx(0.5, abs=0.02)
    assert both.coverage > 0.9
    assert one.precision == pytest.approx(both.precision, abs=0.1)


def test_a_ball_reaches_at_most_to_the_farthest_neighbour_of_a_small_set():
    real, fake = normal(3, 12), normal(3, 13)
    assert prdc(real, fake, 5) == prdc(real, fake, 2)
    # Two points, each in the other's ball: density counts over the one neighbour that there is.
    assert prdc(real[:2], real[:2]).density == 2


def test_neighbours_are_the_fewest_that_cover_alike_sets():
    def coverage(n: int, m: int, k: int) -> float:
        rng = np.random.default_rng(k)
        return float(np.mean([prdc(rng.standard_normal((n, 2)), rng.standard_normal((m, 2)), k).coverage for _ in range(400)]))

    for n, m in ((20, 40), (10, 100)):
        k = neighbours_for(n, m)
        assert coverage(n, m, k) > 0.95 > coverage(n, m, k - 1) + 0.02
    assert neighbours_for(200, 100) == 5
    assert neighbours_for(3, 1) == 2
    assert neighbours_for(2, 100) == 1


def test_the_kernel_is_the_published_one():
    a, b = np.array([1.0, 2.0]), np.array([-1.0, 0.5])
    assert polynomial_kernel(a[None], b[None])[0, 0] == pytest.approx((a @ b / 2 + 1) ** 3)


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        prdc(normal(1, 0), normal(5, 1))
    with pytest.raises(InputError, match="k = 0"):
        prdc(normal(5, 0), normal(5, 1), 0)

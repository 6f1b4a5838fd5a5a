import numpy as np

from lesionlabel.evaluation.distribution import polynomial_kernel
from lesionlabel.evaluation.pairs import across, among_lesions, euclidean


def views(rng: np.random.Generator, lesions: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Views close around lesions that are draws of one distribution."""
    centres = rng.standard_normal((lesions, 5))
    return np.repeat(centres, each, axis=0) + 0.1 * rng.standard_normal((lesions * each, 5)), np.repeat(np.arange(lesions), each)


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate as Bińkowski et al. 2018 have it, over all pairs of rows."""
    among = [(kernel.sum() - np.trace(kernel)) / (len(z) * (len(z) - 1)) for z in (x, y) for kernel in [polynomial_kernel(z, z)]]
    return sum(among) - 2 * polynomial_kernel(x, y).mean()


def test_means_are_over_pairs_of_different_lesions_among_those_kept():
    rng = np.random.default_rng(0)
    x, x_of = views(rng, 5, 3)
    y, y_of = views(rng, 4, 2)
    x, x_of = x[:-1], x_of[:-1]  # lesions need not have equally many views
    order = rng.permutation(len(x))
    x, x_of = x[order], x_of[order]
    rows = np.array([[True] * 5, [True, False, True, True, False]])
    columns = np.array([[True] * 4, [False, True, True, True]])
    within, between = (
        among_lesions(x, x_of, euclidean).means(rows, rows),
        across(x, x_of, y, y_of, euclidean).means(rows, columns),
    )
    for draw in range(2):
        kept, other = np.flatnonzero(rows[draw][x_of]), np.flatnonzero(columns[draw][y_of])
        pairs = [np.linalg.norm(x[i] - x[j]) for i in kept for j in kept if x_of[i] != x_of[j]]
        np.testing.assert_allclose(within[draw], np.mean(pairs))
        np.testing.assert_allclose(between[draw], np.mean([np.linalg.norm(x[i] - y[j]) for i in kept for j in other]))


def test_more_rows_than_fit_at_once_change_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((1100, 3)), rng.standard_normal((700, 3))
    one = np.ones((1, 1), dtype=bool)
    sums = across(x, np.zeros(1100, dtype=int), y, np.zeros(700, dtype=int), euclidean)
    np.testing.assert_allclose(sums.means(one, one)[0], euclidean(x, y).mean())


def test_views_of_a_lesion_do_not_count_as_agreement():
    """KID over pairs of different lesions is 0 in expectation for two cohorts of one population; over all pairs it is not."""
    rng = np.random.default_rng(2)
    ours, plain = [], []
    for _ in range(150):
        (x, x_of), (y, y_of) = views(rng, 12, 6), views(rng, 6, 6)
        kept_x, kept_y = np.ones((1, 12), dtype=bool), np.ones((1, 6), dtype=bool)
        among = among_lesions(x, x_of, polynomial_kernel).means(kept_x, kept_x) + among_lesions(y, y_of, polynomial_kernel).means(
            kept_y, kept_y
        )
        ours.append(float((among - 2 * across(x, x_of, y, y_of, polynomial_kernel).means(kept_x, kept_y))[0]))
        plain.append(kid(x, y))
    error = np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < 3 * error
    assert np.mean(plain) > 5 * error

import numpy as np
import pytest

from lesionlabel.strategies.ranking import RANKINGS, Seen, by_both, by_diversity, by_uncertainty

SURE, UNSURE, UNLIKE_ANY = [0.98, 0.01, 0.01], [0.02, 0.5, 0.48], [0.36, 0.32, 0.32]


def seen(features, probabilities, weights=None) -> Seen:
    weights = np.ones(len(features)) if weights is None else np.array(weights, dtype=float)
    return Seen(np.array(features, dtype=float), np.array(probabilities, dtype=float), weights)


def test_uncertainty_is_the_margin_between_the_two_likeliest_classes():
    values = by_uncertainty([seen([[1, 0]], [p]) for p in (SURE, UNSURE, UNLIKE_ANY)], [])
    assert values == pytest.approx([1 - 0.97, 1 - 0.02, 1 - 0.04])


def test_a_volume_counts_by_its_candidates_weights():
    [value] = by_uncertainty([seen([[1, 0], [1, 0]], [SURE, UNSURE], [3, 1])], [])
    assert value == pytest.approx((3 * 0.03 + 0.98) / 4)


def test_diversity_is_the_distance_from_what_is_known():
    pool = [seen([[0, 1]], [SURE]), seen([[4, 0]], [SURE]), seen([[0, 9], [3, 0]], [SURE, SURE])]
    assert by_diversity(pool, [seen([[0, 0]], [SURE]), seen([[3, 0]], [SURE])]) == pytest.approx([1, 1, 4.5])


def test_with_nothing_known_the_most_typical_is_the_most_diverse():
    pool = [seen([[x, 0]], [SURE]) for x in (0, 5, 11)]
    assert by_diversity(pool, []).argmax() == 1


def test_both_wants_unsure_and_unlike_what_the_model_has_not_learnt():
    sure_far, unsure_near, unsure_far = seen([[0, 9]], [SURE]), seen([[3, 0]], [UNSURE]), seen([[0, 3]], [UNSURE])
    values = by_both([sure_far, unsure_near, unsure_far], [seen([[3, 0.1]], [UNSURE])])
    assert values.argmax() == 2
    assert values[1] == pytest.approx(0.1 * np.linalg.norm(np.array(UNSURE) - [0, 1, 0]), rel=1e-3)
    # What is curated and learnt has a short gradient, and hardly repels.
    learnt = by_both([sure_far, unsure_near, unsure_far], [seen([[3, 0.1]], [[0.001, 0.998, 0.001]])])
    assert learnt[1] == pytest.approx(learnt[2], rel=0.01)


def test_gradients_are_compared_as_if_written_out():
    rng = np.random.default_rng(0)
    volumes = [seen(rng.normal(size=(2, 5)), rng.dirichlet(np.ones(3), 2)) for _ in range(6)]

    def written_out(one: Seen):
        errors = one.probabilities - np.eye(3)[one.probabilities.argmax(axis=1)]
        return np.einsum("nc,nf->ncf", errors, one.features).reshape(len(errors), -1)

    centres = np.concatenate([np.zeros((1, 15)), *map(written_out, volumes[3:])])
    expected = [np.linalg.norm(written_out(one)[:, None] - centres, axis=2).min(axis=1).mean() for one in volumes[:3]]
    assert by_both(volumes[:3], volumes[3:]) == pytest.approx(expected)


def test_every_ranking_takes_an_empty_pool():
    for ranking in RANKINGS.values():
        assert len(ranking([], [seen([[1, 2]], [SURE])])) == 0

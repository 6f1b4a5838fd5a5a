"""What a volume is worth reading: three values of what a classifier says of the lesions that it may hold.

Pure functions of arrays. The server's strategies and the simulation (benchmarks/active_learning.py) rank by the same ones. A
volume's value is the weighted mean over its candidate lesions, that is, per lesion that a reader would curate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """A classifier's view of a volume's n >= 1 candidate lesions.

    features: (n, width) of the layer before the last. probabilities: (n, classes), calibrated. weights: (n,) positive, how far
    each candidate counts.
    """

    features: Floats
    probabilities: Floats
    weights: Floats

    def mean(self, values: Floats) -> float:
        """The weighted mean of one value a candidate, (n,)."""
        return float(values @ self.weights / self.weights.sum())


#: (volumes to choose from, volumes that are curated or were offered lately) -> value of each of the former; the highest is next.
Ranking = Callable[[Sequence[Seen], Sequence[Seen]], Floats]


def by_uncertainty(pool: Sequence[Seen], known: Sequence[Seen]) -> Floats:
    """1 - (p1 - p2), 0 to 1, where p1 and p2 are the probabilities of the two likeliest classes.

    Margin sampling (Scheffer et al. 2001; Joshi et al. 2009 for several classes; Bahri et al. 2022 find no method that beats it
    throughout). Entropy would rate a structure that resembles no class above one that lies between two, and on a volume not yet
    read the former is mostly no lesion.
    """
    values = []
    for seen in pool:
        second, first = np.sort(seen.probabilities, axis=1)[:, -2:].T
        values.append(seen.mean(1 - (first - second)))
    return np.array(values)


def by_diversity(pool: Sequence[Seen], known: Sequence[Seen]) -> Floats:
    """Distance in the features from the nearest known candidate; with nothing known, the most typical volume is first.

    Core-set selection by greedy k-centre (Sener and Savarese 2018), one centre at a time.
    """
    if not known:
        middle = np.concatenate([seen.features for seen in pool]).mean(axis=0) if pool else 0.0
        return np.array([-seen.mean(np.linalg.norm(seen.features - middle, axis=1)) for seen in pool])
    centres = np.concatenate([seen.features for seen in known])
    lengths = np.einsum("ij,ij->i", centres, centres)
    return np.array([seen.mean(_nearest(seen.features @ centres.T, seen.features, lengths)) for seen in pool])


def by_both(pool: Sequence[Seen], known: Sequence[Seen]) -> Floats:
    """Distance of the loss's gradient, were the predicted class right, from zero and from the nearest known candidate's.

    BADGE (Ash et al. 2020): the gradient in the last layer is (p - one-hot of the prediction) x features, long where the model
    is unsure, so that one distance holds both and nothing has to be weighed. BADGE draws by k-means++ within a batch; here the
    farthest is taken, so that a state has one answer. Known candidates that the model has learnt have short gradients and repel
    little, those that it has not learnt yet repel more.
    """
    if not pool:
        return np.zeros(0)
    ours = [_errors(seen.probabilities) for seen in pool]
    # Zero is a centre like the others.
    centres = np.concatenate([np.zeros_like(pool[0].features[:1]), *(seen.features for seen in known)])
    centre_errors = np.concatenate([np.zeros_like(ours[0][:1]), *(_errors(seen.probabilities) for seen in known)])
    lengths = np.einsum("ij,ij->i", centres, centres) * np.einsum("ij,ij->i", centre_errors, centre_errors)
    values = []
    for seen, error in zip(pool, ours, strict=True):
        # The inner product of two outer products is the product of the inner ones.
        products = (seen.features @ centres.T) * (error @ centre_errors.T)
        own = np.einsum("ij,ij->i", seen.features, seen.features) * np.einsum("ij,ij->i", error, error)
        values.append(seen.mean(np.sqrt(np.maximum(own[:, None] - 2 * products + lengths, 0).min(axis=1))))
    return np.array(values)


RANKINGS: dict[str, Ranking] = {
    "uncertainty": by_uncertainty,
    "diversity": by_diversity,
    "uncertainty_and_diversity": by_both,
}


def _errors(probabilities: Floats) -> Floats:
    """p - one-hot of the likeliest class, (n, classes)."""
    errors = probabilities.copy()
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1
    return errors


def _nearest(products: Floats, features: Floats, lengths: Floats) -> Floats:
    own = np.einsum("ij,ij->i", features, features)
    return np.sqrt(np.maximum(own[:, None] - 2 * products + lengths, 0).min(axis=1))

"""How far readers agree: on the type (kappa), on what is a lesion, and on its outline and diameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.weightstats import DescrStatsW

from lesionlabel.evaluation.metrics import FloatArray, IntArray, Interval, draw_patients, lesion_weights, wilson
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.matching import slice_dice
from lesionlabel.lesions.readings import OTHER

#: Below these, figures with intervals would say more than is known.
FEWEST_LESIONS, FEWEST_PATIENTS = 20, 10
#: Draws of patients behind an interval, and the largest share of them in which a figure may be undefined.
RESAMPLES, MOST_UNDEFINED = 1000, 0.05
#: Half the width of the limits of agreement, in standard deviations (Bland and Altman 1986).
LIMITS_SD = 1.96
ONE_CLASS = "Nearly all lesions are of one class to both readers, so kappa is not defined or says nothing."


@dataclass(frozen=True, eq=False)
class LesionRead:
    """One lesion of a patient (pseudonym) as each reader of its volume has it; None: read, and not marked."""

    patient: str
    by: Mapping[str, Lesion | None]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two readers on the volumes that both have read.

    confusion: lesions that both marked, (first's class, second's class), classes in the order of class_names, unweighted.
    found: lesions marked by both, by the first only, by the second only. malignant_against_benign: lesions that one calls a
    malignant class and the other a benign one. detection: 2 both / (2 both + first only + second only), what kappa tends to
    where the number of non-lesions has no bound (Hripcsak and Rothschild 2005). dice: median and quartiles over same_slice
    lesions, those that both outlined in one slice. diameter_mm: second less first, mean and limits of agreement. A figure is
    None where too few lesions or patients bear on it.
    """

    first: str
    second: str
    patients: int
    class_names: tuple[str, ...]
    confusion: IntArray
    found: tuple[int, int, int]
    malignant_against_benign: int
    detection: Interval | None
    agreement: Interval | None
    kappa: Interval | None
    same_slice: int
    dice: tuple[float, float, float] | None
    diameter_mm: tuple[float, float, float] | None
    why_no_kappa: str | None

    def to_json(self) -> dict[str, Any]:
        both, first_only, second_only = self.found
        intervals = {name: getattr(self, name) for name in ("detection", "agreement", "kappa")}
        return {
            "readers": [self.first, self.second],
            "patients": self.patients,
            "found": {"by_both": both, "by_first_only": first_only, "by_second_only": second_only},
            "classes": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "malignant_against_benign": self.malignant_against_benign,
            **{name: None if interval is None else interval.to_json() for name, interval in intervals.items()},
            "same_slice": self.same_slice,
            "dice": self.dice and dict(zip(("median", "low_quartile", "high_quartile"), self.dice, strict=True)),
            "diameter_mm": self.diameter_mm and dict(zip(("mean", "low", "high"), self.diameter_mm, strict=True)),
            "why_no_kappa": self.why_no_kappa,
        }


@dataclass(frozen=True, eq=False)
class ReaderAgreement:
    """All pairs of readers, and Fleiss' kappa on the lesions that all of three or more readers marked; None with the reason."""

    readers: tuple[str, ...]
    pairs: tuple[Pair, ...]
    fleiss: Interval | None
    no_fleiss: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "readers": list(self.readers),
            "pairs": [pair.to_json() for pair in self.pairs],
            "fleiss_kappa": None if self.fleiss is None else self.fleiss.to_json(),
            "no_fleiss_kappa": self.no_fleiss,
        }


def reader_agreement(lesions: Sequence[LesionRead], classes: ClassList, rng: np.random.Generator) -> ReaderAgreement:
    """Agreement of all readers of these lesions. rng draws the patients behind the intervals.

    Lesions of a patient with more than five weigh together as five in the figures, not in the tables. Intervals are 95 %
    percentile intervals over patients drawn with replacement; that of the plain agreement is Wilson's.
    """
    readers = tuple(sorted({reader for lesion in lesions for reader in lesion.by}))
    names = (*classes.names, *(() if OTHER in classes.names else (OTHER,)))
    pairs = []
    for first, second in combinations(readers, 2):
        read = [lesion for lesion in lesions if first in lesion.by and second in lesion.by]
        if any(lesion.by[first] is not None or lesion.by[second] is not None for lesion in read):
            pairs.append(_pair(first, second, read, names, classes, rng))
    fleiss, why = _fleiss(readers, lesions, names, rng)
    return ReaderAgreement(readers, tuple(pairs), fleiss, why)


def _pair(
    first: str, second: str, read: Sequence[LesionRead], names: tuple[str, ...], classes: ClassList, rng: np.random.Generator
) -> Pair:
    marked = [(lesion.patient, lesion.by[first], lesion.by[second]) for lesion in read]
    marked = [(patient, a, b) for patient, a, b in marked if a is not None or b is not None]
    both = [(patient, a, b) for patient, a, b in marked if a is not None and b is not None]
    patients = [patient for patient, _, _ in both]
    a_class = np.array([_index(a, names) for _, a, _ in both], dtype=np.int64)
    b_class = np.array([_index(b, names) for _, _, b in both], dtype=np.int64)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (a_class, b_class), 1)
    malignant, benign = classes.malignant_indices(), classes.benign_indices()
    across = (np.isin(a_class, malignant) & np.isin(b_class, benign)) | (np.isin(a_class, benign) & np.isin(b_class, malignant))
    same_slice = [(patient, a, b) for patient, a, b in both if a.contour.slice_index == b.contour.slice_index]
    dices = [slice_dice(a.contour, b.contour) for _, a, b in same_slice]
    of_dices = [patient for patient, _, _ in same_slice]
    diameters = np.array([b.diameter_mm - a.diameter_mm for _, a, b in both])
    too_few = why_undefined = _too_few(patients)
    kappa = None
    if too_few is None:
        kappa = _over_patients(lambda w: cohen(a_class, b_class, w, len(names)), patients, rng)
        why_undefined = ONE_CLASS if kappa is None else None
    return Pair(
        first=first,
        second=second,
        patients=len({patient for patient, _, _ in marked}),
        class_names=names,
        confusion=confusion,
        found=(len(both), sum(b is None for _, _, b in marked), sum(a is None for _, a, _ in marked)),
        malignant_against_benign=int(across.sum()),
        detection=_detection(marked, rng),
        agreement=wilson(a_class == b_class, lesion_weights(patients)) if too_few is None else None,
        kappa=kappa,
        same_slice=len(dices),
        dice=_quartiles(dices, of_dices) if _too_few(of_dices) is None else None,
        diameter_mm=_limits(diameters, patients) if too_few is None else None,
        why_no_kappa=why_undefined,
    )


def _index(lesion: Lesion, names: tuple[str, ...]) -> int:
    """The class's place in names; a class that is no more configured counts as "other"."""
    return names.index(lesion.label if lesion.label in names else OTHER)


def cohen(first: IntArray, second: IntArray, weights: FloatArray, classes: int) -> float:
    """Cohen's kappa of class indices (n,) with weights (n,), NaN where both readers name one class only (Cohen 1960)."""
    table = np.zeros((classes, classes))
    np.add.at(table, (first, second), weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: Any = cohens_kappa(table, return_results=False)
    return float(kappa)


def fleiss(counts: IntArray, weights: FloatArray) -> float:
    """Fleiss' kappa of counts (lesions, classes) of readers with weights (lesions,), NaN where only one class is named.

    Fleiss 1971. The library's takes no weights.
    """
    raters = int(counts[0].sum())
    share = weights @ counts / (weights.sum() * raters)
    alike = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    by_chance = float((share**2).sum())
    return float((weights @ alike / weights.sum() - by_chance) / (1 - by_chance)) if by_chance < 1 else float("nan")


def _fleiss(
    readers: Sequence[str], lesions: Sequence[LesionRead], names: tuple[str, ...], rng: np.random.Generator
) -> tuple[Interval | None, str | None]:
    if len(readers) < 3:
        return None, "Fleiss' kappa is for three readers or more."
    by_all = [(lesion.patient, [lesion.by.get(reader) for reader in readers]) for lesion in lesions]
    marked = [(patient, [x for x in found if x is not None]) for patient, found in by_all if None not in found]
    patients = [patient for patient, _ in marked]
    too_few = _too_few(patients, f"all {len(readers)} readers")
    if too_few is not None:
        return None, too_few
    named = [[_index(lesion, names) for lesion in found] for _, found in marked]
    counts = np.array([np.bincount(one, minlength=len(names)) for one in named])
    interval = _over_patients(lambda w: fleiss(counts, w), patients, rng)
    return interval, None if interval is not None else ONE_CLASS


def _detection(marked: Sequence[tuple[str, Lesion | None, Lesion | None]], rng: np.random.Generator) -> Interval | None:
    patients = [patient for patient, _, _ in marked]
    if _too_few(patients) is not None:
        return None
    both = np.array([a is not None and b is not None for _, a, b in marked])
    return _over_patients(lambda w: float(2 * (w @ both) / (w.sum() + w @ both)), patients, rng)


def _over_patients(
    statistic: Callable[[FloatArray], float], patients: Sequence[str], rng: np.random.Generator
) -> Interval | None:
    """A figure of weights (n,) with its percentile interval; None where it is undefined, or in too many of the draws."""
    weights = lesion_weights(patients)
    value = statistic(weights)
    drawn = np.array([statistic(weights * times) for times in draw_patients(patients, RESAMPLES, rng)])
    if np.isnan(value) or np.isnan(drawn).mean() > MOST_UNDEFINED:
        return None
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), float(weights.sum()))


def _too_few(patients: Sequence[str], marked_by: str = "both readers") -> str | None:
    if len(patients) >= FEWEST_LESIONS and len(set(patients)) >= FEWEST_PATIENTS:
        return None
    return (
        f"Too few for a figure: {len(patients)} lesions of {len(set(patients))} patients marked by {marked_by}; "
        f"{FEWEST_LESIONS} of {FEWEST_PATIENTS} are needed."
    )


def _weighted(values: Sequence[float] | FloatArray, patients: Sequence[str]) -> Any:
    return DescrStatsW(np.asarray(values), weights=lesion_weights(patients), ddof=1)


def _quartiles(values: Sequence[float], patients: Sequence[str]) -> tuple[float, float, float]:
    low, median, high = (round(float(v), 3) for v in _weighted(values, patients).quantile([0.25, 0.5, 0.75], return_pandas=False))
    return median, low, high


def _limits(differences: FloatArray, patients: Sequence[str]) -> tuple[float, float, float]:
    weighted = _weighted(differences, patients)
    mean, spread = float(weighted.mean), LIMITS_SD * float(weighted.std)
    return round(mean, 2), round(mean - spread, 2), round(mean + spread, 2)

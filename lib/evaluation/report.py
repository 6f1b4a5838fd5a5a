"""The report on a cross-validated recipe, as JSON and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.calibration import Calibration, cross_fitted_probabilities, fit_temperature, measure_calibration
from lesionlabel.evaluation.crossval import OutOfFold, decided_blind, headline_lesions, is_simulated
from lesionlabel.evaluation.diameter import diameter_only
from lesionlabel.evaluation.metrics import Figures, Interval, lesion_weights, measure, wilson
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import BIASED, Cohort
from lesionlabel.lesions.errors import InputError

PHANTOM_SENTENCE = "These are simulated lesions: a phantom result says nothing about patients."
HOW_TO_READ = (
    "Shares have 95 % Wilson intervals, which take lesions as independent; macro, log loss, Brier and slope have 95 % intervals "
    "over patients drawn with replacement. Folds share training data and one seed was run: the intervals ignore both. "
    "A patient with more than 5 lesions weighs as 5. Probabilities are scored with the temperature of the other folds."
)


@dataclass(frozen=True, eq=False)
class Report:
    """What a cross-validated recipe did.

    headline: on lesions decided without sight of the model's answer and proven by pathology, follow-up or other imaging; None
    where there is none. tested: on all lesions decided without that sight. saw_model: lesions kept out of both, because their
    reader saw it or may have seen it. weak_proof: those kept out of the headline. temperature: for the network trained on all
    lesions, from the tested lesions' logits.
    """

    out_of_fold: OutOfFold
    simulated: bool
    headline: Figures | None
    tested: Figures
    calibration: Calibration
    diameter_accuracy: Interval
    temperature: float
    saw_model: int
    weak_proof: int

    def to_json(self) -> dict[str, Any]:
        """Everything, with the logits of each tested lesion, so that other figures can be computed later."""
        result = self.out_of_fold
        rows = zip(result.cohort.as_tested(), result.folds, result.logits, strict=True)
        return {
            "simulated": self.simulated,
            "statement": PHANTOM_SENTENCE if self.simulated else None,
            "how_to_read": HOW_TO_READ,
            "snapshot": result.cohort.digest,
            "class_counts": result.cohort.counts(),
            "patients": len(set(result.cohort.patients)),
            "recipe": result.recipe.to_json(),
            "seed": result.seed,
            "fold_sizes": np.bincount(result.folds).tolist(),
            "trained": list(result.trained),
            "headline": None if self.headline is None else self.headline.to_json(),
            "tested": self.tested.to_json(),
            "left_out": {"saw_model": self.saw_model, "weak_proof": self.weak_proof, "dropped": result.cohort.dropped},
            "decided_again": _decided_again(result.cohort),
            "calibration": self.calibration.to_json(),
            "temperature": self.temperature,
            "diameter_only_accuracy": self.diameter_accuracy.to_json(),
            "out_of_fold": [
                {
                    "lesion_id": lesion.lesion_id,
                    "patient": lesion.patient,
                    "label": lesion.label,
                    "fold": int(fold),
                    "saw_model": lesion.saw_model,
                    "proof": str(lesion.proof),
                    "logits": np.round(logits, 5).tolist(),
                }
                for lesion, fold, logits in rows
            ],
        }

    def to_markdown(self) -> str:
        """The report for people: figures with their intervals, and how to read them."""
        result = self.out_of_fold
        parts = [f"**{PHANTOM_SENTENCE}**"] if self.simulated else []
        counts = ", ".join(f"{count} {name}" for name, count in result.cohort.counts().items())
        sizes = "/".join(str(n) for n in np.bincount(result.folds))
        parts.append(
            f"Cross-validation in {result.recipe.n_folds} folds by patient ({sizes} lesions) of {len(result.cohort)} lesions "
            f"({counts}) of {len(set(result.cohort.patients))} patients; profile {result.recipe.profile}, seed {result.seed}, "
            f"{result.trained[0]['images']} images and {result.trained[0]['steps']} steps in the first fold."
        )
        if result.recipe.reduced:
            parts.append(f"Reduced against the paper: {'; '.join(result.recipe.reduced)}.")
        if self.headline is None:
            parts.append(
                "No headline figures: no tested lesion is proven by pathology, follow-up or other imaging. "
                "What follows rests on readers' opinion."
            )
            parts.append(_figures_text(self.tested))
        else:
            parts.append(_figures_text(self.headline))
            if self.weak_proof:
                parts.append(f"With the {self.weak_proof} lesions of weaker proof:\n\n{_figures_text(self.tested)}")
        if self.saw_model:
            parts.append(
                f"{self.saw_model} lesion(s) decided after seeing the model's answer, or perhaps so, "
                "trained but are in no figure."
            )
        again = _decided_again(result.cohort)
        if again:
            parts.append(
                f"{again} lesion(s) were decided again after the model's answer was seen: they trained as decided last, and are "
                "tested as decided before it."
            )
        if result.cohort.dropped:
            parts.append(
                f"{result.cohort.dropped} lesion(s) that were decided blind count no more since an answer was seen. {BIASED}"
            )
        parts.append(f"{_calibration_text(self.calibration)} Temperature {self.temperature:.3f}.")
        parts.append(f"A classifier on diameter alone: {self.diameter_accuracy.percent()}.")
        parts.append(HOW_TO_READ)
        return "\n\n".join(parts) + "\n"


def make_report(result: OutOfFold, classes: ClassList) -> Report:
    """The report on out-of-fold answers. Raises InputError when no lesion may be tested."""
    cohort = result.cohort.as_tested()
    labels = cohort.labels
    blind = decided_blind(cohort)
    strong = np.array([lesion.proof.is_strong for lesion in cohort])
    if not blind.any():
        raise InputError(
            f"All {len(cohort)} lesions were decided after seeing the model's answer, or perhaps so, so none may be tested. "
            "Curate lesions with the model's answer hidden."
        )
    patients = np.asarray(cohort.patients)
    probabilities = np.full_like(result.logits, np.nan)
    probabilities[blind] = cross_fitted_probabilities(
        result.logits[blind], labels[blind], patients[blind].tolist(), result.folds[blind]
    )

    def figures(chosen: NDArray[np.bool_]) -> Figures:
        rng = np.random.default_rng([result.seed, 1000])
        return measure(labels[chosen], probabilities[chosen], patients[chosen].tolist(), classes, rng)

    best = headline_lesions(cohort)
    by_diameter = diameter_only(cohort, result.folds) == labels
    return Report(
        out_of_fold=result,
        simulated=is_simulated(cohort),
        headline=figures(blind & strong) if (blind & strong).any() else None,
        tested=figures(blind),
        calibration=measure_calibration(
            labels[best], probabilities[best], patients[best].tolist(), np.random.default_rng([result.seed, 1001])
        ),
        diameter_accuracy=wilson(by_diameter[best], lesion_weights(patients[best].tolist())),
        temperature=fit_temperature(result.logits[blind], labels[blind], patients[blind].tolist()),
        saw_model=int((~blind).sum()),
        weak_proof=int((blind & ~strong).sum()),
    )


def _decided_again(cohort: Cohort) -> int:
    return sum(lesion.blind is not None for lesion in cohort)


def _calibration_text(calibration: Calibration) -> str:
    null = calibration.ece_null
    return (
        f"Calibration slope {calibration.slope.plain()} (1 is right, below 1 overconfident). ECE {calibration.ece:.3f}; a "
        f"perfectly calibrated model would show {null.value:.3f} [{null.low:.3f}, {null.high:.3f}] on {null.of:.0f} lesions."
    )


def _figures_text(figures: Figures) -> str:
    names = figures.class_names
    harm = figures.malignant_called_benign
    lines = [
        f"On {figures.lesions} held-out lesions of {figures.patients} patients: accuracy {figures.accuracy.percent()}, "
        f"malignant called benign {harm.percent() if harm else 'not measured'}, macro {figures.macro.percent()}, "
        f"log loss {figures.log_loss.plain()}, Brier {figures.brier.plain()}. "
        f"Always naming the commonest class: {100 * figures.majority:.1f} %.",
        "",
        "| true \\ predicted | " + " | ".join(names) + " | sensitivity | specificity |",
        "| --- |" + " --- |" * (len(names) + 2),
    ]
    for name, row, sensitivity, specificity in zip(
        names, figures.confusion, figures.sensitivity, figures.specificity, strict=True
    ):
        counts = " | ".join(str(n) for n in row)
        shares = " | ".join("not measured" if x is None else x.percent() for x in (sensitivity, specificity))
        lines.append(f"| {name} | {counts} | {shares} |")
    return "\n".join(lines)

"""An experiment's results for other programs: every answer as CSV, everything in numbers as JSON. Pseudonyms only."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy.special import softmax

from lesionlabel.evaluation.metrics import Interval, lesion_weights
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.experiment import paper
from lesionlabel.experiment.findings import Comparison, Findings, PointFigures
from lesionlabel.experiment.outcomes import FloatArray, Outcomes
from lesionlabel.experiment.plan import Point

LIBRARIES = ("lesionlabel", "torch", "numpy", "scipy", "scikit-learn", "scikit-image", "statsmodels", "monai")


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    return {name: version(name) for name in LIBRARIES}


def weights(outcomes: Outcomes) -> FloatArray:
    """The weight of each lesion in every figure, (lesions,): 0 where it is not tested, less than 1 for a patient with many."""
    at = np.flatnonzero(outcomes.tested)
    found = np.zeros(len(outcomes.cohort))
    found[at] = lesion_weights([outcomes.cohort.patients[i] for i in at])
    return found


def answers_csv(outcomes: Outcomes) -> str:
    """A row per schedule, point, seed and lesion. The weighted mean of "true" = "predicted" over a seed is its accuracy."""
    names, cohort = outcomes.cohort.class_names, outcomes.cohort
    counted = weights(outcomes)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["schedule", "arm", "classic", "added", "seed", "lesion", "patient", "fold", "tested", "weight", "true", "predicted"]
    writer.writerow([*head, *(f"p {name}" for name in names)])
    for (schedule, point), logits in outcomes.logits.items():
        probabilities = softmax(logits, axis=2)
        for row, seed in enumerate(outcomes.plan.seeds):
            for i, lesion in enumerate(cohort):
                p = probabilities[row, i]
                fold, tested = int(outcomes.folds[row, i]) + 1, int(outcomes.tested[i])
                where = [schedule, point.arm, point.classic, point.added, seed, lesion.lesion_id, lesion.patient, fold, tested]
                answer = [f"{counted[i]:.6g}", lesion.label, names[int(p.argmax())], *(f"{x:.6g}" for x in p)]
                writer.writerow([*where, *answer])
    return text.getvalue()


def results_json(outcomes: Outcomes, findings: Findings) -> str:
    """Everything but the single answers."""
    plan, cohort = outcomes.plan, outcomes.cohort
    content = {
        "verdict": findings.verdict,
        "statement": PHANTOM_SENTENCE if plan.simulated else None,
        "simulated": plan.simulated,
        "snapshot": plan.cohort,
        "code_version": plan.code_version,
        "versions": versions(),
        "device": plan.device,
        "phantom": plan.phantom,
        "profile": asdict(plan.profile),
        "seeds": list(plan.seeds),
        "class_names": list(plan.class_names),
        "class_counts": cohort.counts(),
        "lesions": len(cohort),
        "tested": int(outcomes.tested.sum()),
        "decided_blind": int(outcomes.decided_blind.sum()),
        "opinion_only": outcomes.opinion_only,
        "patients": len(set(cohort.patients)),
        "warnings": list(outcomes.warnings),
        "figures": [_figures(outcomes, figures) for figures in findings.figures],
        "primary": None if findings.primary is None else _comparison(findings.primary),
        "with_weaker_proof": None if findings.with_weaker_proof is None else _comparison(findings.with_weaker_proof),
        "secondary": [_comparison(comparison) for comparison in findings.secondary],
        "chosen_as_in_the_paper": [_point(point) for point in findings.chosen_as_in_the_paper],
        "fresh": [
            {"schedule": schedule, **_point(point), "accuracy": values.tolist()}
            for (schedule, point), values in outcomes.fresh.items()
        ],
        "generators": [
            {
                "network": made.network,
                "seed": made.seed,
                "fold": made.fold + 1,
                "patients": list(made.patients),
                "seconds": round(made.seconds, 1),
                "diversity": dict(made.diversity),
                "quality": made.quality,
                "memorisation": made.memorisation,
                "membership": made.membership,
            }
            for made in outcomes.generators
        ],
        "seconds": {part: round(seconds, 1) for part, seconds in outcomes.seconds.items()},
        "wall_seconds": round(outcomes.wall_seconds, 1),
        "paper": {
            "accuracy": [{**_point(point), **asdict(known)} for point, known in paper.ACCURACY.items()],
            "confusion": [{**_point(point), **asdict(matrix)} for point, matrix in paper.MATRICES.items()],
            "class_names": list(paper.CLASSES),
        },
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _figures(outcomes: Outcomes, figures: PointFigures) -> dict[str, Any]:
    size = outcomes.sizes.get((figures.schedule, figures.point))
    names = outcomes.plan.class_names
    return {
        "schedule": figures.schedule,
        **_point(figures.point),
        "size": None if size is None else size._asdict(),
        "accuracy": figures.accuracy,
        "malignant_called_benign": figures.malignant_called_benign,
        "accuracy_of_seeds": list(figures.of_seeds),
        "macro_sensitivity": figures.macro_sensitivity,
        "sensitivity": dict(zip(names, figures.sensitivity, strict=True)),
        "specificity": dict(zip(names, figures.specificity, strict=True)),
        "auc": dict(zip(names, figures.auc, strict=True)),
        "confusion": figures.confusion.tolist(),
        "log_loss": figures.log_loss,
        "brier": figures.brier,
        "slope": figures.slope,
        "fresh": figures.fresh,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    fields = {name: value for name, value in vars(comparison).items() if name not in ("first", "second")}
    return {"first": _point(comparison.first), "second": _point(comparison.second), **fields}


def _point(point: Point) -> dict[str, Any]:
    return {"arm": point.arm, "classic": point.classic, "added": point.added}


def _plain(value: Any) -> Any:
    """JSON's own kinds: intervals as they give themselves, numbers to six digits, null where a number is not one."""
    if isinstance(value, Interval):
        return _plain(value.to_json())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value

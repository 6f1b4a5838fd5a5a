"""The phantom's calibration rule as one command, and the lock that keeps the phantom from changing unnoticed.

    python benchmarks/calibrate_phantom.py --arms none                 # minutes
    python benchmarks/calibrate_phantom.py                             # the whole rule: a GPU, or days on two CPU cores
    python benchmarks/calibrate_phantom.py --lock                      # after a wanted change: store parameters and code hash

Cohort seeds 0-9 only; registered experiments use seeds of 100 and above. The momentum 0.9, Glorot-uniform weights and zero
bias of the classifier are fixed and no knobs. A result on the phantom says nothing about patients.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lesionlabel.augment.classic import originals
from lesionlabel.lesions.splits import patient_folds, refuse_leak
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.lock import read_lock, write_lock
from lesionlabel.phantom.parameters import VARIANTS, LesionParameters
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.dataset import training_set

#: Classic images added per fold; training uses two of three folds.
AMOUNTS = {"none": 0, "classic5000": 5000, "classic15000": 15000}
TARGETS = {
    "none": "accuracy 57 ± 8 %",
    "classic5000": "accuracy 79 ± 8 %, cyst sensitivity >= 95 %, >= 85 % of errors between metastasis and hemangioma",
    "classic15000": "within 2 points of classic5000",
}
PAPER_EPOCHS, PAPER_FOLDS, SEEDS = 150, 3, range(10)


@dataclass(frozen=True)
class Outcome:
    """What one cohort showed. confusion: (true, predicted) over the tested folds."""

    confusion: list[list[int]]
    seconds: float

    @property
    def accuracy(self) -> float:
        table = np.array(self.confusion)
        return float(np.trace(table) / table.sum())

    @property
    def cyst_sensitivity(self) -> float:
        row = self.confusion[0]
        return row[0] / max(sum(row), 1)

    @property
    def hard_pair_share(self) -> float:
        """Share of all errors that confuse metastasis and hemangioma; NaN without an error."""
        table = np.array(self.confusion)
        errors = table.sum() - np.trace(table)
        return float((table[1, 2] + table[2, 1]) / errors) if errors else float("nan")


def run_cohort(
    seed: int,
    arm: str,
    parameters: LesionParameters,
    preset: str,
    folds: int,
    epochs: int,
    precision: str,
    device: str,
    fresh: int,
) -> Outcome:
    started = time.monotonic()
    cohort = make_cohort(None, seed, preset, parameters)
    fold_of = patient_folds(cohort.labels, cohort.patients, PAPER_FOLDS, np.random.default_rng([seed, 1]))
    confusion = np.zeros((3, 3), dtype=int)
    others = [make_cohort(None, SEEDS[(seed + i) % len(SEEDS)], preset, parameters) for i in range(1, fresh + 1)]
    for fold in range(folds):
        train, test = cohort.subset(np.flatnonzero(fold_of != fold)), cohort.subset(np.flatnonzero(fold_of == fold))
        refuse_leak(train.patients, test.patients)
        images, labels = training_set(train, AMOUNTS[arm] * (PAPER_FOLDS - 1), 1000 * seed + fold)
        config = ClassifierConfig(epochs=epochs, seed=1000 * seed + fold, precision=precision, device=device)  # pyright: ignore[reportArgumentType]
        network = train_classifier(images, labels, config, n_classes=3).network
        for tested in others or [test]:
            with torch.no_grad():
                predicted = network(originals(tested)).argmax(dim=1).numpy()
            np.add.at(confusion, (tested.labels, predicted), 1)
    return Outcome(confusion.tolist(), time.monotonic() - started)


def summarise(arm: str, outcomes: list[Outcome]) -> dict[str, float | int | list[list[int]]]:
    accuracy = np.array([o.accuracy for o in outcomes]) * 100
    total = np.sum([o.confusion for o in outcomes], axis=0)
    summary: dict[str, float | int | list[list[int]]] = {
        "cohorts": len(outcomes),
        "accuracy_mean": round(float(accuracy.mean()), 1),
        "accuracy_sd": round(float(accuracy.std(ddof=1)), 1) if len(outcomes) > 1 else 0.0,
        "cyst_sensitivity_mean": round(100 * float(np.mean([o.cyst_sensitivity for o in outcomes])), 1),
        "errors_between_metastasis_and_hemangioma": round(100 * float(np.nanmean([o.hard_pair_share for o in outcomes])), 1),
        "confusion": total.tolist(),
    }
    print(f"{arm}: {json.dumps(summary)}\n  target: {TARGETS[arm]}")
    return summary


def changed(parameters: LesionParameters, settings: list[str]) -> LesionParameters:
    """The parameters with NAME=VALUE settings (values as JSON) in place, for one trial."""
    for setting in settings:
        name, _, value = setting.partition("=")
        read = json.loads(value)
        parameters = replace(parameters, **{name: tuple(read) if isinstance(read, list) else read})
    return parameters


def merged(files: list[Path]) -> dict[str, object]:
    """The runs as the lock keeps them: each with its results, its targets and what was reduced; refused for other parameters."""
    runs = [json.loads(path.read_text()) for path in files]
    now = json.loads(json.dumps(asdict(VARIANTS["calibrated"])))
    for path, run in zip(files, runs, strict=True):
        if run.pop("parameters") != now:
            raise SystemExit(f"{path} was run with other parameters than the calibrated ones. Run it again.")
    complete = any(not run["reduced"] for run in runs)
    return {"status": "complete" if complete else "preliminary", "reduced": not complete, "targets": TARGETS, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=len(SEEDS), help="how many of the seeds 0-9 (10)")
    parser.add_argument("--folds", type=int, default=PAPER_FOLDS, help="how many of the 3 folds are tested (3)")
    parser.add_argument("--epochs", type=int, default=PAPER_EPOCHS, help="the paper's are 150")
    parser.add_argument("--fresh", type=int, default=0, help="score on that many whole other calibration cohorts, not the fold")
    parser.add_argument("--arms", nargs="+", choices=list(AMOUNTS), default=list(AMOUNTS))
    parser.add_argument("--preset", default="sharp")
    parser.add_argument("--variant", choices=list(VARIANTS), default="calibrated")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="a trial with other parameters")
    parser.add_argument(
        "--lock", action="store_true", help="store parameters and code hash in lib/phantom/phantom.lock, and stop"
    )
    parser.add_argument("--trials", type=int, help="with --lock: number of parameter trials so far")
    parser.add_argument("--calibration", type=Path, nargs="+", help="with --lock: JSON files of what was run, written by --out")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    options = parser.parse_args()
    if options.lock:
        kept = read_lock() if options.trials is None or options.calibration is None else {}
        trials = kept["parameter_trials"] if options.trials is None else options.trials
        calibration = kept["calibration"] if options.calibration is None else merged(options.calibration)
        print(f"locked: {write_lock(trials, calibration)}")
        return

    parameters = changed(VARIANTS[options.variant], options.set)
    reduced = []
    if options.cohorts < len(SEEDS):
        reduced.append(f"{options.cohorts} of 10 cohorts")
    if options.folds < PAPER_FOLDS:
        reduced.append(f"{options.folds} of 3 folds tested")
    if options.epochs != PAPER_EPOCHS:
        reduced.append(f"{options.epochs} instead of 150 epochs")
    if options.fresh:
        reduced.append(f"scored on {options.fresh} other cohorts of seeds 0-9 instead of the held-out folds")
    reduced += [f"arm {arm} not run" for arm in AMOUNTS if arm not in options.arms]
    print(f"phantom {options.preset}, {options.variant}, trial settings: {options.set or 'none'}")
    print(f"reduced against the rule: {'; '.join(reduced) or 'nothing'}")
    results = {}
    for arm in options.arms:
        outcomes = []
        for seed in SEEDS[: options.cohorts]:
            outcome = run_cohort(
                seed,
                arm,
                parameters,
                options.preset,
                options.folds,
                options.epochs,
                options.precision,
                options.device,
                options.fresh,
            )
            print(
                f"  {arm} cohort {seed}: {100 * outcome.accuracy:.1f} % {outcome.confusion} {outcome.seconds:.0f} s", flush=True
            )
            outcomes.append(outcome)
        results[arm] = summarise(arm, outcomes)
    if options.out:
        record = {"preset": options.preset, "parameters": asdict(parameters), "reduced": reduced, "results": results}
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Does anything but the lesion give its class away? 2,000 simulated lesions, simple models, folds by patient.

    python benchmarks/phantom_shortcuts.py --lesions 2000

A result on the phantom says nothing about patients.
"""

from __future__ import annotations

import argparse

from lesionlabel.phantom.cohort import PAPER_COUNTS, make_cohort
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.shortcuts import FORBIDDEN, guess_class, lesion_summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="0-9 are for calibration")
    parser.add_argument("--preset", default="sharp")
    parser.add_argument("--variant", choices=list(VARIANTS), default="calibrated")
    options = parser.parse_args()
    paper = sum(PAPER_COUNTS.values())
    counts = {name: round(options.lesions * count / paper) for name, count in PAPER_COUNTS.items()}
    cohort = make_cohort(counts, options.seed, options.preset, VARIANTS[options.variant])
    print(f"{len(cohort)} lesions {cohort.counts()} of {len(set(cohort.patients))} patients, {options.preset}, {options.variant}")
    print("| from | model | accuracy | 95 % interval | majority | verdict |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, features in FORBIDDEN.items():
        for model in ("forest", "logistic"):
            guess = guess_class(cohort, features, model)
            verdict = "a shortcut" if guess.beats_majority else "none" if guess.covers_majority else "none (below the majority)"
            print(_row(name, model, guess.accuracy, guess.low, guess.high, guess.majority, verdict))
    for model in ("logistic", "forest"):
        guess = guess_class(cohort, lesion_summary, model)
        name = "lesion mean, SD and edge sharpness"
        print(_row(name, model, guess.accuracy, guess.low, guess.high, guess.majority, "reported; may tell"))


def _row(name: str, model: str, accuracy: float, low: float, high: float, majority: float, verdict: str) -> str:
    return f"| {name} | {model} | {accuracy:.1%} | {low:.1%} – {high:.1%} | {majority:.1%} | {verdict} |"


if __name__ == "__main__":
    main()

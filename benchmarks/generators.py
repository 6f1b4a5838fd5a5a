"""DCGAN, ACGAN and the modern arm on a phantom cohort: quality, copies, membership, and what a classifier learns from them.

Three folds by patient: each trains its generators on the other two and measures them against its own patients. Each pair of fold
and network is a job that writes one result; a run that was stopped goes on. A result on simulated lesions says nothing about
patients.

    python benchmarks/generators.py --jobs 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lesionlabel.evaluation.gan_quality import FIGURES
from lesionlabel.evaluation.generator_report import measure_generator
from lesionlabel.evaluation.membership import membership_auc
from lesionlabel.evaluation.metrics import lesion_weights, over_patients
from lesionlabel.imaging.synthetic import PREFIX
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.splits import patient_folds
from lesionlabel.networks.gans import ARMS, require_arm
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.generator_training import PROFILES, GeneratorRecipe, train_unmeasured
from lesionlabel.registry.generators import ALL_CLASSES, generator_of
from lesionlabel.settings import Settings

SHOWN = ("kid", "precision", "recall", "density", "coverage", "log_radiomics", "feature_diversity")


def run_job(arm: str, fold: int, out: Path, recipe: GeneratorRecipe, cohort_seed: int) -> None:
    """Train one network's generators of one fold, measure them, and write the result."""
    cohort = make_cohort(None, cohort_seed)
    settings = Settings(home=out / "home" / f"{arm}-{fold}")
    network = require_arm(arm)
    names = [ALL_CLASSES] if network == "acgan" else [generator_of(label) for label in cohort.class_names]
    rois, seconds, folds = {}, 0.0, None
    for name in names:
        trained = train_unmeasured(cohort, settings, name, network, recipe, 0, fold, progress=_tell)
        rois |= trained.rois
        seconds += trained.gan.seconds
        trained.checkpoint.unlink()
        folds = trained.folds
    assert folds is not None
    report = measure_generator(rois, cohort, folds, fold, settings.classes, 0, recipe.measuring, progress=_tell)
    assert report.learned is not None
    content = {
        "arm": arm,
        "fold": fold,
        "recipe": {"profile": recipe.profile, "width": recipe.width, "steps": recipe.steps},
        "cohort": cohort.digest,
        "training_seconds": round(seconds),
        "quality": report.quality_json(),
        "memorisation": report.memorisation_json(),
        "membership": report.membership.to_json(),
        "learned": report.learned.to_json(),
        "right": {"synthetic": report.learned.synthetic.right.tolist(), "real": report.learned.real.right.tolist()},
    }
    np.savez_compressed(out / f"{PREFIX}{arm}-{fold}.npz", **{name: images.numpy() for name, images in rois.items()})
    (out / f"{arm}-{fold}.json").write_text(json.dumps(content, indent=1))


def table(out: Path, cohort_seed: int) -> str:
    """The figures of all jobs in out, in Markdown."""
    cohort = make_cohort(None, cohort_seed)
    folds = patient_folds(cohort.labels, cohort.patients, 3, np.random.default_rng([0, 0]))
    results = {arm: [json.loads(p.read_text()) for p in sorted(out.glob(f"{arm}-*.json"))] for arm in ARMS}
    lines = [
        "| class | figure | real against held-out real | " + " | ".join(ARMS) + " |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for label in cohort.class_names:
        for name in SHOWN:
            floor = _spread([r["quality"][label]["figures"][name]["floor"]["value"] for r in results["dcgan"]])
            cells = [_spread([r["quality"][label]["figures"][name]["generator"]["value"] for r in results[arm]]) for arm in ARMS]
            title = "log Fréchet radiomics, lower is better" if name == "log_radiomics" else FIGURES[name][0]
            lines.append(f"| {label} | {title} | {floor} | {' | '.join(cells)} |")
        for title, read in (
            ("copy rate, 5 % is expected", lambda m: f"{100 * m['copy_rate']:.0f} %"),
            ("copies of patients", lambda m: m["outcome"]),
        ):
            cells = [", ".join(read(r["memorisation"][label]) for r in results[arm]) for arm in ARMS]
            lines.append(f"| {label} | {title} | | {' | '.join(cells)} |")
    cells = [_membership(out, cohort, folds, arm) for arm in ARMS]
    lines.append(f"| all | membership AUC, .5 is chance | | {' | '.join(cells)} |")
    sides = [_learned(results[arm], cohort, folds) for arm in ARMS]
    lines.append(f"| all | trained on it alone, tested on real | {sides[0][1]} | {' | '.join(s for s, _ in sides)} |")
    seconds = [f"{np.mean([r['training_seconds'] for r in results[arm]]) / 60:.0f} min" for arm in ARMS]
    lines.append(f"| all | training of a fold's generators, wall clock | | {' | '.join(seconds)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _membership(out: Path, cohort: Cohort, folds: np.ndarray, arm: str) -> str:
    pairs = []
    for path in sorted(out.glob(f"{PREFIX}{arm}-*.npz")):
        fold = int(path.stem.rpartition("-")[2])
        with np.load(path, allow_pickle=False) as archive:
            for label in cohort.class_names:
                of_class = cohort.labels == cohort.class_names.index(label)
                seen = cohort.subset(np.flatnonzero(of_class & (folds != fold)))
                held_out = cohort.subset(np.flatnonzero(of_class & (folds == fold)))
                pairs.append((torch.from_numpy(archive[label]), seen, held_out))
    return membership_auc(pairs, 0).auc.plain()


def _learned(results: list[dict[str, Any]], cohort: Cohort, folds: np.ndarray) -> tuple[str, str]:
    """Accuracy over the lesions of all folds, of training on synthetic and on real, with intervals over patients."""
    texts = []
    for side in ("synthetic", "real"):
        right, patients = [], []
        for result in results:
            right += result["right"][side]
            patients += [cohort.patients[i] for i in np.flatnonzero(folds == result["fold"])]
        values = np.array(right)
        weights = lesion_weights(patients)
        rng = np.random.default_rng(0)
        texts.append(over_patients(lambda w, v=values: w @ v / w.sum(axis=1), patients, weights, rng).percent())
    return texts[0], texts[1]


def _recipe(asked: argparse.Namespace) -> GeneratorRecipe:
    recipe = PROFILES[asked.profile]
    if asked.width:
        recipe = replace(recipe, width=asked.width)
    if asked.steps:
        recipe = replace(recipe, steps=asked.steps, measuring=replace(recipe.measuring, steps=asked.steps))
    return recipe


def _tell(share: float, what: str) -> None:
    print(f"{share:6.1%}  {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/generators"))
    parser.add_argument("--profile", default="quick", choices=list(PROFILES))
    parser.add_argument("--width", type=int, help="another width than the profile's, to try the whole out in minutes")
    parser.add_argument("--steps", type=int, help="other steps than the profile's, of all networks")
    parser.add_argument("--cohort-seed", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, one thread each where there are several")
    parser.add_argument("--only", metavar="ARM:FOLD", help="run this job in this process")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.only:
        arm, _, fold = asked.only.partition(":")
        run_job(arm, int(fold), asked.out, _recipe(asked), asked.cohort_seed)
        return
    wanted = [(arm, fold) for fold in range(3) for arm in ("modern", "dcgan", "acgan")]
    missing = [f"{arm}:{fold}" for arm, fold in wanted if not (asked.out / f"{arm}-{fold}.json").exists()]
    environment = {**os.environ, **({"OMP_NUM_THREADS": "1"} if asked.jobs > 1 else {})}
    base = [sys.executable, __file__, "--out", str(asked.out), "--profile", asked.profile]
    base += ["--cohort-seed", str(asked.cohort_seed)]
    base += [word for name in ("width", "steps") if getattr(asked, name) for word in (f"--{name}", str(getattr(asked, name)))]

    def run(job: str) -> None:
        with (asked.out / f"{job.replace(':', '-')}.log").open("w") as log:
            subprocess.run([*base, "--only", job], env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
        print(f"done {job}", flush=True)

    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(run, missing))
    text = table(asked.out, asked.cohort_seed)
    print(text)
    (asked.out / "table.md").write_text(text + "\n")


if __name__ == "__main__":
    main()

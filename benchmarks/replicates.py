"""What an arm brings on the phantom, where the unit of replication is the cohort: ten cohorts, each with all arms, paired.

    python benchmarks/replicates.py --out DIR --jobs 2

Every network is scored on the same 6,000 fresh lesions, whose own sampling error is not in the intervals. Within a cohort
networks are averaged over folds; the test and the interval are over cohorts. Settings are those of a profile of `lesionlabel
experiment`, at equal steps, one seed a cohort, another for each. One comparison is primary, the others are corrected (Holm). What
is finished is not done again. A result on the phantom says nothing about patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from lesionlabel.experiment.collect import collect
from lesionlabel.experiment.plan import Plan, Point
from lesionlabel.experiment.profiles import make_plan
from lesionlabel.experiment.run import claim, run_tasks
from lesionlabel.experiment.statistics import holm, sign_flip
from lesionlabel.experiment.tasks import Task, Work
from lesionlabel.lesions.files import write_atomically
from lesionlabel.phantom.cohort import PAPER_COUNTS, make_cohort
from lesionlabel.settings import Settings

#: Of cohorts; 0 to 9 are for calibration.
FIRST_SEED = 100
FRESH = 6000
ARMS = ("duplicates", "dcgan", "oracle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cohorts", type=int, default=10)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    if asked.cohorts < 2:
        parser.error("--cohorts: an interval needs at least 2")
    rows: list[dict[Point, float]] = []
    for seed in range(FIRST_SEED, FIRST_SEED + asked.cohorts):
        rows.append(scores(seed, asked.profile, asked.out / f"cohort-{seed}", asked.jobs))
        print(f"cohort {seed}: " + ", ".join(f"{p.title} {100 * x:.1f} %" for p, x in rows[-1].items()), flush=True)
    text = table(rows, asked.profile)
    (asked.out / "table.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


def scores(seed: int, profile: str, folder: Path, jobs: int) -> dict[Point, float]:
    """Mean accuracy on fresh lesions of each training set's networks, in the cohort drawn with the seed."""
    cohort = make_cohort(PAPER_COUNTS, seed)
    plan = replace(at_equal_steps(make_plan(cohort, profile, ARMS, 1)), seeds=(seed,))
    work = Work(cohort, plan, Settings(home=folder / "work"), folder)

    def told(task: Task, done: int, of: int, left: float) -> None:
        print(f"  {done} of {of}: {task.title}", flush=True)

    # The same fresh lesions for all cohorts, and minutes to draw.
    drawn = Task("pool", pool="fresh").path
    others = [path for path in folder.parent.glob(f"cohort-*/{drawn}") if path != folder / drawn]
    claim(work)
    if others and not (folder / drawn).exists():
        write_atomically(folder / drawn, others[0].read_bytes())
    seconds = run_tasks(work, jobs, told)
    outcomes = collect(work, seconds, ())
    return {point: float(found.mean()) for (_, point), found in outcomes.fresh.items()}


def at_equal_steps(plan: Plan) -> Plan:
    """The fixed amounts and no augmentation, under steps only."""
    fixed = (Point("classic"), plan.filter_point, *plan.profile.primary[::-1])
    points = tuple(point for point in plan.points if point in fixed or point.arm == "oracle")
    return replace(plan, points=points, profile=replace(plan.profile, schedules=("steps",), measured_seeds=0, fresh=FRESH))


def table(rows: Sequence[dict[Point, float]], profile: str) -> str:
    """Means over cohorts, and differences from classic with duplicates, with 95 % intervals of Student's t and sign-flip p."""
    values = {point: np.array([row[point] for row in rows]) for point in rows[0]}
    [base] = [point for point in values if point.arm == "duplicates"]
    others = [point for point in values if point != base]
    p = {point: sign_flip(values[point] - values[base], np.random.default_rng(0)) for point in others}
    secondary = [point for point in others if point.arm != "dcgan"]
    corrected = dict(zip(secondary, holm([p[point] for point in secondary]), strict=True))
    what = f"{len(rows)} cohorts from seed {FIRST_SEED}, profile {profile}, equal steps, one seed each; {FRESH} fresh lesions"
    lines = [what, "", f"| training set | accuracy | less {base.title}, points | p |", "| --- | --- | --- | --- |"]
    for point, found in values.items():
        mean, low, high = interval(found)
        cells = [point.title, f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]", "", ""]
        if point != base:
            mean, low, high = interval(found - values[base])
            cells[2] = f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            cells[3] = f"{corrected[point]:.3f} (Holm)" if point in corrected else f"{p[point]:.3f} (primary)"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean with the 95 % interval of Student's t over cohorts."""
    error = values.std(ddof=1) / np.sqrt(len(values)) * student.ppf(0.975, len(values) - 1)
    return float(values.mean()), float(values.mean() - error), float(values.mean() + error)


if __name__ == "__main__":
    main()

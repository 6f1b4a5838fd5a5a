"""The report of an experiment, like the results section of a paper: one HTML file, the same as Markdown, CSV and JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.experiment import report_tables as tables
from lesionlabel.experiment.findings import Findings
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.page import Block, Bullets, Callout, Heading, Table, Text, to_html, to_markdown
from lesionlabel.experiment.plan import ARMS, NOT_TRAINED, Point, Schedule
from lesionlabel.experiment.report_figures import LEAST_LESIONS, accuracy_against_amount, feature_maps, reliability
from lesionlabel.experiment.report_generators import generator_blocks
from lesionlabel.experiment.report_pictures import MOST_ERRORS, most_often_wrong, synthetic_samples
from lesionlabel.experiment.results import answers_csv, results_json, versions
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.files import write_atomically

DEMONSTRATION = "Its figures say nothing about the method: everything is trained far too little."
IGNORED = (
    "Folds share training data, and patients of a fold share a network: the intervals and tests ignore both.",
    "Intervals are 95 %, over patients drawn with replacement, with seeds resampled inside. They hold for this cohort and these "
    "partitions into folds; another centre's lesions are not in them.",
    "Seeds are averaged, never stacked: rows of lesion and seed are not independent.",
    "A patient with more than 5 lesions weighs as 5. A lesion gives one test ROI.",
    "Amounts are “fixed” beforehand, never “nested”: nothing was chosen in training folds, and the verdict rests on no choice.",
    "The verdict rests on equal steps. Under epochs, a training set with more images is also trained longer.",
    "Figures rest on lesions proven by pathology, follow-up or other imaging, where there are any.",
    "Last weights, no early stopping. Probabilities are the networks' own, without a temperature; those of visual words have "
    "one, fitted inside the training folds.",
)


def write_report(outcomes: Outcomes, findings: Findings, classes: ClassList, folder: Path) -> None:
    """Write report.html, report.md, results.csv and results.json into folder. The same input gives the same bytes.

    Raises OSError when the disk is full; a file that was there stays whole.
    """
    title, blocks = f"Experiment, profile {outcomes.plan.profile.name}", report_blocks(outcomes, findings, classes)
    files = {
        "results.csv": answers_csv(outcomes),
        "results.json": results_json(outcomes, findings),
        "report.md": to_markdown(title, blocks),
        "report.html": to_html(title, blocks),
    }
    for name, text in files.items():
        write_atomically(folder / name, text.encode())


def report_blocks(outcomes: Outcomes, findings: Findings, classes: ClassList) -> list[Block]:
    """Everything that the report says, in its order."""
    schedules = tables.schedules_of(findings)
    return [
        *_head(outcomes, findings),
        *_primary(outcomes, findings),
        Heading("Accuracy against amount"),
        *(accuracy_against_amount(findings, schedule) for schedule in schedules),
        tables.amounts(findings, outcomes.plan.simulated),
        Heading("Every training set"),
        *(tables.all_sets(outcomes, findings, schedule) for schedule in schedules),
        *(tables.by_class(findings, classes, schedule) for schedule in schedules),
        *_beside_the_paper(outcomes, findings, classes, schedules),
        Heading("Comparisons"),
        tables.comparisons(findings) if findings.primary or findings.secondary else Text("No two arms to compare were run."),
        *_chosen(findings),
        *_probabilities(outcomes, findings, classes),
        *_generators(outcomes),
        *_errors(outcomes, findings),
        Heading("How to read this"),
        Bullets(IGNORED),
        *_setup(outcomes),
    ]


def _head(outcomes: Outcomes, findings: Findings) -> list[Block]:
    plan, cohort = outcomes.plan, outcomes.cohort
    counts = ", ".join(f"{count} {name}" for name, count in cohort.counts().items())
    blocks: list[Block] = [Callout(PHANTOM_SENTENCE)] if plan.simulated else []
    blocks.append(Callout(findings.verdict, verdict=True))
    whose = "" if plan.simulated else " It shows ROIs of patients' lesions: keep it where patients' data may be."
    blocks.append(
        Text(
            f"{NOT_FOR_CLINICAL_USE} {len(cohort)} lesions ({counts}) of {len(set(cohort.patients))} patients; "
            f"{plan.profile.folds} folds by patient, {len(plan.seeds)} seed(s), each with a partition of its own that all arms "
            f"share.{whose}"
        )
    )
    if plan.profile.demonstration:
        blocks.append(Callout(f"The profile {plan.profile.name} shows what a report says. {DEMONSTRATION}"))
    if plan.profile.reduced:
        blocks += [Text("Reduced against the paper's settings:"), Bullets(plan.profile.reduced)]
    blocks += [Callout(warning) for warning in outcomes.warnings[:5]]
    if len(outcomes.warnings) > 5:
        blocks.append(Text(f"{len(outcomes.warnings) - 5} more warnings stand at the end."))
    return blocks


def _primary(outcomes: Outcomes, findings: Findings) -> list[Block]:
    comparison, blocks = findings.primary, [Heading("The primary comparison")]
    first, second = outcomes.plan.profile.primary
    asked = f"One hypothesis, fixed beforehand: {first.title} against {second.title}, at equal count and equal steps, α = .05."
    if comparison is None:
        return [*blocks, Text(f"{asked} It was not run, so there is no verdict on it.")]
    unseen = (
        f"differences below {100 * comparison.detectable:.1f} points could not have been seen"
        if comparison.detectable < 1
        else "no difference, however large, could have been seen"
    )
    text = f"{asked} The two differ on {100 * comparison.discordance:.1f} % of lesions; with a power of 80 %, {unseen}."
    return [*blocks, Text(text), tables.primary_table(findings, comparison)]


def _beside_the_paper(outcomes: Outcomes, findings: Findings, classes: ClassList, schedules: list[Schedule]) -> list[Block]:
    plan = outcomes.plan
    points = [plan.filter_point, *plan.profile.primary]
    blocks: list[Block] = [Heading("Beside the paper's tables")]
    blocks.append(Text("The paper: one run, one partition, 182 lesions of one centre, amounts chosen on the accuracy reported."))
    for schedule in schedules:
        blocks += tables.confusions(findings, classes, schedule, points)
    return [*blocks, tables.table_four(plan, findings)]


def _chosen(findings: Findings) -> list[Block]:
    blocks: list[Block] = [Heading("Chosen as in the paper")]
    if not findings.chosen_as_in_the_paper:
        return [*blocks, Text("Neither the classic nor the DCGAN arm was run, so there is nothing to choose.")]
    schedule: Schedule = "epochs" if any(f.schedule == "epochs" for f in findings.figures) else "steps"
    text = (
        "The amount with the best accuracy, chosen on the accuracy that is reported, as in the paper: it looks better than it is."
    )
    return [*blocks, Text(text), tables.chosen(findings, schedule)]


def _probabilities(outcomes: Outcomes, findings: Findings, classes: ClassList) -> list[Block]:
    blocks: list[Block] = [Heading("Probabilities and features")]
    shown = _shown(outcomes, findings)
    blocks.append(reliability(outcomes, classes, shown) if shown else Text("No network was trained, so none is calibrated."))
    maps = feature_maps(outcomes)
    return [*blocks, maps or Text(f"No map of features: none were kept, or of fewer than {LEAST_LESIONS} tested lesions.")]


def _generators(outcomes: Outcomes) -> list[Block]:
    blocks: list[Block] = [Heading("Generators"), *generator_blocks(outcomes.generators)]
    samples = synthetic_samples(outcomes)
    if samples is not None:
        blocks += [
            Heading("Synthetic samples", 3),
            Text("The first ROIs of each generator, not chosen. They are no patient's."),
            samples,
        ]
    return blocks


def _errors(outcomes: Outcomes, findings: Findings) -> list[Block]:
    blocks: list[Block] = [Heading("Lesions most often wrong")]
    shown = _shown(outcomes, findings)
    gallery = most_often_wrong(outcomes, findings, shown)
    if gallery is None:
        return [*blocks, Text("No network was trained." if not shown else "All tested lesions were right in every seed.")]
    whose = " and ".join(f"{point.title} by {schedule}" for schedule, point in shown)
    text = f"The tested lesions, at most {MOST_ERRORS}, that {whose} most often got wrong, over all seeds. Pseudonyms only."
    return [*blocks, Text(text), gallery]


def _shown(outcomes: Outcomes, findings: Findings) -> list[tuple[Schedule, Point]]:
    """The two primary points, or in place of those that were not run the first networks that were."""
    trained = [(f.schedule, f.point) for f in findings.figures if f.point.arm not in NOT_TRAINED]
    wanted: list[tuple[Schedule, Point]] = [("steps", point) for point in outcomes.plan.profile.primary]
    found = [key for key in wanted if key in trained]
    return [*found, *(key for key in trained if key not in found)][:2]


def _setup(outcomes: Outcomes) -> list[Block]:
    plan, cohort, profile = outcomes.plan, outcomes.cohort, outcomes.plan.profile
    tested, blind = int(outcomes.tested.sum()), int(outcomes.decided_blind.sum())
    left_out = []
    if blind < len(cohort):
        left_out.append(f"{len(cohort) - blind} decided after seeing the model's answer, or perhaps so")
    if tested < blind:
        left_out.append(f"{blind - tested} that rest on readers' opinion")
    proofs = Counter(str(lesion.proof) for lesion in cohort)
    gan_steps = "the paper's epochs" if profile.gan_steps is None else f"{profile.gan_steps} steps"
    rows = {
        "snapshot, SHA-256": plan.cohort,
        "code": plan.code_version,
        "trained on": f"{plan.device}, torch {plan.torch}" + (" (bfloat16 where it has it)" if plan.device != "cpu" else ""),
        "profile": profile.name,
        "seeds": ", ".join(str(seed) for seed in plan.seeds),
        "lesions tested": f"{tested} of {len(cohort)}" + (f", without {' and '.join(left_out)}" if left_out else ""),
        "proof": ", ".join(f"{count} {proof}" for proof, count in sorted(proofs.items())),
        "classic amounts a fold": ", ".join(str(amount) for amount in profile.classic),
        "synthetic amounts a fold": ", ".join(str(amount) for amount in profile.added),
        "amounts of the other arms": f"fixed: classic {profile.fixed_classic}, added {profile.fixed_added}",
        "classifier": f"{profile.steps} steps, or {profile.epochs} epochs",
        "classifier's batch, learning rate": f"{profile.batch}, {profile.learning_rate:g}",
        "generators": f"width {profile.width}, {gan_steps}, on {profile.gan_amount} classic ROIs a fold",
        **{f"version of {name}": found for name, found in versions().items()},
    }
    arms = [arm for arm in ARMS if any(point.arm == arm for point in plan.points)]
    seconds = sorted(outcomes.seconds.items(), key=lambda part: -part[1])
    blocks: list[Block] = [Heading("Configuration and time")]
    blocks.append(Table("Configuration", ["what", "value"], [list(row) for row in rows.items()], left=frozenset({0, 1})))
    blocks.append(Table("Arms", ["arm", "its training set"], [[arm, ARMS[arm]] for arm in arms], left=frozenset({0, 1})))
    blocks.append(
        Table(
            "Time by part",
            ["part", "time"],
            [*([part, _duration(s)] for part, s in seconds), ["on the clock, the last start", _duration(outcomes.wall_seconds)]],
            note="Parts are summed over processes that ran side by side.",
        )
    )
    return [*blocks, Heading("Warnings"), Bullets(outcomes.warnings) if outcomes.warnings else Text("None.")]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"

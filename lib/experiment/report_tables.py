"""The tables of an experiment's report on its training sets and comparisons, beside the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from lesionlabel.evaluation.metrics import Interval
from lesionlabel.experiment import paper
from lesionlabel.experiment.findings import Comparison, Findings, PointFigures
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.page import Beside, Table
from lesionlabel.experiment.plan import NOT_TRAINED, SCHEDULES, Plan, Point, Schedule
from lesionlabel.lesions.classes import ClassList

HARM = "malignant called benign"
NONE = "–"
NOT_MEASURED = "not measured"
Key = tuple[Schedule, Point]


def by_key(findings: Findings) -> dict[Key, PointFigures]:
    return {(figures.schedule, figures.point): figures for figures in findings.figures}


def of_schedule(findings: Findings, schedule: Schedule) -> list[PointFigures]:
    """A schedule's figures, with those of arms that no schedule changes."""
    return [f for f in findings.figures if f.schedule == schedule or f.point.arm in NOT_TRAINED]


def primary_table(findings: Findings, comparison: Comparison) -> Table:
    """The two training sets of the primary comparison."""
    figures = by_key(findings)
    found = [figures[comparison.schedule, point] for point in (comparison.first, comparison.second)]
    rows = [
        [f.point.title, _percent(f.accuracy), _percent(f.malignant_called_benign), _percent(f.macro_sensitivity)] for f in found
    ]
    rows.append(["difference, in points", difference(comparison.difference), NONE, NONE])
    note = f"95 % intervals. Two-sided p = {p_value(comparison.p)} by sign-flip permutation over patients."
    if (weaker := findings.with_weaker_proof) is not None:
        rows.append(["difference with lesions of weaker proof", difference(weaker.difference), NONE, NONE])
        note += f" With the lesions whose type rests on readers' opinion, p = {p_value(weaker.p)}; the verdict leaves them out."
    return Table(
        "The primary comparison, at equal steps", ["training set", "accuracy", HARM, "mean sensitivity"], rows, note=note
    )


def all_sets(outcomes: Outcomes, findings: Findings, schedule: Schedule) -> Table:
    """Every training set of a schedule with its figures."""
    found, primary = of_schedule(findings, schedule), outcomes.plan.profile.primary
    simulated = outcomes.plan.simulated
    rows: list[list[str]] = []
    for f in found:
        size = outcomes.sizes.get((schedule, f.point))
        trained = [NONE] * 3 if size is None else [f"{size.images:.0f}", f"{size.steps:.0f}", f"{size.epochs:.3g}"]
        row = [f.point.title, *trained, _percent(f.accuracy), _percent(f.malignant_called_benign), _percent(f.macro_sensitivity)]
        row += [_percent(mean_specificity(f)), _plain(f.log_loss), _plain(f.brier), NONE if f.slope is None else f"{f.slope:.2f}"]
        row.append(spread(f.of_seeds))
        rows.append([*row, _percent(f.fresh) if f.fresh else NONE] if simulated else row)
    header = ["training set", "images", "steps", "epochs", "accuracy", HARM, "mean sensitivity", "weighted specificity"]
    header += ["log loss", "Brier", "slope", "accuracy over seeds: SD, range"]
    return Table(
        f"Every training set, by {schedule}",
        [*header, "fresh phantom lesions"] if simulated else header,
        rows,
        marked=frozenset(i for i, f in enumerate(found) if f.point in primary and schedule == "steps"),
        note="Images, steps and epochs are means over folds. Specificity is weighted by lesions of a class, as in the paper. "
        "Slope of the calibration: 1 is right, below 1 too sure.",
    )


def by_class(findings: Findings, classes: ClassList, schedule: Schedule) -> Table:
    """Sensitivity, specificity and AUC of each class, beside accuracy and harm."""
    header = ["training set", "accuracy", HARM]
    for name in classes.names:
        header += [f"{name}:\nsensitivity", f"{name}:\nspecificity", f"{name}:\nAUC"]
    rows: list[list[str]] = []
    for f in of_schedule(findings, schedule):
        row = [f.point.title, _percent(f.accuracy), _percent(f.malignant_called_benign)]
        for sensitivity, specificity, auc in zip(f.sensitivity, f.specificity, f.auc, strict=True):
            row += [_percent(sensitivity), _percent(specificity), _plain(auc)]
        rows.append(row)
    return Table(f"By class, by {schedule}", header, rows, note="AUC of one class against the rest.")


def amounts(findings: Findings, simulated: bool) -> Table:
    """Accuracy against amount, the paper's beside ours."""
    figures = by_key(findings)
    schedules = schedules_of(findings)
    points = dict.fromkeys(f.point for f in findings.figures if f.point.arm in ("classic", "dcgan"))
    published = [point for point in paper.ACCURACY if point.arm in ("classic", "dcgan")]
    rows: list[list[str]] = []
    for point in sorted({*points, *published}):
        known = paper.ACCURACY.get(point)
        row = [point.title, NONE if known is None else f"{100 * known.accuracy:.1f} %{' *' if known.read_off else ''}"]
        for schedule in schedules:
            ours = figures.get((schedule, point))
            row += ["not run"] * 2 if ours is None else [_percent(ours.accuracy), _percent(ours.malignant_called_benign)]
        rows.append(row)
    header = ["training set", "paper: accuracy"]
    for schedule in schedules:
        header += [f"ours by {schedule}:\naccuracy", f"ours by {schedule}:\n{HARM}"]
    whose = " Ours are simulated lesions, the paper's are patients'." if simulated else ""
    note = f"* {paper.READ_OFF}. Amounts are added for each fold that trains, of all classes together.{whose}"
    return Table("Accuracy against amount, beside the paper's figure 8", header, rows, note=note)


def confusions(findings: Findings, classes: ClassList, schedule: Schedule, points: Sequence[Point]) -> list[Beside]:
    """Confusion matrices of points, each beside the paper's of the same arm where it has one (Tables I and II)."""
    figures = by_key(findings)
    found: list[Beside] = []
    for point in points:
        ours = figures.get((schedule, point))
        if ours is None:
            continue
        tables = [_our_matrix(ours, classes)]
        for published, matrix in paper.MATRICES.items():
            if published.arm == point.arm:
                tables.append(_papers_matrix(published, matrix))
        found.append(Beside(tables))
    return found


def table_four(plan: Plan, findings: Findings) -> Table:
    """The paper's comparison of methods (Table IV), and ours at the amounts fixed beforehand."""
    figures, schedules = by_key(findings), schedules_of(findings)
    rows: list[list[str]] = []
    for published, known in paper.ACCURACY.items():
        if known.specificity is None:
            continue
        row = [published.title, f"{100 * known.accuracy:.1f} %", f"{100 * known.specificity:.1f} %"]
        matrix = paper.MATRICES.get(published)
        row.append(NONE if matrix is None else f"{100 * matrix.malignant_called_benign:.1f} %")
        for schedule in schedules:
            point = _fixed(plan, published.arm)
            ours = figures.get(("steps" if point.arm in NOT_TRAINED else schedule, point))
            row += (
                ["not run"] * 3
                if ours is None
                else [
                    _percent(ours.accuracy) + (f"\n({ours.point.title})" if ours.point != published else ""),
                    _percent(mean_specificity(ours)),
                    _percent(ours.malignant_called_benign),
                ]
            )
        rows.append(row)
    header = ["method", "paper:\naccuracy", "paper:\nweighted specificity", f"paper:\n{HARM}"]
    for schedule in schedules:
        header += [f"ours by {schedule}:\n{what}" for what in ("accuracy", "weighted specificity", HARM)]
    note = f"Of the paper's {paper.LESIONS} lesions, a 95 % Wilson interval of 78.6 % is [72.1, 83.9], of 85.7 % [79.9, 90.1]."
    return Table("Methods, beside the paper's Table IV", header, rows, note=note)


def comparisons(findings: Findings) -> Table:
    """The primary comparison and all others, with what each could have seen."""
    figures = by_key(findings)
    listed = [*([findings.primary] if findings.primary else []), *findings.secondary]
    rows = [
        [
            f"{c.first.title}\nagainst {c.second.title}",
            f"{c.schedule}{', primary' if c is findings.primary else ''}",
            difference(c.difference),
            p_value(c.p),
            NONE if c.p_holm is None else p_value(c.p_holm),
            f"{c.won} / {c.lost}",
            p_value(c.mcnemar),
            f"{100 * c.discordance:.1f} %",
            detectable(c),
            " against\n".join(_percent(figures[c.schedule, p].malignant_called_benign, " ") for p in (c.first, c.second)),
        ]
        for c in listed
    ]
    header = ["comparison", "by", "difference in accuracy, points", "p", "p, Holm", "lesions won / lost", "McNemar p"]
    header += ["discordance", "smallest visible difference", HARM]
    return Table(
        "Comparisons",
        header,
        rows,
        left=frozenset({0, 1}),
        marked=frozenset({0} if findings.primary else ()),
        note="p: two-sided sign-flip permutation over patients. Holm: corrected over all secondary comparisons. Won and lost, "
        "with exact McNemar, on the seeds' majority vote. Discordance: mean share of lesions that only one has right. Smallest "
        "visible difference: with a power of 80 % at two-sided .05.",
    )


def chosen(findings: Findings, schedule: Schedule) -> Table:
    """The points with the best reported accuracy, as the paper chose, and the paper's own."""
    figures = by_key(findings)
    rows: list[list[str]] = []
    for point in findings.chosen_as_in_the_paper:
        ours = figures[schedule, point]
        published = {"classic": paper.CLASSIC, "dcgan": paper.SYNTHETIC}[point.arm]
        row = [point.title, _percent(ours.accuracy), _percent(ours.malignant_called_benign)]
        rows.append([*row, f"{published.title}: {100 * paper.ACCURACY[published].accuracy:.1f} %"])
    header = ["chosen training set", "accuracy (optimistic)", HARM, "paper's choice"]
    return Table(f"Chosen on the reported accuracy, by {schedule}: optimistic", header, rows, left=frozenset({0, 3}))


def schedules_of(findings: Findings) -> list[Schedule]:
    """The schedules under which a network was trained; the one of the verdict first."""
    trained = {f.schedule for f in findings.figures if f.point.arm not in NOT_TRAINED} or {f.schedule for f in findings.figures}
    return [schedule for schedule in SCHEDULES if schedule in trained]


def mean_specificity(figures: PointFigures) -> float | None:
    """The mean of the classes' specificities, weighted by their lesions; None where there is none."""
    weights = figures.confusion.sum(axis=1)
    known = [(w, s.value) for w, s in zip(weights, figures.specificity, strict=True) if s is not None and w]
    return sum(w * s for w, s in known) / sum(w for w, _ in known) if known else None


def spread(of_seeds: Sequence[float]) -> str:
    if len(of_seeds) < 2:
        return "one seed"
    return f"{100 * statistics.stdev(of_seeds):.1f}\n{100 * min(of_seeds):.1f} – {100 * max(of_seeds):.1f} %"


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def difference(interval: Interval) -> str:
    value, low, high = (f"{round(100 * x, 1) + 0.0:+.1f}" for x in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def detectable(comparison: Comparison) -> str:
    return f"{100 * comparison.detectable:.1f} points" if comparison.detectable < 1 else "none"


def _fixed(plan: Plan, arm: str) -> Point:
    """The point of an arm at the amounts fixed beforehand."""
    if arm in NOT_TRAINED:
        return Point(arm)
    return plan.filter_point if arm == "classic" else Point(arm, plan.profile.fixed_classic, plan.profile.fixed_added)


def _our_matrix(figures: PointFigures, classes: ClassList) -> Table:
    rows = [
        [name, *(f"{count:.1f}" for count in row), _percent(sensitivity)]
        for name, row, sensitivity in zip(classes.names, figures.confusion, figures.sensitivity, strict=True)
    ]
    rows.append(["specificity", *(_percent(s) for s in figures.specificity), NONE])
    return Table(
        f"Ours: {figures.point.title}, by {figures.schedule}",
        ["true \\ predicted", *classes.names, "sensitivity"],
        rows,
        note=f"Lesions, weighted as in every figure, means over seeds. Accuracy {_percent(figures.accuracy, ' ')}, "
        f"{HARM} {_percent(figures.malignant_called_benign, ' ')}.",
    )


def _papers_matrix(point: Point, matrix: paper.Matrix) -> Table:
    rows = [
        [name, *(str(count) for count in row), f"{100 * sensitivity:.1f} %"]
        for name, row, sensitivity in zip(paper.CLASSES, matrix.counts, matrix.sensitivity, strict=True)
    ]
    rows.append(["specificity", *(f"{100 * s:.1f} %" for s in matrix.specificity), NONE])
    number = "Table I" if point == paper.CLASSIC else "Table II"
    return Table(
        f"The paper's {number}: {point.title}",
        ["true \\ predicted", *paper.CLASSES, "sensitivity"],
        rows,
        note=f"Accuracy {100 * paper.ACCURACY[point].accuracy:.1f} %, {HARM} {100 * matrix.malignant_called_benign:.1f} %.",
    )


def _percent(share: Interval | float | None, between: str = "\n") -> str:
    if share is None:
        return NOT_MEASURED
    return share.percent().replace(" [", f"{between}[") if isinstance(share, Interval) else f"{100 * share:.1f} %"


def _plain(interval: Interval | None) -> str:
    return NOT_MEASURED if interval is None else interval.plain().replace(" [", "\n[")

"""The diagrams of an experiment's report: accuracy against amount, reliability, t-SNE of features. SVG, the same each time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.special import softmax
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from lesionlabel.evaluation.metrics import Interval, draw_patients, lesion_weights
from lesionlabel.experiment import paper
from lesionlabel.experiment.findings import Findings, PointFigures
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.page import Picture
from lesionlabel.experiment.plan import NOT_TRAINED, Point, Schedule
from lesionlabel.lesions.classes import ClassList

#: So that a class called "$x" is not taken for a formula, and the same picture is the same bytes.
STYLE: Any = {
    "text.parse_math": False,
    "svg.hashsalt": "lesionlabel",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
CLASSIC_COLOUR, SYNTHETIC_COLOUR, OTHER_COLOUR, PAPER_COLOUR = "#1c4f8a", "#b3261e", "#333333", "#8a8f96"
CLASS_COLOURS = ("#1c6fc4", "#c43c1c", "#3d8f2f", "#8a4fb0", "#b88a00", "#00868b", "#c4468f", "#5a5a5a")
CLASS_MARKS = "osD^vPX*"
RELIABILITY_BINS, RELIABILITY_RESAMPLES = 10, 500
#: Fewer lesions than this make no map.
LEAST_LESIONS = 10


def accuracy_against_amount(findings: Findings, schedule: Schedule) -> Picture:
    """The paper's figure 8 of one schedule, and below it the malignant lesions called benign; the other arms at the right."""
    shown = [f for f in findings.figures if f.schedule == schedule or f.point.arm in NOT_TRAINED]
    curves = {arm: sorted((f for f in shown if f.point.arm == arm), key=lambda f: f.point) for arm in ("classic", "dcgan")}
    others = [f for f in shown if f.point.arm not in curves]
    with mpl.rc_context(STYLE):
        page, rows = _page(10.6, 6.4, 2, 2, width_ratios=(1.5, 1), sharey="row")
        for (left, right), harm in zip(rows, (False, True), strict=True):
            _draw_paper(left, harm)
            for arm, colour, label in (
                ("classic", CLASSIC_COLOUR, "classic"),
                ("dcgan", SYNTHETIC_COLOUR, "classic + DCGAN"),
            ):
                _draw_curve(left, curves[arm], harm, colour, label)
            _draw_others(right, others, harm)
            left.set_ylabel("malignant called benign, %" if harm else "accuracy, %")
            left.set_xscale(
                "function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * np.square(x))
            )
            left.set_xlim(left=-20)
            left.set_xticks([0, 500, 1000, 2000, 5000, 8000, 11000, 17000])
            left.tick_params(axis="x", labelrotation=45, labelsize=7.5)
            for axes in (left, right):
                axes.grid(alpha=0.3, axis="y")
        rows[0][0].legend(fontsize=8, loc="lower right")
        rows[1][0].set_xlabel("images added per fold, classic and synthetic (square-root scale)")
        data = _svg(page)
    values = "; ".join(f"{f.point.title} {_share(f.accuracy)}, {_share(f.malignant_called_benign)}" for f in shown)
    return Picture(
        data,
        "svg+xml",
        f"Accuracy, and malignant called benign, in % with 95 % interval, by {schedule}: {values}.",
        f"Accuracy against the amount of images added, as the paper's figure 8, trained by {schedule}; below it the "
        "malignant lesions called benign. The other arms are at the amounts of the table below. Bands and bars: 95 % "
        "intervals over patients, seeds resampled. Grey: the paper's "
        f"values, of one run, without interval; crosses were {paper.READ_OFF}.",
    )


def reliability(outcomes: Outcomes, classes: ClassList, keys: Sequence[tuple[Schedule, Point]]) -> Picture:
    """How often the class named was right, against the probability it was given, of the points named."""
    at = np.flatnonzero(outcomes.tested)
    labels, patients = outcomes.cohort.labels[at], [outcomes.cohort.patients[i] for i in at]
    drawn = lesion_weights(patients) * np.vstack(
        [np.ones((1, len(at))), draw_patients(patients, RELIABILITY_RESAMPLES, np.random.default_rng(0))]
    )
    told = []
    with mpl.rc_context(STYLE):
        page, rows = _page(4.6 * len(keys), 4.9, 2, len(keys), height_ratios=(4, 1), sharex=True)
        for column, (schedule, point) in enumerate(keys):
            probabilities = softmax(outcomes.logits[schedule, point][:, at], axis=2)
            confidence, right = probabilities.max(axis=2), probabilities.argmax(axis=2) == labels
            upper, lower = rows[0][column], rows[1][column]
            upper.plot([1 / len(classes), 1], [1 / len(classes), 1], color=PAPER_COLOUR, linewidth=1, linestyle="--")
            bins = np.minimum((confidence * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
            for number in range(RELIABILITY_BINS):
                inside = bins == number
                if not inside.any():
                    continue
                weight = drawn @ inside.sum(axis=0)
                share = np.divide(
                    drawn @ (inside & right).sum(axis=0), weight, out=np.full(len(weight), np.nan), where=weight > 0
                )
                low, high = np.nanpercentile(share[1:], [2.5, 97.5])
                mean = float((drawn[0] * np.where(inside, confidence, 0)).sum() / weight[0])
                upper.plot([mean, mean], [low, high], color=CLASSIC_COLOUR, linewidth=1.4)
                upper.plot([mean], [share[0]], "o", color=CLASSIC_COLOUR, markersize=5)
                told.append(f"{point.title}, told {100 * mean:.0f} %, right {100 * share[0]:.0f} %")
            upper.set(title=f"{point.title} ({schedule})", ylim=(0, 1.02), xlim=(0, 1.02))
            lower.hist(confidence.ravel(), bins=RELIABILITY_BINS, range=(0, 1), color=CLASSIC_COLOUR, alpha=0.6)
            lower.set_xlabel("probability of the class named")
        rows[0][0].set_ylabel("share right")
        rows[1][0].set_ylabel("answers")
        data = _svg(page)
    return Picture(
        data,
        "svg+xml",
        f"Reliability diagram. {'; '.join(told)}.",
        "Reliability: share right against the probability of the class named, in bins of 10 points, seeds pooled; bars are 95 % "
        "intervals over patients; dashed: perfect calibration. Probabilities are the networks' own, without a temperature.",
    )


def feature_maps(outcomes: Outcomes) -> Picture | None:
    """t-SNE of features of tested lesions, a panel for each point; None below LEAST_LESIONS or where no features were kept."""
    labels, names = outcomes.cohort.labels[outcomes.tested], outcomes.cohort.class_names
    found = {point: values[outcomes.tested] for point, values in outcomes.features.items()}
    found = {
        p: v for p, v in sorted(found.items()) if len(v) >= LEAST_LESIONS and np.isfinite(v).all() and np.ptp(v, axis=0).any()
    }
    if not found:
        return None
    perplexity = min(30.0, (len(labels) - 1) / 3)
    with mpl.rc_context(STYLE):
        page, rows = _page(4.6 * len(found), 4.9, 1, len(found))
        for axes, (point, values) in zip(rows[0], found.items(), strict=True):
            # On one thread, so that sums come in one order.
            with threadpool_limits(1):
                places = TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=0).fit_transform(values)
            for index, name in enumerate(names):
                here = places[labels == index]
                look: Any = {"color": CLASS_COLOURS[index % len(CLASS_COLOURS)], "marker": CLASS_MARKS[index % len(CLASS_MARKS)]}
                axes.scatter(here[:, 0], here[:, 1], s=20, alpha=0.8, linewidths=0, label=f"{len(here)} {name}", **look)
            axes.set(title=point.title, xticks=[], yticks=[])
        handles, texts = rows[0][0].get_legend_handles_labels()
        page.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), frameon=False)
        data = _svg(page)
    counts = ", ".join(f"{int((labels == index).sum())} {name}" for index, name in enumerate(names))
    return Picture(
        data,
        "svg+xml",
        f"Two-dimensional maps (t-SNE) of features of {counts}, for {' and '.join(point.title for point in found)}.",
        f"t-SNE (perplexity {perplexity:.0f}) of the last hidden layer for held-out lesions in the first seed, as the paper's "
        "figure 9, which also maps their augmentations. Each fold has its own network, so groups may be folds, not classes. "
        "Distances between groups, and their sizes, mean nothing.",
    )


def _page(width: float, height: float, rows: int, columns: int, **grid: Any) -> tuple[Figure, list[list[Axes]]]:
    page = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(page)
    ratios = {name: grid.pop(name) for name in ("width_ratios", "height_ratios") if name in grid}
    axes = page.subplots(rows, columns, squeeze=False, gridspec_kw=ratios, **grid)
    return page, axes.tolist()


def _svg(page: Figure) -> bytes:
    data = io.BytesIO()
    page.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue()


def _draw_paper(axes: Axes, harm: bool) -> None:
    if harm:
        points = [(p, m.malignant_called_benign, False) for p, m in paper.MATRICES.items()]
    else:
        points = [(p, known.accuracy, known.read_off) for p, known in paper.ACCURACY.items() if p.arm in ("classic", "dcgan")]
    for read_off, mark in ((True, "x"), (False, "D")):
        here = [(p.classic + p.added, 100 * value) for p, value, off in points if off == read_off]
        label = "paper, read off its figure" if read_off else "paper, from its text"
        if here:
            axes.plot(*zip(*here, strict=True), mark, color=PAPER_COLOUR, markersize=5, label=label, zorder=1)


def _draw_curve(axes: Axes, curve: Sequence[PointFigures], harm: bool, colour: str, label: str) -> None:
    shown = [(f.point.classic + f.point.added, interval) for f in curve if (interval := _of(f, harm)) is not None]
    if not shown:
        return
    x = [amount for amount, _ in shown]
    low, value, high = (100 * np.array(bound) for bound in zip(*((i.low, i.value, i.high) for _, i in shown), strict=True))
    if len(x) > 1:
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    else:
        axes.plot(x * 2, [*low, *high], color=colour, linewidth=1.4)
    axes.plot(x, value, "-o", color=colour, markersize=4, linewidth=1.6, label=label)


def _draw_others(axes: Axes, others: Sequence[PointFigures], harm: bool) -> None:
    for place, figures in enumerate(others):
        interval = _of(figures, harm)
        if interval is not None:
            axes.plot([place, place], [100 * interval.low, 100 * interval.high], color=OTHER_COLOUR, linewidth=1.4)
            axes.plot([place], [100 * interval.value], "o", color=OTHER_COLOUR, markersize=5)
        known = paper.ACCURACY.get(figures.point)
        if known is not None and not harm:
            axes.plot([place], [100 * known.accuracy], "D", color=PAPER_COLOUR, markersize=5, zorder=1)
    axes.set_xticks(range(len(others)), [f.point.arm for f in others] if harm else [""] * len(others))
    axes.tick_params(axis="x", labelrotation=45, labelsize=7.5)
    for label in axes.get_xticklabels():
        label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, max(len(others), 1) - 0.4)
    if not harm:
        axes.set_title("other arms" if others else "no other arm was run", fontsize=9)


def _of(figures: PointFigures, harm: bool) -> Interval | None:
    return figures.malignant_called_benign if harm else figures.accuracy


def _share(interval: Interval | None) -> str:
    return "not measured" if interval is None else interval.percent()

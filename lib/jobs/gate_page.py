"""The page on a gate's decision: what was compared, what follows, and every lesion that only one side had right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.noninferiority import MARGIN, MarginTest
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.experiment.page import Block, Bullets, Callout, Gallery, Heading, Picture, Table, Text, to_html, to_markdown
from lesionlabel.experiment.report_pictures import png
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.files import write_atomically
from lesionlabel.registry.gate import Decision, GateOutcome, Swap
from lesionlabel.settings import Settings

SAID = {
    GateOutcome.PASS: "Pass: it may take the place of what serves.",
    GateOutcome.FAIL: "Fail: it does not take the place of what serves.",
    GateOutcome.NOT_ENOUGH: "Not enough evidence: it stays a candidate until an administrator and a reader decide.",
}
EVIDENCE = {
    "locked": "Weights on lesions of locked patients, whom neither has seen",
    "recipes": "No patients are locked yet. Out-of-fold answers of the candidate's recipe, and what serves on the same lesions",
}


def gate_page(decision: Decision, tested: Cohort) -> tuple[str, str]:
    """The page as one HTML file, and a summary without pictures as Markdown for a terminal."""
    title = f"{decision.candidate} against {decision.champion}"
    summary = _summary(decision)
    pictures: list[Block] = []
    for heading, swaps in (
        ("Malignant lesions newly called benign", decision.harmed),
        ("Lost: only what serves had them right", decision.lost),
        ("Won: only the candidate had them right", decision.won),
    ):
        pictures.append(Heading(f"{heading} ({len(swaps)})"))
        pictures.append(_gallery(swaps, tested, decision.simulated) if swaps else Text("None."))
    ids = Bullets([f"Newly called benign: {swap.lesion_id} ({swap.label}, called {swap.candidate})" for swap in decision.harmed])
    return to_html(title, [*summary, *pictures]), to_markdown(title, [*summary, *([ids] if decision.harmed else [])])


def gate_page_path(settings: Settings, decision: Decision) -> Path:
    return settings.home / "gate" / f"{decision.candidate}-against-{decision.champion}.html"


def write_gate_page(settings: Settings, decision: Decision, tested: Cohort) -> tuple[Path, str]:
    """Write the page below the home folder. Returns where it is, and the summary."""
    path = gate_page_path(settings, decision)
    html, text = gate_page(decision, tested)
    write_atomically(path, html.encode())
    return path, text


def _summary(decision: Decision) -> list[Block]:
    blocks: list[Block] = [Callout(PHANTOM_SENTENCE)] if decision.simulated else []
    blocks.append(Callout(SAID[decision.outcome], verdict=True))
    blocks.append(Bullets(decision.reasons))
    counts = ", ".join(f"{count} {name}" for name, count in decision.lesions.items())
    blocks.append(
        Text(
            f"{EVIDENCE[decision.evidence]}: {sum(decision.lesions.values())} lesions ({counts}) of {decision.patients} "
            f"patients. Regime {decision.regime}, look {decision.look} at these lesions, one-sided {decision.alpha:.3g}. "
            f"Snapshot {decision.snapshot[:12]}. {decision.time}"
        )
    )
    rows = [_row(name, decision.lesions[name], test, decision.powers[name]) for name, test in decision.classes.items()]
    rows.append(_row("mean of classes", sum(decision.lesions.values()), decision.mean, decision.powers["all"]))
    blocks.append(
        Table(
            "Sensitivity, candidate less what serves",
            ["class", "lesions", "points", f"p, loses {100 * MARGIN:.0f} points or more", "p, is no worse", "power"],
            rows,
            note="One-sided p, by Tango's score test for paired proportions with the design effect of patients. Power: the "
            "chance that two equal classifiers that differ on a fifth of the lesions are shown to be within the margin.",
        )
    )
    value, low, high = decision.log_loss
    blocks.append(
        Text(
            f"Log loss, candidate less what serves: {value:+.3f}, one-sided bounds {low:+.3f} and {high:+.3f}. Malignant lesions "
            f"called benign: {len(decision.harmed)} by the candidate only, {decision.spared} by what serves only."
        )
    )
    return blocks


def _row(name: str, lesions: int, test: MarginTest, power: float) -> list[str]:
    return [name, str(lesions), f"{100 * test.difference:+.1f}", f"{test.p_not_worse:.3f}", f"{test.p_worse:.3f}", f"{power:.2f}"]


def _gallery(swaps: Sequence[Swap], tested: Cohort, simulated: bool) -> Gallery:
    at = {lesion.lesion_id: index for index, lesion in enumerate(tested)}
    rois = originals(tested.subset([at[swap.lesion_id] for swap in swaps]))[:, 0].numpy()
    whose = "A simulated lesion." if simulated else "HOLDS AN IMAGE OF A PATIENT."
    cards: list[Picture] = []
    for swap, roi in zip(swaps, rois, strict=True):
        lines = [swap.label, f"candidate: {swap.candidate}", f"serving: {swap.champion}", f"lesion {swap.lesion_id}"]
        alt = f"ROI of lesion {swap.lesion_id}, {swap.label}."
        cards.append(Picture(png(roi[None], whose), "png", alt, "\n".join([*lines, f"patient {swap.patient}"])))
    return Gallery(cards, cards=True)

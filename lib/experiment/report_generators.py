"""What an experiment's report says of its generators: quality with its noise floor, copies, and membership."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lesionlabel.evaluation.gan_quality import FIGURES, HOW_TO_READ
from lesionlabel.experiment.outcomes import FoldGenerators
from lesionlabel.experiment.page import Block, Heading, Table, Text

#: The quality figures that the report shows; results.json has all.
SHOWN = ("kid", "precision", "recall", "coverage", "radiomics", "feature_diversity")
NONE = "–"


def generator_blocks(generators: Sequence[FoldGenerators]) -> list[Block]:
    """Tables of what was measured, and how many were not."""
    if not generators:
        return [Text("No arm of this run has a generator.")]
    measured = [made for made in generators if made.quality or made.memorisation or made.membership]
    networks = ", ".join(dict.fromkeys(made.network for made in generators))
    text = f"{len(generators)} sets of generators ({networks}), each trained inside the training folds of one fold of one seed."
    if not measured:
        return [Text(f"{text} Neither quality nor copying was measured: nothing can be said of either.")]
    blocks: list[Block] = [Text(f"{text} {len(measured)} were measured.")]
    if any(made.quality for made in measured):
        blocks += [Heading("Quality", 3), _quality(measured), Text(HOW_TO_READ)]
    if any(made.memorisation for made in measured):
        blocks += [Heading("Copies of training lesions", 3), _memorisation(measured)]
    if any(made.membership for made in measured):
        blocks += [Heading("Membership", 3), _membership(measured)]
    return blocks


def _whose(made: FoldGenerators) -> list[str]:
    return [made.network, f"seed {made.seed}, fold {made.fold + 1}"]


def _quality(measured: Sequence[FoldGenerators]) -> Table:
    rows = [
        [
            *_whose(made),
            name,
            *(_both(quality["figures"][figure]) if figure in quality["figures"] else NONE for figure in SHOWN),
        ]
        for made in measured
        for name, quality in (made.quality or {}).items()
    ]
    header = ["network", "of", "class", *(FIGURES[figure][0].replace(", ", ",\n") for figure in SHOWN)]
    return Table(
        "Quality of synthetic ROIs: generator, and below it the noise floor",
        header,
        rows,
        left=frozenset({0, 1, 2}),
        note="Noise floor: classic augmentations of the real training lesions, against the same held-out lesions.",
    )


def _memorisation(measured: Sequence[FoldGenerators]) -> Table:
    rows = [
        [
            *_whose(made),
            name,
            str(check["outcome"]),
            _share(check["copy_rate"]),
            _share(check["excess_lower_bound"]),
            _attraction(check["most_attracting"]),
            *_controls(check["controls"]),
            str(check["reason"]),
        ]
        for made in measured
        for name, check in (made.memorisation or {}).items()
    ]
    header = [
        "network",
        "of",
        "class",
        "outcome",
        "copy rate",
        "lower bound of\nthe excess",
        "largest share\nof one lesion, limit",
    ]
    return Table(
        "Has a generator memorised lesions?",
        [*header, "controls:\nplanted copies found", "controls:\nfalse alarms", "reason"],
        rows,
        left=frozenset({0, 1, 2, 3, 9}),
        note="“Cannot be tested” is not “passed”: the check would not have found copies of this class.",
    )


def _membership(measured: Sequence[FoldGenerators]) -> Table:
    rows = [
        [
            *_whose(made),
            _plain(made.membership["auc"]),
            "tells who was in the training" if made.membership["leaks"] else "no leak shown",
        ]
        for made in measured
        if made.membership
    ]
    return Table(
        "Does a synthetic set tell who was in the training?",
        ["network", "of", "membership AUC, .5 is chance", "outcome"],
        rows,
        left=frozenset({0, 1, 3}),
        note="“No leak shown” by this one attack does not mean private.",
    )


def _plain(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _both(figure: Mapping[str, Mapping[str, float]]) -> str:
    return f"{_plain(figure['generator'])}\n{_plain(figure['floor'])}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _attraction(most: Mapping[str, Any] | None) -> str:
    return NONE if most is None else f"{_share(most['share'])}, {_share(most['limit'])}"


def _controls(controls: Mapping[str, Any] | None) -> list[str]:
    if controls is None:
        return [NONE, NONE]
    found = "\n".join(f"{_share(share)} at {planted}" for planted, share in controls["planted_found"].items())
    return [found, _share(controls["held_out_alarms"])]

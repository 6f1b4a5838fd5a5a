"""`lesionlabel readers agreement|disagreements|adjudicate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lesionlabel.evaluation.agreement import Pair
    from lesionlabel.lesions.consensus import Settled

readers_app = typer.Typer(help="Several readers: how far they agree, where they differ, and deciding it.", no_args_is_help=True)
Studies = Annotated[Path, typer.Option(help="the studies folder")]


@readers_app.command("agreement")
def agreement(
    studies: Studies,
    blind: Annotated[bool, typer.Option("--blind", help="only decisions made without a model's answer")] = False,
) -> None:
    """Kappa of each two readers, on what both marked; what only one marked; outlines and diameters."""
    from lesionlabel.datastore.cohort import open_studies
    from lesionlabel.datastore.readers import agreement_of_readers
    from lesionlabel.settings import Settings

    settings = Settings()
    datastore, _ = open_studies(studies, settings)
    figures, note = agreement_of_readers(datastore, settings.classes, blind)
    if not figures.pairs:
        print("No image was read by two readers" + (" without a model's answer." if blind else "."))
        return
    print(note)
    for pair in figures.pairs:
        print()
        print("\n".join(_pair_lines(pair)))
    if len(figures.readers) > 2:
        print(f"\nFleiss' kappa of all {len(figures.readers)}: {figures.fleiss.plain() if figures.fleiss else figures.no_fleiss}")


@readers_app.command("disagreements")
def list_disagreements(
    studies: Studies,
    settled: Annotated[bool, typer.Option("--settled", help="also those settled by proof or an adjudicator")] = False,
) -> None:
    """The lesions on which readers differ and nobody decided. None of them trains or is in a figure."""
    from lesionlabel.datastore.cohort import open_studies
    from lesionlabel.datastore.readers import disagreements
    from lesionlabel.settings import Settings

    datastore, _ = open_studies(studies, Settings())
    found = disagreements(datastore, settled)
    for image_id, one in found:
        print(f"{image_id}  {_told(one)}")
    if not found:
        print("Readers differ on no lesion that is open." if not settled else "Readers differ on no lesion.")


@readers_app.command("adjudicate")
def adjudicate(
    image: Annotated[str, typer.Argument(help="the image's id")],
    lesion: Annotated[str, typer.Argument(help="the lesion's id, as 'readers disagreements' prints it")],
    label: Annotated[str, typer.Argument(help="a class, 'other' or 'no lesion'")],
    studies: Studies,
    by: Annotated[str, typer.Option(help="who decides: none of the lesion's readers")],
    reason: Annotated[str, typer.Option(help="what shows that it is so; kept for ever")],
    proof: Annotated[str, typer.Option(help="what it rests on: pathology, follow-up, other imaging, consensus")] = "",
    replaces: Annotated[str, typer.Option(help="the id of the adjudication that stands, to decide otherwise")] = "",
) -> None:
    """Decide over a lesion on which readers differ."""
    from lesionlabel.datastore.answers import AnswerLog
    from lesionlabel.datastore.cohort import open_studies
    from lesionlabel.datastore.curate import saw_model
    from lesionlabel.settings import Settings

    settings = Settings()
    datastore, store = open_studies(studies, settings)
    volume = store.open(Path(datastore.get_image_uri(image)))
    seen = saw_model(AnswerLog.of_studies(datastore.studies), image, volume, by)
    decided = datastore.readings.adjudicate(
        image, lesion, label, by, reason, settings.classes, seen, proof=proof, replaces=replaces
    )
    print(f"{image}  {_told(decided)}")


def _told(one: Settled) -> str:
    said = "; ".join(f"{s.reader}: {s.label or 'not marked'} ({s.proof})" for s in one.read.stances)
    lesion = one.read.marked[-1]
    where = f"slice {lesion.contour.slice_index}, {lesion.diameter_mm:.0f} mm"
    state = str(one.agreement)
    if one.adjudication is not None:
        word = "no longer stands" if one.reopened else f"id {one.adjudication.id}"
        state += f": {one.adjudication.label} by {one.adjudication.by} ({word})"
    elif one.lesion is not None:
        state += f": {one.lesion.label}"
    return f"{lesion.lesion_id}  {where}  {said}  [{state}]"


def _pair_lines(pair: Pair) -> list[str]:
    both, first_only, second_only = pair.found
    lines = [
        f"{pair.first} and {pair.second}: {both} lesions marked by both, {first_only} by {pair.first} only, {second_only} by "
        f"{pair.second} only, {pair.patients} patients"
    ]
    if pair.detection is not None:
        lines.append(f"  agreement on what is a lesion  {pair.detection.plain()}")
    if pair.agreement is not None:
        lines.append(f"  same type                      {pair.agreement.percent()}")
    lines.append(f"  Cohen's kappa                  {pair.why_no_kappa if pair.kappa is None else pair.kappa.plain()}")
    lines.append(f"  malignant against benign       {pair.malignant_against_benign} lesions")
    if pair.dice is not None:
        median, low, high = pair.dice
        lines.append(f"  Dice of {pair.same_slice} outlines in one slice: median {median:.2f}, quartiles {low:.2f} to {high:.2f}")
    if pair.diameter_mm is not None:
        mean, low, high = pair.diameter_mm
        lines.append(f"  diameter, {pair.second} less {pair.first}: mean {mean:+.1f} mm, limits {low:+.1f} to {high:+.1f} mm")
    width = max(len(name) for name in pair.class_names)
    head = "  ".join(f"{name:>{width}}" for name in pair.class_names)
    lines.append(f"  {pair.first} in rows, {pair.second} in columns")
    lines.append(f"  {'':{width}}  {head}")
    for name, row in zip(pair.class_names, pair.confusion, strict=True):
        lines.append(f"  {name:{width}}  " + "  ".join(f"{count:>{width}}" for count in row))
    return lines

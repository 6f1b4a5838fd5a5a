"""What the window's controls say and which of them can be used now: the window only copies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .answer import NOT_CLINICAL
from .outbox import Waiting
from .session import Session, Stage


@dataclass(frozen=True)
class Row:
    """One lesion in the table."""

    number: int
    own_type: str
    final_type: str
    model: str
    how: str


@dataclass(frozen=True)
class Panel:
    """enabled, texts: by the name of the control in LesionLabel.ui."""

    enabled: dict[str, bool]
    texts: dict[str, str]
    rows: list[Row]


def panel_of(
    session: Session | None, busy: bool, selected: int | None, waiting: Sequence[Waiting], damaged: Sequence[Path] = ()
) -> Panel:
    """session: None before there is a connection. selected: number of the lesion in the table. damaged: of the outbox."""
    free = session is not None and not busy
    case = session.case if session is not None else None
    patients = free and case is not None and case.synthetic is None
    lesion = session.lesions.get(selected) if session is not None and selected is not None else None
    marked = patients and session is not None and bool(session.lesions)
    revealed = session is not None and any(one.answer is not None for one in session.lesions.values())
    answered = patients and lesion is not None and lesion.answer is not None
    outlines = session is not None and session.offers.outlines
    enabled = {
        "connectButton": not busy,
        "nextButton": free and session is not None and bool(session.offers.strategies),
        "openButton": free,
        "syntheticButton": free and session is not None and bool(session.offers.synthetic),
        "clickButton": patients and outlines,
        "insideButton": patients and outlines and lesion is not None,
        "outsideButton": patients and outlines and lesion is not None and bool(lesion.inside),
        "measureButton": patients,
        "drawButton": patients,
        "correctButton": patients and lesion is not None,
        "removeButton": patients and lesion is not None,
        "typeCombo": patients and lesion is not None,
        "proofCombo": patients,
        "ownFirstCheck": free and not revealed,
        "overrideCheck": patients,
        "decideButton": marked and not revealed,
        "revealButton": marked and _may_see(session, revealed),
        "heatCheck": answered,
        "similarButton": answered,
        "submitButton": marked,
        "sendAgainButton": free and bool(waiting),
    }
    texts = {
        "stageLabel": _stage(session, busy),
        "caseLabel": "" if case is None else case.synthetic or case.title,
        "waitingLabel": _waits(waiting, damaged),
        "notClinicalLabel": NOT_CLINICAL,
    }
    return Panel({name: bool(on) for name, on in enabled.items()}, texts, _rows(session))


def _may_see(session: Session | None, revealed: bool) -> bool:
    return session is not None and (not session.own_type_first or revealed or session.stage is Stage.DECIDED)


def _stage(session: Session | None, busy: bool) -> str:
    if busy:
        return "Working …"
    return "Not connected." if session is None else f"{session.stage.value[0].upper()}{session.stage.value[1:]}."


def _waits(waiting: Sequence[Waiting], damaged: Sequence[Path]) -> str:
    said = [
        f"The decision kept in {folder} cannot be read and is not sent: show it to who runs the server." for folder in damaged
    ]
    if waiting:
        what = "One decision waits" if len(waiting) == 1 else f"{len(waiting)} decisions wait"
        said.insert(0, f"{what} on this computer for the server, the oldest since {waiting[0].made_at} (UTC).")
    return "\n".join(said)


def _rows(session: Session | None) -> list[Row]:
    lesions = session.lesions.values() if session is not None else ()
    return [
        Row(one.number, one.own_type, one.final_type, one.answer.headline if one.answer is not None else "", one.how)
        for one in lesions
    ]

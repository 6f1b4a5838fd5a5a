"""Several readers over REST: who decided what, where they differ, deciding it, and how far they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body
from monailabel.config import settings as host
from monailabel.endpoints.user.auth import User
from pydantic import BaseModel, ConfigDict, Field

from lesionlabel.datastore.curate import saw_model
from lesionlabel.datastore.names import require_id
from lesionlabel.datastore.readers import agreement_of_readers, disagreements, image_readings
from lesionlabel.lesions.consensus import Agreement
from lesionlabel.server.roles import REVIEWER, USER
from lesionlabel.server.running import running_app

router = APIRouter(prefix="/api/v1")


class Verdict(BaseModel):
    """A decision over a lesion on which readers differ, kept for ever.

    lesion: its id in any of the readers' last decisions. label: a class, "other" or "no lesion". by: the signed-in user where
    signing in is switched on. proof, replaces: as in Readings.adjudicate.
    """

    model_config = ConfigDict(extra="forbid")

    lesion: str
    label: str
    by: str = ""
    reason: Annotated[str, Field(max_length=2000)] = ""
    proof: str = ""
    replaces: str = ""


@router.get("/images/{image}/readings")
def get_readings(image: str, user: User = USER) -> dict[str, Any]:
    """Each reader's decision on an image, what counts of each lesion, and every adjudication.

    A reader who has not read the image yet should not see this first.
    """
    return image_readings(running_app().datastore(), require_id(image))


@router.post("/images/{image}/adjudicate")
def adjudicate(image: str, verdict: Annotated[Verdict, Body()], user: User = REVIEWER) -> dict[str, Any]:
    """Decide over a lesion on which readers differ. 422 says why it cannot be decided so."""
    app, image_id = running_app(), require_id(image)
    by = user.username if host.MONAI_LABEL_AUTH_ENABLE else verdict.by
    volume = app.desk.store.open(Path(app.datastore().get_image_uri(image_id)))
    settled = app.datastore().readings.adjudicate(
        image_id,
        verdict.lesion,
        verdict.label,
        by,
        verdict.reason,
        app.settings.classes,
        saw_model(app.answers, image_id, volume, by),
        proof=verdict.proof,
        replaces=verdict.replaces,
    )
    return {"image": image_id, **settled.to_json()}


@router.get("/disagreements")
def list_disagreements(settled: bool = False, user: User = USER) -> dict[str, Any]:
    """The lesions on which readers differ and nobody decided; with settled=true also those settled by proof or an adjudicator."""
    found = disagreements(running_app().datastore(), settled)
    return {
        "open": sum(one.agreement is Agreement.OPEN for _, one in found),
        "lesions": [{"image": image_id, **one.to_json()} for image_id, one in found],
    }


@router.get("/agreement")
def get_agreement(blind: bool = False, user: User = USER) -> dict[str, Any]:
    """How far readers agree, in pairs and together; blind=true takes only decisions made without a model's answer."""
    app = running_app()
    figures, note = agreement_of_readers(app.datastore(), app.settings.classes, blind)
    return {"blind": blind, "note": note, **figures.to_json()}

"""A model's answer as a DICOM object for download: the outline as SEG, the type as SR. Nothing is stored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from starlette.responses import Response

from lesionlabel.datastore.given_answers import SEGMENTED, answers_in
from lesionlabel.datastore.result_documents import report_of_answers, segmentation_of_voxels
from lesionlabel.datastore.results import Cases
from lesionlabel.datastore.segments import read_segments
from lesionlabel.lesions.errors import InputError
from lesionlabel.server.running import running_app

DICOM = "application/dicom"


def require_series(image: Any) -> tuple[Cases, str]:
    """What makes documents, and the image's id. Raises InputError where there is no DICOM series to make them on."""
    cases = running_app().cases
    if cases is None or not isinstance(image, str):
        raise InputError(
            "DICOM results need an image that came from a PACS: serve it with --studies http://…/dicom-web and name the series "
            "as image. For other images output is json, image or all."
        )
    return cases, image


def as_segmentation(image: Any, result: dict[str, Any]) -> Response:
    """result: of an inference that wrote voxels. Raises InputError where nothing was outlined."""
    cases, image_id = require_series(image)
    params = result["params"]
    names = {int(value): str(name) for name, value in (params.get("label_names") or {}).items()}
    with cases.of(image_id) as (case, volume):
        segments = read_segments(Path(result["file"]), volume)
        outlined = []
        for value in segments.values:
            where = np.argwhere(segments.mask == value) + np.array(segments.start)
            outlined.append((f"{names.get(value, 'lesion')}, model's outline", where[:, ::-1].astype(np.int64)))
        lesion = params.get("lesion") or {}
        drawn = str(lesion.get("outlined_by", SEGMENTED)).startswith(SEGMENTED)
        return _response(segmentation_of_voxels(case, outlined, drawn), "seg")


def as_report(image: Any, result: dict[str, Any]) -> Response:
    """result: of an inference. Raises InputError where it gave no lesion a type."""
    cases, image_id = require_series(image)
    answers = answers_in(result["params"])
    if not answers:
        why = result["params"].get("why_not") or "The model gave no type."
        raise InputError(f"There is nothing to report: {why}")
    with cases.of(image_id) as (case, _):
        return _response(report_of_answers(case, answers), "sr")


def _response(ds: Dataset, kind: str) -> Response:
    content = io.BytesIO()
    ds.save_as(content, write_like_original=False)
    headers = {"Content-Disposition": f'attachment; filename="research-{kind}.dcm"', "Cache-Control": "no-store"}
    return Response(content.getvalue(), media_type=DICOM, headers=headers)

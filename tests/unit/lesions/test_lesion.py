"""A lesion's record, and the words for how it was proven."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Lesion, Proof, parse_proof


@pytest.fixture
def lesion() -> Lesion:
    return Lesion(
        lesion_id="image-1-3",
        image="image-1",
        contour=contour_from_circle((100.25, 80.5), 30.0, 41),
        diameter_mm=22.5,
        label="cyst",
        proof=Proof.OTHER_IMAGING,
        reader="reader-2",
        curated_at="2026-01-02T03:04:05+00:00",
        saw_model=None,
    )


def test_a_record_comes_back_through_json(lesion: Lesion) -> None:
    read = Lesion.from_json(json.loads(json.dumps(lesion.to_json())))
    assert read.to_json() == lesion.to_json()
    assert read.contour.slice_index == 41
    np.testing.assert_allclose(read.contour.points, lesion.contour.points, atol=0.0006)
    assert read.saw_model is None


def test_a_record_that_is_not_complete_is_refused(lesion: Lesion) -> None:
    for key in lesion.to_json():
        broken = {name: value for name, value in lesion.to_json().items() if name != key}
        with pytest.raises(InputError, match=key):
            Lesion.from_json(broken)
    for key, value in (("slice", "third"), ("contour", [[1, "x"]]), ("diameter_mm", None), ("proof", "hearsay")):
        with pytest.raises(InputError):
            Lesion.from_json({**lesion.to_json(), key: value})


def test_proof_levels_are_read_as_people_write_them() -> None:
    assert {parse_proof(text) for text in ("follow-up", "Follow up", " FOLLOW_UP", "followup")} == {Proof.FOLLOW_UP}
    assert parse_proof("single_reader") is Proof.SINGLE_READER
    assert [proof for proof in Proof if proof.is_strong] == [Proof.PATHOLOGY, Proof.FOLLOW_UP, Proof.OTHER_IMAGING]
    with pytest.raises(InputError, match=r"hearsay.*pathology"):
        parse_proof("hearsay")

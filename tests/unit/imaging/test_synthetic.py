from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.synthetic import SyntheticMark, is_synthetic_name, says_synthetic
from lesionlabel.lesions.errors import InputError


def test_a_mark_says_in_one_line_what_it_is_and_how_to_make_it_again(mark: SyntheticMark) -> None:
    assert says_synthetic(mark.text)
    for words in (
        "SYNTHETIC",
        "no patient",
        "LesionLabel",
        "cyst",
        "gan_cyst",
        mark.version,
        "seed 7",
        "image 40",
        "0.7",
        "patients",
    ):
        assert words in mark.text
    assert "\n" not in mark.text
    record = mark.to_json()
    assert record["synthetic"] is True
    assert {key: record[key] for key in ("label", "sha256", "seed", "first", "trained_on", "truncation")} == {
        "label": "cyst",
        "sha256": "5e" * 32,
        "seed": 7,
        "first": 40,
        "trained_on": "patients",
        "truncation": 0.7,
    }
    assert "truncation" not in replace(mark, truncation=None).text


@pytest.mark.parametrize("label", ["cyst", "Zyste (groß) / ..", "嚢胞"])
def test_file_names_are_safe_and_tell_series_apart(label: str, mark: SyntheticMark) -> None:
    stem = replace(mark, label=label).stem
    assert re.fullmatch(r"SYNTHETIC-[A-Za-z0-9-]+", stem)
    assert is_synthetic_name(f"{stem}.nii.gz")
    assert stem != replace(mark, label=label, first=41).stem != replace(mark, label=label, seed=8).stem


def test_only_marked_names_are_marked() -> None:
    assert is_synthetic_name(Path("in/synthetic-CYST.dcm"))
    for name in ("cyst.png", "SYNTHETIC-folder/cyst.png", "nosynthetic-cyst.png", "synthetics.png"):
        assert not is_synthetic_name(Path(name))


@pytest.mark.parametrize("text", ["SYNTHETIC MR of the brain", "Not SYNTHETIC, no patient", "", "SIMULATED phantom, no patient"])
def test_other_texts_are_no_marks(text: str) -> None:
    assert not says_synthetic(text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label": ""}, "printable"),
        ({"label": "a\nb"}, "printable"),
        ({"label": "a\\b"}, "backslash"),
        ({"generator": "../gan"}, "generator"),
        ({"version": "v 1"}, "version"),
        ({"sha256": "abc"}, "64 of"),
        ({"seed": -1}, "0 or more"),
        ({"first": -1}, "0 or more"),
        ({"trained_on": "both"}, "'phantom' or 'patients'"),
        ({"truncation": 0.0}, "positive"),
        ({"truncation": float("nan")}, "positive"),
    ],
)
def test_a_mark_cannot_be_wrong(wrong: dict, message: str, mark: SyntheticMark) -> None:
    with pytest.raises(InputError, match=message):
        replace(mark, **wrong)


@pytest.mark.parametrize("field", ["label", "generator", "version"])
def test_a_mark_never_holds_a_pseudonym(field: str, mark: SyntheticMark, tmp_path: Path) -> None:
    pseudonym = Identity(tmp_path).patient("4711")
    for value in (pseudonym, f"gan-{pseudonym}", f"phantom-{pseudonym}"):
        with pytest.raises(InputError, match="nobody's"):
            replace(mark, **{field: value})

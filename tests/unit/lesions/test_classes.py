"""The class list is a site's file: read right, or refused with what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList, read_classes
from lesionlabel.lesions.errors import InputError, UnknownClassError

HCC = '[[class]]\nname = "HCC"\nsnomed = "109841003"\nmeaning = "Liver cell carcinoma"\nbenign = false\ncolour = [200, 60, 60]\n'
FNH = '[[class]]\nname = "FNH"\nsnomed = "278527001"\nmeaning = "FNH of liver"\nbenign = true\ncolour = [60, 200, 60]\n'


def read(text: str, folder: Path) -> ClassList:
    path = folder / "classes.toml"
    path.write_text(text, encoding="utf-8")
    return read_classes(path)


def test_a_sites_classes_keep_their_order(tmp_path: Path) -> None:
    classes = read(HCC + FNH, tmp_path)
    assert classes.names == ["HCC", "FNH"]
    assert (classes.benign_indices(), classes.malignant_indices()) == ([1], [0])
    first = next(iter(classes))
    assert (first.snomed, first.meaning, first.colour) == ("109841003", "Liver cell carcinoma", (200, 60, 60))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at least two"),
        (HCC, "at least two"),
        (HCC + HCC.replace("HCC", "hcc"), "differ in more than case"),
        (HCC + FNH.replace("FNH", "Background"), "background"),
        (HCC + FNH.replace("278527001", "D13-4"), "Class 2.*snomed 'D13-4'"),
        (HCC + FNH.replace("benign = true\n", ""), "Class 2.*benign"),
        (HCC + FNH.replace("[60, 200, 60]", "[60, 200]"), "Class 2"),
        (HCC + FNH.replace("[60, 200, 60]", "[60, 200, 256]"), "0 to 255"),
        (HCC.replace("false", '"false"') + FNH, "Class 1.*without quotes"),
        (HCC.replace("[[class]]", "[class]"), "double brackets"),
        ("class = 5", "double brackets"),
        ("class = [1, 2]", "Class 1"),
        ("[[class", "cannot be read"),
    ],
)
def test_a_wrong_class_file_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read(text, tmp_path)


def test_a_missing_or_binary_class_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        read_classes(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_classes(tmp_path / "binary.toml")


def test_names_are_found_whatever_their_case_and_only_they() -> None:
    assert DEFAULT_CLASSES.index(" Metastasis ") == 1
    assert DEFAULT_CLASSES.malignant_indices() == [1]
    with pytest.raises(UnknownClassError, match=r"'HCC'.*cyst, metastasis, hemangioma"):
        DEFAULT_CLASSES.index("HCC")

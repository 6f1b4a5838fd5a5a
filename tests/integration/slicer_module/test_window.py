"""The module's files as 3D Slicer takes them up. There is no Qt here: the window never runs, only its parts are looked at."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof
from LesionLabelLib.answer import Answer
from LesionLabelLib.pages import answer_page, similar_page
from LesionLabelLib.panel import panel_of
from LesionLabelLib.placing import Placing
from LesionLabelLib.worker import Worker

MODULE = Path(__file__).parents[3] / "plugins" / "slicer" / "LesionLabel"
FILES = sorted(MODULE.rglob("*.py"))
WINDOW = ast.parse((MODULE / "LesionLabel.py").read_text(encoding="utf-8"))
CONTROLS = {item.get("name"): item.get("class") for item in ET.parse(MODULE / "Resources/UI/LesionLabel.ui").iter("widget")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_python_3_9_and_only_the_window_needs_slicer(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {
        str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert bool(imported & {"qt", "ctk", "slicer"}) == (path.name == "LesionLabel.py")


def test_an_extension_build_takes_every_file():
    listed = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "LesionLabel").split()
    found = [path for path in MODULE.rglob("*") if path.suffix in (".py", ".ui", ".png")]
    assert {str(path.relative_to(MODULE)) for path in found} <= set(listed)


def test_the_window_names_controls_that_are_there():
    used = {
        node.attr
        for node in ast.walk(WINDOW)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "ui"
    }
    named = {str(n.value) for n in ast.walk(WINDOW) if isinstance(n, ast.Constant) and str(n.value) in CONTROLS}
    panel = panel_of(None, False, None, [])
    assert used | set(panel.enabled) | set(panel.texts) <= set(CONTROLS)
    buttons = {name for name, kind in CONTROLS.items() if kind in ("QPushButton", "QCheckBox")} - {"wholeCheck"}
    assert buttons <= named


def test_every_slot_of_the_window_is_a_method_of_it():
    methods = {node.name for node in ast.walk(WINDOW) if isinstance(node, ast.FunctionDef)}
    slots = next(node.value for node in WINDOW.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SLOTS")
    assert set(ast.literal_eval(slots).values()) <= methods


def test_the_proofs_are_the_servers():
    from LesionLabelLib.case import PROOFS

    assert list(PROOFS) == [str(proof) for proof in Proof]


def test_without_a_connection_only_connecting_is_offered():
    panel = panel_of(None, False, None, [])
    assert [name for name, on in panel.enabled.items() if on] == ["connectButton"]
    assert panel.texts["notClinicalLabel"] == "Research software, not for clinical use."


def test_an_answer_page_says_what_it_chooses_among_first_and_escapes_what_came():
    json = {
        "answered": True,
        "display": "metastasis, about 85 %",
        "prediction": [
            {"label": "cyst", "score": 0.004},
            {"label": "metastasis", "score": 0.846},
            {"label": "<b>", "score": 0.15},
        ],
        "closed_set": "Chooses only among cyst and metastasis; HCC, abscess, FNH and others will be misnamed.",
        "reader_notes": ["The image is portal-venous.", "90 % of such sets hold the type."],
        "prediction_set": {"classes": ["metastasis"], "sentence": "90 % of such sets hold the type."},
        "unlike": {"percentile": 99.0, "warn": True, "sentence": "Unlike 99 % of the curated lesions."},
    }
    page = answer_page(2, "cyst", Answer(json))
    said = [
        "Chooses only among", "Lesion 2: metastasis, about 85 %", "Your own type: cyst", "<td>metastasis", "&lt;b&gt;",
        "under 5 %", "90 % of such sets", "Unlike 99 %", "not for clinical use", "portal-venous",
    ]  # fmt: skip
    places = [page.index(text) for text in said]
    assert places == sorted(places)
    assert page.count("90 % of such sets") == 1
    assert "color: #b00020" in page
    bare = Answer({"answered": True, "display": "cyst", "prediction": []})
    assert "Prediction set: not available" in bare.text
    assert "Unlike anything curated: not available" in bare.text
    assert "Research software, not for clinical use." in bare.text
    refused = Answer(
        {"answered": False, "display": "too small to characterise", "reader_notes": ["Chooses only among", "Too small."]}
    )
    assert "Prediction set" not in refused.text
    assert "Too small." in refused.text


def test_a_page_of_similar_lesions_says_where_their_readers_differed_and_that_there_may_be_none():
    one = {"class": "cyst", "diameter_mm": 21.0, "proof": "consensus", "readers": 2, "picture": "iVBOR"}
    assert "they differ" not in similar_page({"similar": [one]})
    assert "they differ: cyst: 1, other: 1" in similar_page(
        {"similar": [{**one, "disputed": True, "said": {"cyst": 1, "other": 1}}]}
    )
    assert "Nothing to compare with." in similar_page({"similar": [], "sentence": "Nothing to compare with."})


def test_points_are_told_once_all_are_set_and_are_gone_then(slicer, mrml_scene):
    selection = mrml_scene.AddNewNodeByClass("vtkMRMLSelectionNode")
    interaction = mrml_scene.AddNewNodeByClass("vtkMRMLInteractionNode")
    put_off, told = [], []
    placing = Placing(slicer, mrml_scene, selection, interaction, put_off.append)
    line = placing.start("vtkMRMLMarkupsLineNode", 2, told.append)
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    line.AddControlPoint((1.0, 2.0, 3.0))
    assert put_off == []
    line.AddControlPoint((4.0, 5.0, 6.0))
    put_off.pop()()
    assert told == [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    # Begun and left: nothing is told, and nothing stays.
    placing.start("vtkMRMLMarkupsFiducialNode", 1, told.append).AddControlPoint((0.0, 0.0, 0.0))
    placing.stop()
    put_off.pop()()
    assert len(told) == 1
    assert mrml_scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0


def test_a_click_that_was_begun_ends_when_the_server_is_asked_something(slicer, mrml_scene):
    selection = mrml_scene.AddNewNodeByClass("vtkMRMLSelectionNode")
    interaction = mrml_scene.AddNewNodeByClass("vtkMRMLInteractionNode")
    put_off, told = [], []
    placing = Placing(slicer, mrml_scene, selection, interaction, put_off.append)
    worker = Worker(placing.stop)
    placing.start("vtkMRMLMarkupsFiducialNode", 1, told.append).AddControlPoint((1.0, 2.0, 3.0))
    worker.start(lambda: "answers", told.append, told.append)
    put_off.pop()()
    while worker.is_busy:
        worker.poll()
    assert told == ["answers"]
    assert mrml_scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0


def test_the_installed_package_writes_the_module_and_nothing_over_other_files(tmp_path):
    from lesionlabel.cli.slicer_module import copy_module

    assert CliRunner().invoke(app, ["slicer-module", str(tmp_path)]).exit_code == 0
    written = {
        str(path.relative_to(tmp_path / "LesionLabel")) for path in (tmp_path / "LesionLabel").rglob("*") if path.is_file()
    }
    ours = {str(path.relative_to(MODULE)) for path in MODULE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert written == ours | {"README.md"}
    copy_module(tmp_path)
    (tmp_path / "other" / "LesionLabel").mkdir(parents=True)
    with pytest.raises(InputError, match="not our module"):
        copy_module(tmp_path / "other")

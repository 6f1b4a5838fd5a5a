import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.candidates import find_candidates
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import Versions, starter_folder
from lesionlabel.settings import Settings
from lesionlabel.strategies import scoring
from lesionlabel.strategies.scoreboard import Scoreboard
from lesionlabel.strategies.scoring import read_work, score, write_work
from lesionlabel.strategies.views import CURATED, DETECTED, IMPORTED

#: Of the tiny CT's lesions, in mm of its own grid.
CYST, METASTASIS = np.array([35, 45, 12]), np.array([62, 50, 10])


def test_the_detector_finds_what_is_dark_round_and_enclosed_and_nothing_in_plain_liver(tmp_path, tiny_ct):
    tiny_ct(tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    found = find_candidates(volume, load_segmenter(starter_folder("lesion_segmenter")))
    for place, diameter_mm in ((CYST, 28), (METASTASIS, 20)):
        [near] = [
            c
            for c in found
            if np.linalg.norm((volume.to_native((*c.contour.centre, c.contour.slice_index)) - place) * (2, 2, 3)) < 8
        ]
        assert near.contour.diameter_px * 2 == pytest.approx(diameter_mm, abs=7)
        assert 0 < near.weight <= 1
    plain = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    hu = sitk.GetArrayFromImage(plain)
    hu[(hu > -50) & (hu < 200)] = 105
    even = sitk.GetImageFromArray(hu)
    even.CopyInformation(plain)
    sitk.WriteImage(even, str(tmp_path / "b.nii.gz"))
    assert find_candidates(read_volume(tmp_path / "b.nii.gz"), load_segmenter(starter_folder("lesion_segmenter"))) == []


@pytest.fixture
def site(tmp_path, tiny_ct, tiny_label, promote_untrained):
    """A studies folder: a curated image, one with a label that came along, one without, and one that is no image."""
    settings = Settings(home=tmp_path / "home", device="cpu")
    promote_untrained(settings)
    studies = tmp_path / "studies"
    for name in ("curated", "imported", "plain"):
        tiny_ct(studies / f"{name}.nii.gz")
    (studies / "broken.nii.gz").write_bytes(b"no image")
    original = studies / "labels" / "original"
    original.mkdir(parents=True)
    tiny_label(original / "imported.nii.gz", {"cyst": 2, "metastasis": 1})
    names = {"segments": [{"value": 1, "name": "liver"}, {"value": 2, "name": "livertumor1"}]}
    (original / "imported.segments.json").write_text(json.dumps(names))
    curator = Curator(lambda path: read_volume(path), settings.classes, AnswerLog(tmp_path / "answers"))
    datastore = CuratedDatastore(studies, curator)
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    told = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}]}
    datastore.save_label("curated", str(tmp_path / "label.nii.gz"), "final", told)
    return settings, studies, datastore


def test_every_volume_is_looked_at_once_for_each_model(site, monkeypatch):
    settings, studies, datastore = site
    scoreboard = Scoreboard(settings, Versions(settings))
    board = scoreboard.look(datastore)
    assert board.views == {}
    # As the process reads it.
    write_work(studies.parent / "work.json", board.missing)
    score(read_work(studies.parent / "work.json"), settings)
    found: dict[str, Any] = {**scoreboard.look(datastore).views}
    assert {name: view.found_by for name, view in found.items()} == {
        "curated": CURATED,
        "imported": IMPORTED,
        "plain": DETECTED,
        "broken": DETECTED,
    }
    assert len(found["curated"].seen.weights) == 2
    # Of the label that came along the lesion counts, not the liver.
    assert len(found["imported"].seen.weights) == 1
    assert found["plain"].seen.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert found["broken"].seen is None
    assert found["broken"].problem
    assert str(studies) not in found["broken"].problem

    def refuse(path: Path):
        raise AssertionError(f"{path.name} is read again")

    monkeypatch.setattr(scoring, "read_volume", refuse)
    (studies / "plain.nii.gz").touch()
    again = scoreboard.look(datastore)
    assert [work.image_id for work in again.missing] == ["plain"]
    score(again.missing, settings)  # the same image, so only the time is noted
    assert scoreboard.look(datastore).missing == ()


def test_a_volume_that_ends_the_process_is_not_tried_for_ever(site, monkeypatch):
    settings, _, datastore = site
    scoreboard, tried = Scoreboard(settings, Versions(settings)), []

    def die(path: Path):
        tried.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "read_volume", die)
    while missing := scoreboard.look(datastore).missing:
        with pytest.raises(KeyboardInterrupt):
            score(missing, settings)
    assert sorted(tried) == sorted([f"{name}.nii.gz" for name in ("broken", "curated", "imported", "plain")] * 2)


def test_the_process_fills_the_board_and_ends(site):
    settings, _, datastore = site
    scoreboard = Scoreboard(settings, Versions(settings))
    (settings.scores_folder / "another-model").mkdir(parents=True)
    scoreboard.complete(scoreboard.look(datastore), {"curated", "imported", "plain", "broken"})
    process = scoreboard._process
    assert process is not None
    assert process.wait(300) == 0
    board = scoreboard.look(datastore)
    assert (len(board.views), board.missing) == (4, ())
    assert not (settings.scores_folder / "another-model").exists()


def test_a_damaged_segmenter_ends_the_process_as_failed_and_says_so(site, monkeypatch, caplog):
    """Or each Next Sample would start another process for nothing, and nobody would know why nothing is scored."""
    settings, studies, datastore = site
    write_work(studies.parent / "work.json", Scoreboard(settings, Versions(settings)).look(datastore).missing)
    monkeypatch.setattr(scoring, "starter_folder", lambda name: studies)
    monkeypatch.setattr(scoring, "Settings", lambda: settings)
    monkeypatch.setattr("sys.argv", ["scoring", str(studies.parent / "work.json")])
    monkeypatch.setattr("os.nice", lambda by: 0)
    with pytest.raises(SystemExit) as ended:
        scoring.main()
    assert ended.value.code == 1
    assert "Volumes are not scored" in caplog.text


def test_it_ends_when_told_and_without_a_model(site, tmp_path):
    settings, _, datastore = site
    missing = Scoreboard(settings, Versions(settings)).look(datastore).missing
    score(missing, settings, lambda: True)
    score(missing, Settings(home=tmp_path / "none", allow_starter=False))
    assert not list(tmp_path.glob("*/scores/*/*.npz"))

"""A reader's way through a case against a live server: blind first, then the model's, corrected, submitted, and nothing lost."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from LesionLabelLib.case import OTHER
from LesionLabelLib.errors import ServerError, StepError, UnreachableError
from LesionLabelLib.pages import similar_page
from LesionLabelLib.panel import panel_of
from LesionLabelLib.segmentation import Region, region_of
from LesionLabelLib.session import KEPT, Stage

pytestmark = pytest.mark.acceptance
#: On the axial grid.
CYST, METASTASIS = (35, 45, 12), (62, 50, 10)


def box(scene, centre: tuple[int, int, int], half: int = 4) -> Region:
    """A lesion as a reader paints it: a cube of voxels around one of the axial grid."""
    mask = np.zeros(scene.geometry.shape, dtype=np.uint8)
    i, j, k = centre
    mask[k - 1 : k + 2, j - half : j + half + 1, i - half : i + half + 1] = 1
    return region_of(mask)


def mark_both(session, scene) -> dict[int, Region]:
    regions = {}
    for label, centre in (("cyst", CYST), ("metastasis", METASTASIS)):
        lesion = session.mark("drawn")
        session.set_type(lesion.number, label)
        scene.show(lesion.number, str(lesion.number), box(scene, centre))
        regions[lesion.number] = scene.region(lesion.number)
    return regions


def label_info_on(site, image: str) -> dict:
    return site.get("/datastore/?output=all")["objects"][image]["labels"]["final"]["info"]


def decisions_on(site, image: str) -> list[dict]:
    """What the server keeps of every save, oldest first."""
    history = site.studies / "labels" / "history" / "labels" / "final" / image
    return [json.loads((version / "record.json").read_text())["info"] for version in sorted(history.iterdir())]


def test_the_own_type_is_on_the_server_as_blind_before_the_model_answers_and_a_correction_comes_after(site, new_session, opened):
    session = new_session("reader-blind")
    scene = opened(session, "blind")
    regions = mark_both(session, scene)
    session.set_proof("pathology")
    with pytest.raises(StepError, match="not on the server yet"):
        session.reveal(regions)
    first = session.decide(regions)
    assert (first.saved, first.saw_model) == (True, False)
    [blind] = decisions_on(site, "blind")
    assert [(lesion["label"], lesion["saw_model"]) for lesion in blind["lesions"]] == [("cyst", False), ("metastasis", False)]
    assert blind["proof"] == "pathology"

    # Another outline than the one that is on the server is not asked about.
    with pytest.raises(StepError, match="not on the server yet"):
        session.reveal({**regions, 1: box(scene, CYST, half=5)})
    with pytest.raises(StepError, match="answer about this lesion first"):
        session.similar(1)
    with pytest.raises(StepError, match="answer about this lesion first"):
        session.heat_map(1)
    answers = session.reveal(regions)
    for answer in answers.values():
        assert answer.is_typed
        assert answer.text.startswith("Chooses only among cyst, metastasis and hemangioma; HCC, abscess")
        assert "Research software, not for clinical use." in answer.notes
        assert len(answer.probabilities) == 3
    with pytest.raises(StepError, match="is a correction"):
        session.decide(regions)

    session.set_type(2, OTHER)
    assert (session.lesions[2].own_type, session.lesions[2].final_type) == ("metastasis", OTHER)
    after = session.submit(regions)
    assert (after.saved, after.saw_model) == (True, True)
    kept = decisions_on(site, "blind")
    assert [[(x["label"], x["saw_model"]) for x in one["lesions"]] for one in kept] == [
        [("cyst", False), ("metastasis", False)],
        [("cyst", True), ("other", True)],
    ]
    assert session.submit(regions).sentences == ["Nothing was changed: what you sent before stands."]
    assert len(decisions_on(site, "blind")) == 2


def test_a_blind_decision_that_the_answer_did_not_change_stays_blind(site, new_session, opened):
    session = new_session("reader-same")
    scene = opened(session, "late")
    regions = mark_both(session, scene)
    session.decide(regions)
    session.reveal(regions)
    outcome = session.submit(regions)
    assert (outcome.saved, outcome.saw_model) == (False, False)
    assert session.stage is Stage.SUBMITTED
    assert label_info_on(site, "late")["saw_model"] is False


def test_with_the_own_type_switched_off_the_server_counts_the_decision_as_seen(site, new_session, opened):
    session = new_session("reader-off", own_type_first=False)
    scene = opened(session, "off")
    regions = mark_both(session, scene)
    session.reveal(regions)
    assert session.submit(regions).saw_model is True


def test_what_a_reader_draws_is_told_back_when_something_is_to_be_decided(new_session, opened):
    session = new_session("reader-drawn")
    scene = opened(session, "drawn")
    with pytest.raises(StepError, match="No lesion is marked"):
        session.decide({})
    lesion = session.mark("drawn")
    scene.add_empty(lesion.number, "1")
    with pytest.raises(StepError, match="Lesion 1 is empty"):
        session.decide({1: scene.region(1)})
    regions = {1: box(scene, CYST)}
    with pytest.raises(StepError, match="Lesion 1 has no type yet"):
        session.decide(regions)
    with pytest.raises(StepError, match="none of the types"):
        session.set_type(1, "abscess")
    session.set_type(1, "cyst")
    session.mark("drawn")
    session.set_type(2, "cyst")
    with pytest.raises(StepError, match="Lesions 1 and 2 share voxels"):
        session.decide({**regions, 2: box(scene, (38, 45, 12))})
    said = session.decide({**regions, 2: box(scene, METASTASIS, half=0)}).sentences
    assert said[0].startswith("Saved: 1 lesion(s)")
    assert any("under 5 mm: a lesion, or a slip of the brush?" in sentence for sentence in said)


def test_clicks_on_what_is_no_lesion_are_answered_and_not_counted(new_session, opened):
    session = new_session("reader-air")
    scene = opened(session, "axial")
    lesion = session.mark("click")
    i, j, k, one = 2.0, 2.0, 5.0, 1.0
    lps = scene.geometry.to_lps @ (i, j, k, one)
    with pytest.raises(ServerError, match="air"):
        session.outline(lesion.number, (-lps[0], -lps[1], lps[2]))
    assert lesion.inside == []
    # A new lesion is not in the case before its outline is there.
    with pytest.raises(ServerError, match="air"):
        session.outline(None, (-lps[0], -lps[1], lps[2]))
    assert list(session.lesions) == [lesion.number]


def test_a_decision_that_does_not_reach_the_server_is_kept_and_sent_once_it_is_back(site, new_session, opened):
    session = new_session("reader-waiting")
    scene = opened(session, "waiting")
    regions = mark_both(session, scene)
    site.process.send_signal(signal.SIGSTOP)
    session.client._slow_s = 0.5
    try:
        with pytest.raises(UnreachableError, match=r"did not answer in time.*Send again"):
            session.decide(regions)
    finally:
        site.process.send_signal(signal.SIGCONT)
    assert session.stage is Stage.READING
    assert not session.is_unsaved(regions)
    [waiting] = session.outbox.waiting()
    assert panel_of(session, False, None, [waiting]).enabled["sendAgainButton"]
    with pytest.raises(StepError):
        session.reveal(regions)

    again = new_session("reader-waiting")  # as after a restart of 3D Slicer
    assert again.send_again() == ["1 decision(s) delivered."]
    assert again.outbox.waiting() == []
    assert [lesion["label"] for lesion in label_info_on(site, "waiting")["lesions"]] == ["cyst", "metastasis"]


def test_a_volume_that_is_gone_and_a_server_that_refuses_lose_nothing(site, new_session, opened):
    session = new_session("reader-gone")
    scene = opened(session, "gone")
    regions = mark_both(session, scene)
    (site.studies / "gone.nii.gz").rename(site.home.parent / "gone.nii.gz")
    with pytest.raises(ServerError, match=r"No image 'gone'.*kept on this computer") as told:
        session.decide(regions)
    assert told.value.status == 404
    assert str(told.value).endswith(KEPT)
    with pytest.raises(ServerError, match="No image 'gone'"):
        session.open_case("gone", Path())
    assert session.case is not None
    assert len(session.outbox.waiting()) == 1
    (site.home.parent / "gone.nii.gz").rename(site.studies / "gone.nii.gz")
    session.set_type(2, OTHER)
    assert session.decide(regions).saved
    # What waited was older: it is set aside, and not sent over the newer one.
    assert session.outbox.waiting() == []
    assert len(list((session.outbox.folder / "replaced").iterdir())) == 1
    assert [lesion["label"] for lesion in label_info_on(site, "gone")["lesions"]] == ["cyst", "other"]


def test_synthetic_examples_are_marked_everywhere_and_never_submitted(new_session, slicer, mrml_scene, load_volume, tmp_path):
    from LesionLabelLib.scene import CaseScene, geometry_of

    session = new_session("reader-synthetic")
    assert set(session.offers.synthetic) == {"synthesise_cyst", "synthesise_metastasis", "synthesise_hemangioma"}
    case = session.next_case("synthesise_cyst", tmp_path)
    scene = CaseScene(slicer, mrml_scene, load_volume(case.file), case.title, case.synthetic is not None)
    case.geometry = scene.geometry
    assert scene.volume.GetName().startswith("SYNTHETIC, no patient: SYNTHETIC-cyst-")
    [words] = [node for node in nodes_of(mrml_scene, "vtkMRMLMarkupsFiducialNode") if node.GetName().startswith("SYNTHETIC")]
    slices = scene.geometry.shape[0]
    assert words.GetNumberOfControlPoints() == slices == 16
    for number in range(slices):
        assert words.GetNthControlPointLabel(number) == "SYNTHETIC, no patient"
        position = [0.0, 0.0, 0.0]
        words.GetNthControlPointPositionWorld(number, position)
        assert geometry_of(scene.volume).voxel_of_ras(position)[2] == pytest.approx(number)
    assert scene.segmentation is None
    region = box(scene, (32, 32, 8))
    for step in (lambda: session.mark("drawn"), lambda: session.decide({1: region}), lambda: session.submit({1: region})):
        with pytest.raises(StepError, match="SYNTHETIC: made by a generator"):
            step()
    # Also where somebody opens it by its id as if it were a case.
    again = session.open_case(case.image, tmp_path)
    assert again.synthetic
    # And the server itself takes no label of it.
    with pytest.raises(ServerError, match="synthetic"):
        session.client.save_label(case.image, b"", {})
    panel = panel_of(session, False, None, [])
    assert panel.texts["caseLabel"].startswith("SYNTHETIC")
    assert not panel.enabled["submitButton"]
    assert not panel.enabled["drawButton"]


def test_the_next_case_is_one_that_nobody_has_labelled(site, new_session, tmp_path):
    session = new_session("reader-next")
    assert {"first", "random"} <= set(session.offers.strategies)
    case = session.next_case("first", tmp_path)
    assert case is not None
    assert "final" not in site.get("/datastore/?output=all")["objects"][case.image]["labels"]
    assert (case.title, case.synthetic) == (case.image, None)
    with pytest.raises(ServerError, match="No strategy 'nothing'"):
        session.next_case("nothing", tmp_path)
    assert session.case is case


def test_after_the_answer_there_is_a_heat_map_that_says_what_it_is_not_and_lesions_of_others_that_look_alike(
    new_session, opened, mrml_scene
):
    from vtkmodules.util import numpy_support

    from LesionLabelLib.scene import geometry_of

    session = new_session("reader-more")
    scene = opened(session, "alike")
    session.decide(mark_both(session, scene))
    session.close()
    scene.close()
    scene = opened(session, "left_handed")
    lps = np.array([-96 + 2 * CYST[0], -96 + 2 * CYST[1], 30 + 3 * CYST[2]])
    at = scene.place((-lps[0], -lps[1], lps[2]))
    region, _ = session.outline(None, at)
    lesion = session.mark("click", at)
    again, _ = session.outline(lesion.number, at)
    assert again.is_same(region)
    assert lesion.inside[0] == lesion.inside[1]
    session.set_type(1, "cyst")
    session.decide({1: region})
    session.reveal({1: region})

    heat = scene.show_heat_map(*session.heat_map(1))
    assert "not evidence" in heat.GetName()
    bounds, of_image = [0.0] * 6, [0.0] * 6
    heat.GetRASBounds(bounds)
    scene.volume.GetRASBounds(of_image)
    assert bounds == pytest.approx(of_image)
    # It is coloured around the lesion, and nowhere else.
    grid = geometry_of(heat)
    k, j, i = np.nonzero(numpy_support.vtk_to_numpy(heat.GetImageData().GetPointData().GetScalars()).reshape(grid.shape))
    coloured = (grid.to_lps @ np.stack([i, j, k, np.ones_like(i)]))[:3]
    assert np.abs(coloured - lps[:, None]).max() < 28
    assert np.abs(coloured.mean(axis=1) - lps).max() < 6
    scene.hide_heat_map()
    assert len(nodes_of(mrml_scene, "vtkMRMLScalarVolumeNode")) == 1

    found = session.similar(1)
    assert found["similar"]
    assert all(one["image"] != "left_handed" for one in found["similar"])
    page = similar_page(found)
    assert page.count("data:image/png;base64,iVBOR") == len(found["similar"])
    assert page.startswith("<p>Chooses only among")
    assert "proof: single reader" in page


def nodes_of(scene, kind: str) -> list:
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]

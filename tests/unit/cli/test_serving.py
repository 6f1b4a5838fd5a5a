import json
import socket

import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import saw_model
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.errors import InputError, NotFoundError, OutsideVolumeError
from lesionlabel.lesions.phase import Phase
from lesionlabel.settings import Settings


@pytest.fixture
def ct(tmp_path, monkeypatch, tiny_ct, promote_untrained):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LESIONLABEL_DEVICE", "cpu")
    promote_untrained(Settings())
    tiny_ct(tmp_path / "ct.nii.gz")
    return tmp_path / "ct.nii.gz"


def classify(*arguments):
    result = CliRunner().invoke(app, ["classify", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        (["--point", "35,45,12", "--diameter-mm", "28"], {"point": [35, 45, 12], "diameter_mm": 28}),
        (["--point", "35,45,12"], {"point": [35, 45, 12]}),
        (["--center-lps", "-26,-6,66", "--diameter-mm", "28"], {"center_lps": [-26, -6, 66], "diameter_mm": 28}),
        (["--points", "28,45,12", "42,45,12"], {"points": [[28, 45, 12], [42, 45, 12]]}),
    ],
)
def test_it_answers_exactly_as_the_server_does(ct, options, request_):
    expected = Desk(Settings()).answer(ct, read_request(request_)).json
    assert json.loads(classify(ct, *options, "--json")) == expected


def test_who_asks_about_a_file_of_a_studies_folder_is_not_blind_afterwards(ct):
    classify(ct, "--point", "35,45,12")
    assert not (ct.parent / "labels").exists()
    (ct.parent / "labels" / "history").mkdir(parents=True)
    volume = Desk(Settings()).open(ct).volume
    assert saw_model(AnswerLog.of_studies(ct.parent), "ct", volume, "a") is False
    classify(ct, "--point", "35,45,12")
    assert saw_model(AnswerLog.of_studies(ct.parent), "ct", volume, "a") is None


def test_a_label_names_the_lesion(ct, tmp_path, tiny_label):
    tiny_label(tmp_path / "label.nrrd", {"metastasis": 1})
    found = json.loads(classify(ct, "--label", tmp_path / "label.nrrd", "--json"))
    assert found["lesion"]["centre_voxel"] == pytest.approx([62, 50, 10], abs=0.6)


def test_the_text_gives_the_type_the_lesion_and_every_note(ct):
    text = classify(ct, "--point", "35,45,12", "--diameter-mm", "28")
    found = json.loads(classify(ct, "--point", "35,45,12", "--diameter-mm", "28", "--json"))
    assert text.startswith(found["display"])
    assert "28.0 mm" in text
    for note in found["reader_notes"]:
        assert note in text
    assert "slice 12, counted from 0" in text


def test_what_a_refusal_asks_for_is_named_as_an_option(tmp_path, monkeypatch, ct):
    monkeypatch.setattr(
        "lesionlabel.infers.desk.check_phase", lambda volume: Phase("arterial", "The scan looks arterial.", 300.0)
    )
    assert "Give --override-phase if it is portal-venous" in classify(ct, "--point", "35,45,12", "--diameter-mm", "28")


def test_a_label_that_an_import_wrote_is_asked_about_by_the_names_beside_it_or_by_value(ct, tmp_path, tiny_label):
    label = tmp_path / "ct-1.nii.gz"
    tiny_label(label, {"cyst": 1, "metastasis": 2})
    segments = [{"name": "livertumor1", "value": 1}, {"name": "livertumor2", "value": 2}]
    (tmp_path / "ct-1.segments.json").write_text(json.dumps({"image": "ct-1", "segments": segments}))
    with pytest.raises(
        InputError, match=r"2 segments: livertumor1 \(value 1\); livertumor2 \(value 2\). Name one with --segment"
    ):
        classify(ct, "--label", label)
    for segment in ("LiverTumor2", "2"):
        found = json.loads(classify(ct, "--label", label, "--segment", segment, "--json"))
        assert found["lesion"]["centre_voxel"] == pytest.approx([62, 50, 10], abs=0.6)


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_taken_port_is_told_before_anything_is_made_or_printed(tmp_path, monkeypatch, command):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        folder = ["--studies", str(tmp_path)] if command == "serve" else ["--folder", str(tmp_path / "demo")]
        result = CliRunner().invoke(app, [command, *folder, "--port", port])
    assert isinstance(result.exception, InputError)
    assert f"Port {port} is taken" in str(result.exception)
    assert result.output == ""
    assert list(tmp_path.iterdir()) == []


def test_a_nrrd_gives_the_same_answer_as_the_nifti(ct, tmp_path):
    sitk.WriteImage(sitk.ReadImage(str(ct)), str(tmp_path / "same.nrrd"))
    options = ["--point", "35,45,12", "--diameter-mm", "28", "--json"]
    assert (
        json.loads(classify(tmp_path / "same.nrrd", *options))["prediction"] == json.loads(classify(ct, *options))["prediction"]
    )


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ([], InputError, r"No lesion was given. Give one of: --point I,J,K .* --center-lps .* --points .* or --label FILE"),
        (["--point", "1,2,3", "--points", "1,2,3", "4,5,3"], InputError, "--point and --points were all given"),
        (["--center-lps", "-26,-6,66"], InputError, "--center-lps needs --diameter-mm"),
        (["--point", "35,45,12", "--diameter-mm", "0.5"], InputError, "--diameter-mm must be a number"),
        (["--points", "1,2,3", "4,5,3", "--diameter-mm", "20"], InputError, "--diameter-mm does not go with --points"),
        (["--point", "1,2"], InputError, "--point must be three numbers"),
        (["--point", "0,0,0"], OutsideVolumeError, "in air"),
        (["--label", "nowhere.nrrd"], NotFoundError, "no file or folder"),
    ],
)
def test_what_is_wrong_is_said(ct, options, error, said):
    with pytest.raises(error, match=said):
        classify(ct, *options)

import json

import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.errors import InputError, NotFoundError, OutsideVolumeError
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


def test_a_nrrd_gives_the_same_answer_as_the_nifti(ct, tmp_path):
    sitk.WriteImage(sitk.ReadImage(str(ct)), str(tmp_path / "same.nrrd"))
    options = ["--point", "35,45,12", "--diameter-mm", "28", "--json"]
    assert (
        json.loads(classify(tmp_path / "same.nrrd", *options))["prediction"] == json.loads(classify(ct, *options))["prediction"]
    )


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ([], InputError, "No lesion was given"),
        (["--point", "1,2"], InputError, "--point must be three numbers"),
        (["--point", "0,0,0"], OutsideVolumeError, "in air"),
        (["--label", "nowhere.nrrd"], NotFoundError, "no file or folder"),
    ],
)
def test_what_is_wrong_is_said(ct, options, error, said):
    with pytest.raises(error, match=said):
        classify(ct, *options)

import json

from lesionlabel.cli.demo import print_first_steps
from lesionlabel.imaging.sidecar import Sidecar, write_sidecar


def test_the_first_steps_name_the_lesions_of_the_series_that_are_there(tmp_path, capsys):
    write_sidecar(tmp_path, Sidecar("phantom-1", "phantom-p", True, source={"series_uid": "1.2.3"}))
    # A volume that a user imported beside them came as a file, without a series.
    write_sidecar(tmp_path, Sidecar("own", "p", source={"sha256": "0"}))
    lesion = {"label": "cyst", "centre_lps": [1.04, 2.0, 3.0], "diameter_mm": 21.34}
    patients = [{"series_uid": uid, "lesions": [lesion]} for uid in ("9.9.9", "1.2.3")]
    (tmp_path / "truth.json").write_text(json.dumps({"patients": patients}))
    print_first_steps(tmp_path / "truth.json", tmp_path, 8001)
    said = capsys.readouterr().out
    assert said.count("cyst") == 1
    assert "http://127.0.0.1:8001/infer/lesion_classifier?image=phantom-1" in said
    assert '{"center_lps": [1.0, 2.0, 3.0], "diameter_mm": 21.3}' in said

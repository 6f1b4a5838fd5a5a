from pathlib import Path

import pytest

from lesionlabel.infers.asked import read_request
from lesionlabel.lesions.errors import InputError


@pytest.mark.parametrize(
    "request_",
    [
        {"point": [1, 2, 3]},
        {"point": ["1", "2", "3"]},
        {"foreground": [1, 2, 3]},
        {"foreground": [[9, 9, 9], [1, 2, 3]], "background": [], "label": "cyst"},
        {"foreground": [[1, 2, 3]], "diameter_mm": "", "points": [], "center_lps": None, "diameter": ""},
    ],
)
def test_a_click_is_read_in_every_form_that_clients_send(request_):
    asked = read_request(request_)
    assert asked.click == (1.0, 2.0, 3.0)
    assert asked.diameter_mm is None


def test_the_other_ways_are_read():
    assert read_request({"center_lps": [1, 2, 3], "diameter_mm": "25"}).diameter_mm == 25
    assert read_request({"points": [[1, 2, 3], [4, 5, 3]]}).ends == ((1, 2, 3), (4, 5, 3))
    assert read_request({"label_file": Path("x"), "segment": "cyst"}).segment == "cyst"
    assert read_request({"point": [0, 0, 0], "override_phase": "true"}).override_phase is True


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({}, "No lesion was given"),
        ({"foreground": []}, "No lesion was given"),
        ({"point": [1, 2, 3], "points": [[1, 2, 3], [4, 5, 3]]}, "point and points were all given"),
        ({"label": "/etc/passwd"}, "No lesion was given"),
        ({"point": [1, 2]}, "point must be three numbers"),
        ({"point": "abc"}, "point must be three numbers"),
        ({"point": [1, 2, float("nan")]}, "finite"),
        ({"point": {"a": 1}}, "point must be three numbers"),
        ({"center_lps": [1, 2, 3]}, "needs diameter_mm"),
        ({"points": [[1, 2, 3]]}, "two ends"),
        ({"points": [[1, 2, 3], [4, 5, 3]], "diameter_mm": 20}, "does not go with points"),
        ({"point": [1, 2, 3], "diameter_mm": -4}, "from 1 to 300"),
        ({"point": [1, 2, 3], "diameter_mm": 1e9}, "from 1 to 300"),
        ({"point": [1, 2, 3], "diameter_mm": "wide"}, "from 1 to 300"),
        ({"point": [1, 2, 3], "override_phase": "perhaps"}, "true or false"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(request_, named):
    with pytest.raises(InputError, match=named):
        read_request(request_)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("diameter", "diameter_mm"),
        ("diameter_cm", "diameter_mm"),
        ("Point", "point"),
        ("center", "center_lps"),
        ("centre_lps", "center_lps"),
        ("override", "override_phase"),
        ("segments", "segment"),
    ],
)
def test_a_misspelt_parameter_is_not_passed_over(name, meant):
    with pytest.raises(InputError, match=f"'{name}': did you mean {meant}"):
        read_request({"point": [1, 2, 3], name: 49})


def test_what_stock_clients_send_besides_is_passed_over():
    slicer = {
        "label": "cyst",
        "labels": ["cyst"],
        "background": [[0, 0, 0]],
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
    }
    slicer |= {
        "client_id": "user-xyz",
        "reset_state": True,
        "slice": 12,
        "roi": [1, 2, 3, 4],
        "cyst": [[1, 2, 3]],
        "session": "s",
    }
    server = {"model": "m", "image": "i", "device": "cpu", "description": "d", "label_tag": "original", "save_label": False}
    assert read_request({"foreground": [[1, 2, 3]], **slicer, **server, "timeout": 5}).click == (1.0, 2.0, 3.0)

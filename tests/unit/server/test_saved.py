"""The words beside a saved label: 3D Slicer says "saved" whatever came of it, and shows these as details."""

import pytest

from lesionlabel.server.saved import in_words


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"lesions": [{"label": "cyst"}, {"label": "cyst"}]}, "Lesions taken: 2 cyst."),
        ({"lesions": []}, "The label is stored, but no lesion was taken from it."),
        ({"lesions": [], "curation_problem": "It is stored. The image is gone."}, "It is stored. The image is gone."),
        (
            {"lesions": [], "not_curated": [{"value": 2, "name": None, "reason": "No name."}]},
            "The label is stored, but no lesion was taken from it. The segment with the voxel value 2: No name.",
        ),
        (
            {"lesions": [{"label": "cyst"}], "questions": [{"label": "cyst", "slice": 4, "reason": "one lesion or several?"}]},
            "Lesions taken: 1 cyst. To decide: cyst in slice 4: one lesion or several?",
        ),
    ],
)
def test_what_was_taken_what_not_and_what_has_to_be_decided(info, said):
    assert in_words(info) == said

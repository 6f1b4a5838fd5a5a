import numpy as np
import pytest

from lesionlabel.infers.notes import display, rounded_percent


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0, "under 5 %"),
        (0.02, "under 5 %"),
        (0.04, "about 5 %"),
        (0.334, "about 35 %"),
        (0.86, "about 85 %"),
        (0.96, "about 95 %"),
        (0.999, "over 95 %"),
        (1.0, "over 95 %"),
    ],
)
def test_no_percentage_is_finer_than_five_or_certain(probability, text):
    assert rounded_percent(probability) == text


@pytest.mark.parametrize(
    ("probabilities", "line"),
    [
        ([0.1, 0.85, 0.05], "metastasis, about 85 %"),
        ([0.02, 0.5, 0.48], "metastasis or hemangioma, about 50 % each"),
        ([0.33, 0.33, 0.34], "hemangioma, cyst or metastasis, about 35 % each"),
        ([0.46, 0.42, 0.12], "cyst (about 45 %) or metastasis (about 40 %)"),
        ([0.50, 0.44, 0.06], "cyst, about 50 %"),
    ],
)
def test_the_line_shown_names_every_class_that_is_as_probable_as_the_first(probabilities, line):
    assert display(("cyst", "metastasis", "hemangioma"), np.array(probabilities)) == line

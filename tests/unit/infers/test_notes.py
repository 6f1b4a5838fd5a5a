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


def test_the_line_shown_names_the_class_or_the_reason():
    names = ("cyst", "metastasis")
    assert display(names, np.array([0.15, 0.85]), None) == "metastasis, about 85 %"
    assert display(names, None, "below 10 mm it is too small to characterise") == "too small to characterise"
    assert display(names, None, "The scan looks arterial.") == "no type: not portal-venous"

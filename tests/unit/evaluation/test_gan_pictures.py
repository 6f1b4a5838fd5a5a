import io
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from lesionlabel.evaluation.gan_pictures import MOST_SAMPLES, picture_page
from lesionlabel.lesions.errors import InputError

LOSSES = {"generator": [(0, 1.5), (50, 1.2)], "discriminator": [(0, 0.7), (50, 0.6)]}


def grey(n: int, value: float) -> torch.Tensor:
    return torch.full((n, 1, 64, 64), value)


def page(
    number: int = 5, pairs: int = 3, way: int = 4, origin: Literal["real", "simulated"] = "simulated", **changes
) -> Image.Image:
    arguments: dict[str, Any] = {
        "title": "A generator",
        "samples": grey(number, 0.2),
        "nearest": [(grey(1, 0.4)[0], grey(1, 0.6)[0], f"ratio 0.{i}") for i in range(pairs)],
        "interpolation": grey(way, 0.8),
        "losses": LOSSES,
        **changes,
    }
    data = picture_page(**arguments, origin=origin)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        picture.load()
        return picture


def tiles_of(picture: Image.Image, value: float) -> float:
    """Area in tiles of exactly this grey."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return float((np.abs(pixels - 255 * value) <= 1).all(axis=2).sum() / 106**2)


def bars(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many headings of this colour there are: runs of rows that have it at the page's left."""
    column = np.asarray(picture.convert("RGB"))[:, 24]
    here = (column == colour).all(axis=1)
    return int((here[1:] & ~here[:-1]).sum())


SYNTHETIC, OTHER = (0xA0, 0x18, 0x18), (0x1C, 0x4F, 0x8A)


def test_every_image_given_is_on_the_page_in_its_own_grey():
    picture = page()
    for value, number in ((0.2, 5), (0.4, 3), (0.6, 3), (0.8, 4)):
        assert tiles_of(picture, value) == pytest.approx(number, rel=0.03)


def test_grey_levels_are_fixed_whatever_else_an_image_holds():
    samples = grey(6, 0.2)
    samples[3, 0, :8] = 0.9
    assert tiles_of(page(samples=samples), 0.2) == pytest.approx(5 + 7 / 8, rel=0.03)


def test_areas_of_synthetic_images_and_of_training_lesions_have_headings_of_their_own():
    picture = page()
    assert (bars(picture, SYNTHETIC), bars(picture, OTHER)) == (3, 1)
    without = page(pairs=0, way=0)
    assert (bars(without, SYNTHETIC), bars(without, OTHER)) == (1, 0)
    assert without.height < picture.height


def test_the_file_says_that_it_is_synthetic_and_whose_the_lesions_are():
    simulated, real = page().info, page(origin="real").info
    assert simulated["Title"] == "A generator"
    assert simulated["Comment"].startswith("SYNTHETIC, no patient")
    assert "training lesions are simulated" in simulated["Comment"]
    assert "training lesions are patients'" in real["Comment"]
    assert "not for clinical use" in real["Comment"]


def test_more_samples_than_fit_are_left_out_and_fewer_things_need_less_room():
    assert tiles_of(page(MOST_SAMPLES + 30), 0.2) == pytest.approx(MOST_SAMPLES, rel=0.03)
    assert page(31).height > page(5).height
    assert page(0, pairs=0, way=0, losses={}).height > 0


def test_the_same_page_is_the_same_bytes():
    assert page().tobytes() == page().tobytes()


@pytest.mark.parametrize(
    "bad", [torch.zeros(2, 1, 32, 32), torch.full((2, 1, 64, 64), 1.2), torch.full((1, 1, 64, 64), torch.nan)]
)
def test_tiles_of_another_shape_or_range_are_refused(bad):
    with pytest.raises(InputError, match="tile"):
        page(samples=bad)
    with pytest.raises(InputError, match="tile"):
        page(nearest=[(grey(1, 0.5)[0], bad[0], "")])

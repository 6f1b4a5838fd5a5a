"""One simulated abdomen of each kind, and scenes of them."""

import numpy as np
import pytest

from lesionlabel.clicks.anatomy import draw_made_up, draw_phantoms
from lesionlabel.clicks.scenes import draw_scene


@pytest.fixture(scope="session")
def anatomy():
    return draw_phantoms(np.random.default_rng(5))


@pytest.fixture(scope="session")
def made_up():
    return draw_made_up(np.random.default_rng(5))


@pytest.fixture(scope="session")
def scenes(anatomy, made_up):
    return [draw_scene(np.random.default_rng([6, n]), [anatomy, made_up][n % 2]) for n in range(8)]

"""One simulated abdomen, and scenes of it."""

import numpy as np
import pytest

from lesionlabel.clicks.anatomy import draw_anatomy
from lesionlabel.clicks.scenes import draw_scene


@pytest.fixture(scope="session")
def anatomy():
    return draw_anatomy(np.random.default_rng(5))


@pytest.fixture(scope="session")
def scenes(anatomy):
    return [draw_scene(np.random.default_rng([6, n]), anatomy) for n in range(4)]

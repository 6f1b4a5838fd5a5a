import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny trainings are faster so, and much faster where tests share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

import pytest
import torch

from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.manifest import Manifest
from lesionlabel.settings import Settings


def make_network(seed: int = 0, n_classes: int = 3) -> PaperCNN:
    network = PaperCNN(n_classes, torch.Generator().manual_seed(seed))
    network.mean.fill_(0.5)
    return network


def make_manifest(version: str = "20260101T000000Z-aaaaaaaa", **changes) -> Manifest:
    values = {
        "version": version,
        "created": "2026-01-01T00:00:00+00:00",
        "class_counts": {"cyst": 20, "metastasis": 50, "hemangioma": 30},
        "trained_on": "patients",
        "patients": ("secret-pseudonym-1", "secret-pseudonym-2"),
        "snapshot": "ab" * 32,
        "config": {"steps": 10},
        "seed": 3,
        "temperature": 2.0,
        "evaluation": {"headline": {}},
        "code_version": "0.1.0+0",
    }
    return Manifest(**{**values, **changes})


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home", device="cpu")


@pytest.fixture
def network() -> PaperCNN:
    return make_network()


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest()


@pytest.fixture
def network_of():
    return make_network


@pytest.fixture
def manifest_of():
    return make_manifest

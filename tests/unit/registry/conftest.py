import pytest
import torch

from lesionlabel.networks.gans import Arm, build_generator
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.generators import GeneratorVersions
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


def make_generator_manifest(arm: Arm = "dcgan", version: str = "20260101T000000Z-bbbbbbbb", **changes) -> GeneratorManifest:
    names = ("cyst", "metastasis", "hemangioma") if arm == "acgan" else ("cyst",)
    values = {
        "version": version,
        "created": "2026-01-01T00:00:00+00:00",
        "class_counts": dict.fromkeys(names, 12),
        "trained_on": "patients",
        "patients": ("p-1", "p-2"),
        "snapshot": "ab" * 32,
        "config": {"steps": 10},
        "seed": 3,
        "code_version": "0.1.0+0",
        "name": "acgan" if arm == "acgan" else "gan_cyst",
        "arm": arm,
        "width": 16,
        "held_out": ("p-3",),
        "quality": {},
        "memorisation": {},
        "membership": None,
    }
    return GeneratorManifest(**{**values, **changes})


@pytest.fixture
def manifest_for():
    return make_generator_manifest


@pytest.fixture
def generator_of():
    """A function that gives an untrained generator of an arm: small, with random weights."""

    def make(arm: Arm, **changes) -> LesionGenerator:
        manifest = make_generator_manifest(arm, **changes)
        network = build_generator(arm, 16, len(manifest.class_names), torch.Generator().manual_seed(1))
        return LesionGenerator(network, manifest, "cd" * 32, torch.device("cpu"))

    return make


@pytest.fixture
def store(settings):
    """A function that stores an untrained gan_cyst as a version whose check said outcome."""

    def add(version: str = "20260101T000000Z-bbbbbbbb", outcome: str | None = "fit"):
        checked = {} if outcome is None else {"memorisation": {"cyst": {"outcome": outcome}}, "quality": {"cyst": {}}}
        manifest = make_generator_manifest(version=version, **checked)
        network = build_generator("dcgan", 16, 1, torch.Generator().manual_seed(1))
        return GeneratorVersions(settings, "gan_cyst").add(network, manifest, "A report.", b"a page")

    return add

"""What all tests share: where the real CT is, and how a missing real part is reported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.settings import Settings

# Tiny trainings are faster on one thread, much faster where tests share the cores. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The unzipped folder 3Dircadb1.17 of the public 3D-IRCADb-01 set."""
    folder = os.environ.get("LESIONLABEL_REAL_CT")
    if not folder:
        pytest.skip("LESIONLABEL_REAL_CT does not name the unzipped folder 3Dircadb1.17")
    path = Path(folder)
    if not (path / "PATIENT_DICOM").is_dir():
        pytest.fail(f"LESIONLABEL_REAL_CT={folder} holds no PATIENT_DICOM")
    return path


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    """The DICOM checker of dicom3tools: skipped where it is missing on a laptop, a failure in CI."""
    found = shutil.which("dciodvfy")
    if found is None:
        reason = "dciodvfy is not installed (Debian package dicom3tools)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


TINY_SPACING = (2.0, 2.0, 3.0)
TINY_ORIGIN = (-96.0, -96.0, 30.0)
#: Name, voxel index (i, j, k), radius in mm and HU of each lesion of the tiny CT.
TINY_LESIONS = (("cyst", (35, 45, 12), 14.0, 8.0), ("metastasis", (62, 50, 10), 10.0, 55.0), ("dot", (50, 30, 12), 1.5, 20.0))


def write_tiny_ct(path: Path, seed: int = 5) -> None:
    """A body with liver-like tissue and three round lesions, 24 slices of 96 × 96 pixels, as a file that ITK can write."""
    rng = np.random.default_rng(seed)
    k, j, i = np.mgrid[:24, :96, :96]
    radius = ((i - 47.5) / 42) ** 2 + ((j - 47.5) / 36) ** 2
    hu = np.where(radius <= 1, np.where(radius <= 0.85, 105.0, -100.0), -1000.0)
    for _, (x, y, z), size_mm, value in TINY_LESIONS:
        distance = np.sqrt(((i - x) * 2.0) ** 2 + ((j - y) * 2.0) ** 2 + ((k - z) * 3.0) ** 2)
        hu[distance <= size_mm] = value
    hu += rng.normal(0, 8, hu.shape)
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing(TINY_SPACING)
    image.SetOrigin(TINY_ORIGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def write_tiny_label(path: Path, values: dict[str, int]) -> None:
    """The true masks of the tiny CT's lesions named in values, with those voxel values, on its grid."""
    k, j, i = np.mgrid[:24, :96, :96]
    mask = np.zeros(k.shape, dtype=np.uint8)
    for name, (x, y, z), size_mm, _ in TINY_LESIONS:
        if name in values:
            distance = np.sqrt(((i - x) * 2.0) ** 2 + ((j - y) * 2.0) ** 2 + ((k - z) * 3.0) ** 2)
            mask[distance <= size_mm] = values[name]
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(TINY_SPACING)
    image.SetOrigin(TINY_ORIGIN)
    sitk.WriteImage(image, str(path), useCompression=True)


@pytest.fixture(scope="session")
def tiny_ct() -> Callable[..., None]:
    return write_tiny_ct


@pytest.fixture(scope="session")
def tiny_label() -> Callable[[Path, dict[str, int]], None]:
    return write_tiny_label


@pytest.fixture(scope="session")
def promote_untrained() -> Callable[[Settings], str]:
    """A function that lets a network with random weights serve: for tests of everything but its opinion."""

    def promote(settings: Settings) -> str:
        import torch

        from lesionlabel.networks.paper_cnn import PaperCNN
        from lesionlabel.registry.manifest import Manifest
        from lesionlabel.registry.versions import Versions

        version = "20260101T000000Z-00000000"
        manifest = Manifest(
            version=version,
            created="2026-01-01T00:00:00+00:00",
            class_counts=dict.fromkeys(settings.classes.names, 10),
            trained_on="phantom",
            patients=("pseudonym-1",),
            snapshot="ab" * 32,
            config={},
            seed=0,
            temperature=1.5,
            evaluation={},
            code_version="0",
        )
        versions = Versions(settings)
        versions.add(PaperCNN(len(settings.classes), torch.Generator().manual_seed(1)), manifest)
        versions.promote(version, by="a test", reason="to have something that answers")
        return version

    return promote


@pytest.fixture(scope="session")
def promote_untrained_generators() -> Callable[[Settings], None]:
    """A function that lets generators with random weights serve, as if they had been checked: for tests of all but the images."""

    def promote(settings: Settings) -> None:
        import torch

        from lesionlabel.networks.gans import build_generator
        from lesionlabel.registry.generator_manifest import GeneratorManifest
        from lesionlabel.registry.generators import GeneratorVersions, generator_names

        for name, makes in generator_names(settings).items():
            manifest = GeneratorManifest(
                version="20260101T000000Z-00000000",
                created="2026-01-01T00:00:00+00:00",
                class_counts=dict.fromkeys(makes, 12),
                trained_on="phantom",
                patients=("pseudonym-1",),
                snapshot="ab" * 32,
                config={},
                seed=0,
                code_version="0",
                name=name,
                arm="acgan" if len(makes) > 1 else "modern",
                width=16,
                held_out=("pseudonym-2",),
                quality={label: {} for label in makes},
                memorisation={label: {"outcome": "fit"} for label in makes},
                membership=None,
            )
            versions = GeneratorVersions(settings, name)
            network = build_generator(manifest.arm, 16, len(makes), torch.Generator().manual_seed(1))
            # Fresh weights give one grey; these give pictures.
            for parameter in network.parameters():
                parameter.data.mul_(10)
            versions.add(network, manifest, "A report.", b"a page")
            versions.promote(manifest.version, by="a test", reason="to have something that answers")

    return promote

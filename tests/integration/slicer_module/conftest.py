"""A live server with CTs on all kinds of grids, and 3D Slicer's own core, for the logic of our Slicer module."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.settings import Settings

ROOT = Path(__file__).parents[3]
MODULE = ROOT / "plugins" / "slicer" / "LesionLabel"
#: Image id -> the ending of its file, and how the tiny CT gets onto that grid. 3D Slicer reverses slices of left-handed ones.
GRIDS = {
    "axial": (".nii.gz", lambda image: image),
    "oblique": (".nii.gz", lambda image: tilted(image, 17.0)),
    "flipped": (".nrrd", lambda image: sitk.DICOMOrient(image, "RPI")),
    "left_handed": (".nii.gz", lambda image: sitk.DICOMOrient(image, "RPS")),
    "left_handed_nrrd": (".nrrd", lambda image: sitk.DICOMOrient(image, "LAS")),
    "coronal": (".nii.gz", lambda image: sitk.DICOMOrient(image, "LSA")),
    "anisotropic": (".nrrd", lambda image: respaced(image, (1.5, 1.5, 6.0))),
}
#: Images of one test each, on the axial grid.
OWN = ("blind", "waiting", "gone", "drawn", "late", "off", "offered", "alike")

sys.path.insert(0, str(MODULE))


def tilted(image: sitk.Image, degrees: float) -> sitk.Image:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    image.SetDirection([1, 0, 0, 0, cosine, -sine, 0, sine, cosine])
    return image


def respaced(image: sitk.Image, spacing: tuple[float, float, float]) -> sitk.Image:
    image.SetSpacing(spacing)
    return image


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_ct, promote_untrained, promote_untrained_generators) -> Iterator[Any]:
    """`lesionlabel serve` on those CTs: the same server as in tests/acceptance."""
    spec = importlib.util.spec_from_file_location("acceptance_conftest", ROOT / "tests" / "acceptance" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    acceptance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(acceptance)
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(home=folder / "home", device="cpu")
    promote_untrained(settings)
    promote_untrained_generators(settings)
    studies = folder / "studies"
    studies.mkdir()
    for seed, (name, (ending, turned)) in enumerate([*GRIDS.items(), *((name, GRIDS["axial"]) for name in OWN)]):
        tiny_ct(folder / "tiny.nii.gz", seed=seed)
        sitk.WriteImage(turned(sitk.ReadImage(str(folder / "tiny.nii.gz"))), str(studies / f"{name}{ending}"))
    running = acceptance.Server(folder / "home", studies)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def segmentations(slicer: types.ModuleType) -> None:
    """What 3D Slicer's Segmentations module does when it starts."""
    rules = slicer.vtkSegmentationConverterFactory.GetInstance()
    rules.RegisterConverterRule(slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule())
    rules.RegisterConverterRule(slicer.vtkClosedSurfaceToBinaryLabelmapConversionRule())


@pytest.fixture
def mrml_scene(slicer: types.ModuleType, segmentations: None) -> Any:
    """An empty scene with 3D Slicer's colour tables."""
    scene = slicer.vtkMRMLScene()
    colours = slicer.vtkMRMLColorLogic()
    colours.SetMRMLScene(scene)
    scene.colours = colours  # lives as long as the scene
    return scene


@pytest.fixture
def load_volume(slicer: types.ModuleType, mrml_scene: Any) -> Callable[[Path], Any]:
    """Read a volume as 3D Slicer's slicer.util.loadVolume does."""
    logic = slicer.vtkSlicerVolumesLogic()
    logic.SetMRMLScene(mrml_scene)

    def load(path: Path) -> Any:
        single_file = 4
        node = logic.AddArchetypeVolume(str(path), path.name, single_file)
        assert node is not None
        return node

    return load


@pytest.fixture(scope="session")
def true_mask(tmp_path_factory: pytest.TempPathFactory, tiny_label) -> Callable[[str, str], sitk.Image]:
    """A function that gives the mask of a lesion of the tiny CT on the grid of that image's file."""
    path = tmp_path_factory.mktemp("truth") / "label.nii.gz"

    def mask_of(image: str, lesion: str) -> sitk.Image:
        tiny_label(path, {lesion: 1})
        return GRIDS.get(image, GRIDS["axial"])[1](sitk.ReadImage(str(path)))

    return mask_of


@pytest.fixture
def opened(slicer: types.ModuleType, mrml_scene: Any, load_volume: Callable[[Path], Any], tmp_path: Path) -> Callable[..., Any]:
    """Open a case of the server in a scene, as the widget does. Returns the CaseScene."""
    from LesionLabelLib.scene import CaseScene

    def open_case(session: Any, image: str) -> Any:
        folder = tmp_path / f"{image}-{session.client.client_id}"
        folder.mkdir()
        case = session.open_case(image, folder)
        scene = CaseScene(slicer, mrml_scene, load_volume(case.file), case.title, case.synthetic is not None)
        case.geometry = scene.geometry
        return scene

    return open_case


@pytest.fixture
def new_session(site: Any, tmp_path: Path) -> Callable[..., Any]:
    """A session of a reader at the live server; outbox in the test's folder."""
    from LesionLabelLib.client import Client
    from LesionLabelLib.outbox import Outbox
    from LesionLabelLib.session import Session

    def make(reader: str, **options: Any) -> Any:
        return Session(Client(site.url, reader), Outbox(tmp_path / "outbox"), **options)

    return make

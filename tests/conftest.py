"""What all tests share: where the real CT is, and how a missing real part is reported."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context, context_half_width
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


@pytest.fixture(scope="session")
def dicom_validator() -> Iterator[Callable[[Path], list[str]]]:
    """A function that has dicom-validator check a file: skipped without its environment on a laptop, a failure in CI.

    It gives the elements at fault, each after the sequences that it is in, and what is wrong with it.
    """
    root = Path(__file__).parents[1]
    python = root / "build" / "dicom-validator" / "bin" / "python"
    if not python.with_name("validate_iods").exists():
        reason = "dicom-validator is not installed: make build/dicom-validator/.ready"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # One process for all files: its tables take longer than a check.
    command = [python, root / "tests" / "tools" / "validate_dicom.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def check(path: Path) -> list[str]:
            asked.write(f"{path}\n")
            asked.flush()
            return json.loads(answers.readline())["findings"]

        yield check


DRAWN_CLASSES = ("cyst", "metastasis", "hemangioma")


def draw_cohort(
    lesions: int, prefix: str = "p", names: tuple[str, ...] = DRAWN_CLASSES, saw_model: bool | None = False
) -> Cohort:
    """Lesions of three densities, one a patient and a class after the other, proven and as a rule decided blind."""
    half, made = context_half_width(12.0), []
    for i in range(lesions):
        hu = np.random.default_rng(i).normal(60 + 30 * (i % 3), 10, (2 * half + 1, 2 * half + 1)).astype(np.float32)
        context = Context(hu, (float(half), float(half)), 12.0, 0.75)
        made.append(CohortLesion(f"{prefix}-l{i}", f"{prefix}{i}", names[i % 3], context, Proof.PATHOLOGY, saw_model))
    return Cohort(tuple(made), names)


@pytest.fixture(scope="session")
def cohort_of() -> Callable[..., Cohort]:
    """A function that draws a cohort: number of lesions, prefix of the patients, classes, whether the model was seen."""
    return draw_cohort


class Orthanc:
    """A real Orthanc with its DICOMweb plugin, empty, on a free port of this machine."""

    PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self.folder = folder
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/dicom-web"
        self.headers: dict[str, str] = {}
        for user, password in dict(options.get("RegisteredUsers", {})).items():
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        config = {
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "HttpPort": self.port,
            "DicomServerEnabled": False, "AuthenticationEnabled": False, "Plugins": [str(self.PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, **options,
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log.txt").open("ab") as log:
            command = ["Orthanc", str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError):
                self.ask("GET", "/system")
                return
            time.sleep(0.1)
        raise AssertionError(f"Orthanc did not start:\n{(self.folder / 'log.txt').read_text()[-2000:]}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def pause(self) -> None:
        """Stop answering without closing connections, as a machine that hangs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Orthanc's own REST API."""
        request = urllib.request.Request(self.root + path, body, self.headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
            return json.load(answer)

    def add(self, folder: Path) -> None:
        """Put every file below the folder on the PACS."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for number, path in enumerate(path for path in folder.rglob("*") if path.is_file()):
                archive.write(path, str(number))
        self.ask("POST", "/instances", packed.getvalue())

    def damage(self, *uids: str, how: Literal["zeros", "cut short", "missing"] = "zeros") -> None:
        """Spoil the stored files of series or instances, as a bad disk does, and restart.

        Orthanc notices nothing while it remembers what it has read.
        """
        self.kill()
        stored = [path for path in (self.folder / "db").rglob("*") if path.is_file() and not path.name.startswith("index")]
        for path in stored:
            content = path.read_bytes()
            if not any(uid.encode() in content for uid in uids):
                continue
            if how == "missing":
                path.unlink()
            else:
                path.write_bytes(bytes(len(content)) if how == "zeros" else content[:-600])
        self.start()

    def remove(self, uid: str) -> None:
        """Delete a series or an instance."""
        for found in self.ask("POST", "/tools/lookup", uid.encode()):
            if found["Type"] in ("Series", "Instance"):
                self.ask("DELETE", found["Path"])


@pytest.fixture(scope="session")
def new_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Orthanc]]:
    """A function that starts an Orthanc, with options of its configuration: a failure in CI where it is not installed."""
    if shutil.which("Orthanc") is None or not Orthanc.PLUGIN.exists():
        reason = "Orthanc or its DICOMweb plugin is not installed (Debian packages orthanc, orthanc-dicomweb)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    started: list[Orthanc] = []

    def start(**options: Any) -> Orthanc:
        orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), options)
        started.append(orthanc)
        orthanc.start()
        return orthanc

    yield start
    for orthanc in started:
        orthanc.kill()


@pytest.fixture(scope="session")
def orthanc(new_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """One that all tests share: leave it running, and find your own series in it."""
    return new_orthanc()


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


def write_tiny_series(
    folder: Path, *, slices: int = 24, side: int = 96, patient: str = "TEST-1", oblique_deg: float = 0.0, synthetic: bool = False
) -> tuple[str, str]:
    """The tiny CT as a DICOM series of an invented patient, not marked as synthetic; (Study, Series Instance UID).

    slices, side: cut from it, or more slices than it has by going through it again. oblique_deg: turned about the x axis.
    """
    from pydicom.uid import generate_uid

    from lesionlabel.imaging.ct_image import new_ct_image, put_hu
    from lesionlabel.imaging.synthetic_tags import SYNTHETIC_DATA

    with tempfile.TemporaryDirectory() as made:
        write_tiny_ct(Path(made) / "tiny.nii")
        hu = sitk.GetArrayFromImage(sitk.ReadImage(str(Path(made) / "tiny.nii")))
    study, series, frame = (str(generate_uid()) for _ in range(3))
    cosine, sine = np.cos(np.radians(oblique_deg)), np.sin(np.radians(oblique_deg))
    folder.mkdir(parents=True, exist_ok=True)
    first = (96 - side) // 2
    for number in range(slices):
        ds = new_ct_image(generate_uid())
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = patient, "Invented^Person", "", ""
        ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyTime = ""
        ds.StudyDate, ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = (
            "20240101",
            1,
            slices - number,
            ["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        ds.StudyDescription, ds.SeriesDescription, ds.PatientPosition = "Abdomen", "portal venous", "HFS"
        along = TINY_SPACING[2] * number
        ds.ImagePositionPatient = [
            f"{v:.6f}" for v in (TINY_ORIGIN[0], TINY_ORIGIN[1] - sine * along, TINY_ORIGIN[2] + cosine * along)
        ]
        ds.ImageOrientationPatient = [f"{v:.8f}" for v in (1, 0, 0, 0, cosine, sine)]
        ds.PixelSpacing, ds.SliceThickness = [TINY_SPACING[1], TINY_SPACING[0]], TINY_SPACING[2]
        ds.KVP = 120
        if synthetic:
            ds.add_new(SYNTHETIC_DATA, "CS", "YES")
        put_hu(ds, hu[number % len(hu), first : first + side, first : first + side])
        ds.save_as(str(folder / f"{number:04d}.dcm"), write_like_original=False)
    return study, series


@pytest.fixture(scope="session")
def tiny_series() -> Callable[..., tuple[str, str]]:
    return write_tiny_series


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

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlabel.imaging import store as store_module
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.sidecar import Sidecar, write_sidecar
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.errors import InputError, NotCTError, NotFoundError

PLENTY = 10**9


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that were really read, in order."""
    done: list[str] = []

    def counted(path: Path) -> Any:
        done.append(path.name)
        return read_volume(path)

    monkeypatch.setattr(store_module, "read_volume", counted)
    return done


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "volumes").iterdir())


def test_a_volume_comes_back_mapped_read_only_and_equal(
    tmp_path: Path, write_file: Callable[..., Path], conversions: list[str]
) -> None:
    path = write_file(direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    direct = read_volume(path)
    store = VolumeStore(tmp_path / "store", PLENTY)
    for volume in (store.open(path), store.open(path), VolumeStore(tmp_path / "store", PLENTY).open(path)):
        assert isinstance(volume.voxels, np.memmap)
        assert not volume.voxels.flags.writeable
        np.testing.assert_array_equal(volume.voxels, direct.voxels)
        np.testing.assert_array_equal(volume.geometry.affine, direct.geometry.affine)
        np.testing.assert_array_equal(volume.native.affine, direct.native.affine)
    assert conversions == ["case.nii.gz"]


def test_the_same_content_under_another_name_is_not_converted_again(
    tmp_path: Path, write_file: Callable[..., Path], conversions: list[str]
) -> None:
    path = write_file()
    store = VolumeStore(tmp_path / "store", PLENTY)
    store.open(path)
    (tmp_path / "copy.nii.gz").write_bytes(path.read_bytes())
    store.open(tmp_path / "copy.nii.gz")
    assert conversions == ["case.nii.gz"]


def test_changed_content_is_read_anew(tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    store = VolumeStore(tmp_path / "store", PLENTY)
    store.open(write_file())
    np.testing.assert_array_equal(store.open(write_file(voxels=body[::-1])).voxels, body[::-1])


def test_a_dicom_folder_opens_too(tmp_path: Path, write_series: Callable[..., Any], conversions: list[str]) -> None:
    series = write_series()
    store = VolumeStore(tmp_path / "store", PLENTY)
    for _ in range(2):
        volume = store.open(series.folder)
        np.testing.assert_array_equal(volume.voxels, series.hu)
        assert volume.info["slice_thickness_mm"] == 2.5
    assert len(conversions) == 1
    series.files[5].unlink()
    assert store.open(series.folder).geometry.shape[0] == 5


def test_info_is_that_of_the_sidecar_now(tmp_path: Path, write_file: Callable[..., Path]) -> None:
    path = write_file()
    store = VolumeStore(tmp_path / "store", PLENTY)
    assert store.open(path).info == {}
    write_sidecar(tmp_path, Sidecar("case", "p-1", info={"phase": "arterial"}))
    assert store.open(path).info == {"phase": "arterial"}


def test_the_volume_opened_longest_ago_goes_and_stays_valid_for_who_holds_it(
    tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16], conversions: list[str]
) -> None:
    paths = [write_file(f"case{n}.nii.gz", voxels=body - n) for n in range(3)]
    store = VolumeStore(tmp_path / "store", int(2.5 * body.nbytes))
    held = [store.open(path) for path in paths[:2]]
    os.utime(entries(tmp_path / "store")[0], (1, 1))
    os.utime(entries(tmp_path / "store")[1], (2, 2))
    store.open(paths[0])
    store.open(paths[2])
    assert len(entries(tmp_path / "store")) == 2
    np.testing.assert_array_equal(held[1].voxels, body - 1)
    store.open(paths[0])
    assert conversions == ["case0.nii.gz", "case1.nii.gz", "case2.nii.gz"]
    np.testing.assert_array_equal(store.open(paths[1]).voxels, body - 1)
    assert conversions[3:] == ["case1.nii.gz"]


def test_a_volume_larger_than_the_bound_is_kept_alone(
    tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16]
) -> None:
    store = VolumeStore(tmp_path / "store", 1)
    for n in range(2):
        np.testing.assert_array_equal(store.open(write_file(f"case{n}.nii.gz", voxels=body - n)).voxels, body - n)
        assert len(entries(tmp_path / "store")) == 1


@pytest.mark.parametrize("damage", ["cut", "empty header", "no header", "other shape"])
def test_a_damaged_entry_is_made_anew(
    damage: str, tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16], conversions: list[str]
) -> None:
    path = write_file()
    store = VolumeStore(tmp_path / "store", PLENTY)
    store.open(path)
    entry = entries(tmp_path / "store")[0]
    if damage == "cut":
        (entry / "voxels.npy").write_bytes((entry / "voxels.npy").read_bytes()[:-100])
    elif damage == "empty header":
        (entry / "volume.json").write_text("")
    elif damage == "no header":
        (entry / "volume.json").unlink()
    else:
        np.save(entry / "voxels.npy", body[:4])
    np.testing.assert_array_equal(store.open(path).voxels, body)
    assert len(conversions) == 2


def test_threads_convert_a_new_image_once(
    tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16], conversions: list[str]
) -> None:
    path = write_file()
    store = VolumeStore(tmp_path / "store", PLENTY)
    together = threading.Barrier(8)

    def open_at_once(_: int) -> NDArray[np.int16]:
        together.wait()
        return np.array(store.open(path).voxels)

    with ThreadPoolExecutor(8) as pool:
        for voxels in pool.map(open_at_once, range(8)):
            np.testing.assert_array_equal(voxels, body)
    assert conversions == ["case.nii.gz"]


PRINT_SUMS = """
import sys
from pathlib import Path
from lesionlabel.imaging.store import VolumeStore
store = VolumeStore(Path(sys.argv[1]), int(sys.argv[2]))
print(*[int(store.open(Path(path)).voxels.sum(dtype="int64")) for _ in range(5) for path in sys.argv[3:]])
"""


def test_processes_that_evict_each_others_volumes_still_read_right(
    tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16]
) -> None:
    paths = [str(write_file(f"case{n}.nii.gz", voxels=body - n)) for n in range(4)]
    right = [int((body - n).sum(dtype=np.int64)) for n in range(4)] * 5
    command = [sys.executable, "-c", PRINT_SUMS, str(tmp_path / "store"), str(2 * body.nbytes), *paths]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        assert [int(word) for word in process.communicate(timeout=60)[0].split()] == right
    VolumeStore(tmp_path / "store", body.nbytes).open(write_file("last.nii.gz", voxels=body - 9))
    assert len(entries(tmp_path / "store")) == 1


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path, write_file: Callable[..., Path]) -> None:
    store = VolumeStore(tmp_path / "store", PLENTY)
    with pytest.raises(NotFoundError):
        store.open(tmp_path / "missing.nii.gz")
    with pytest.raises(NotCTError):
        store.open(write_file(voxels=np.zeros((4, 8, 8), np.int16)))
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError):
        store.open(tmp_path / "bad.nii.gz")
    assert entries(tmp_path / "store") == []


def test_an_image_that_is_replaced_while_it_is_read_is_not_kept_under_the_old_content(
    tmp_path: Path, write_file: Callable[..., Path], body: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = write_file("a.nii.gz"), write_file("b.nii.gz", voxels=body - 7)
    content = path.read_bytes()

    def replaced_first(image: Path) -> Any:
        image.write_bytes(other.read_bytes())
        return read_volume(image)

    store = VolumeStore(tmp_path / "store", PLENTY)
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "read_volume", replaced_first)
        with pytest.raises(InputError, match="changes while it is read"):
            store.open(path)
    path.write_bytes(content)
    np.testing.assert_array_equal(store.open(path).voxels, body)

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlabel.imaging.synthetic_pixels import burn_in, grey_hu, to_grey, to_hu, to_unit
from lesionlabel.imaging.synthetic_register import SyntheticRegister

Rois = NDArray[np.float32]


def noise(seed: int, count: int = 4) -> Rois:
    return np.random.default_rng(seed).random((count, 64, 64), dtype=np.float32)


def test_rois_are_known_in_every_form_that_leaves_here_and_others_are_not(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path / "register")
    assert not register.knows(to_hu(rois)[0])
    register.add(rois[:3])
    for form in (to_hu(rois), to_hu(burn_in(rois)), grey_hu(to_grey(to_hu(rois))), to_unit(to_hu(rois)) * np.float32(340) - 100):
        assert [register.knows(plane) for plane in form] == [True] * 3 + [False] * 3


def test_turned_and_mirrored_rois_are_known(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(burn_in(rois[:1]))
    hu = to_hu(rois)[0]
    for side in (hu, hu.T):
        for quarter in range(4):
            assert register.knows(np.rot90(side, quarter))
    assert not register.knows(np.roll(hu, 1, axis=0))


def test_one_slice_makes_a_volume_known_whichever_way_it_lies(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(rois[:1])
    others = to_hu(noise(1, 5))
    assert not register.knows_volume(others)
    volume = np.insert(others, 2, to_hu(rois)[0], axis=0)
    for turned in (volume, volume[::-1, :, ::-1], volume.transpose(1, 2, 0), volume.transpose(2, 0, 1)):
        assert register.knows_volume(turned)
    cube = np.repeat(to_hu(noise(2, 1)), 64, axis=0)
    assert not register.knows_volume(cube)
    cube[:, :, 7] = to_hu(rois)[0]
    assert register.knows_volume(cube)


def test_other_sizes_and_numbers_are_not_known(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(rois)
    hu = to_hu(rois).astype(np.float64)
    hu[0, 30, 30] = np.nan
    assert not register.knows(hu[0])
    assert not register.knows(hu[1, :32])
    assert not register.knows(hu[1] + 1)
    assert not register.knows_volume(hu[:, :48, :48])


def test_a_roi_of_one_grey_makes_no_even_slice_synthetic(tmp_path: Path) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(np.zeros((2, 64, 64), dtype=np.float32))
    assert not register.knows(np.full((64, 64), -100))


def test_what_was_added_elsewhere_is_known_at_once_and_once_only_stored(tmp_path: Path, rois: Rois) -> None:
    first, second = SyntheticRegister(tmp_path), SyntheticRegister(tmp_path)
    assert not first.knows_volume(to_hu(rois))
    second.add(rois)
    assert first.knows_volume(to_hu(rois))
    size = (tmp_path / "digests.bin").stat().st_size
    assert size == 16 * 2 * len(rois)
    first.add(rois)
    assert (tmp_path / "digests.bin").stat().st_size == size


def test_half_a_digest_of_a_process_that_died_shifts_no_other(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(rois[:1])
    with (tmp_path / "digests.bin").open("ab") as file:
        file.write(b"half")
    assert register.knows(to_hu(rois)[0])
    register.add(rois[1:])
    fresh = SyntheticRegister(tmp_path)
    assert all(fresh.knows(plane) for plane in to_hu(rois))


def test_a_register_put_back_from_a_backup_is_read_again(tmp_path: Path, rois: Rois) -> None:
    register = SyntheticRegister(tmp_path)
    register.add(rois[:1])
    backup = (tmp_path / "digests.bin").read_bytes()
    register.add(rois[1:])
    (tmp_path / "digests.bin").write_bytes(backup)
    assert [register.knows(plane) for plane in to_hu(rois)] == [True] + [False] * 5


def _add(folder: str, seed: int) -> None:
    register = SyntheticRegister(Path(folder))
    for one in noise(seed, 10):
        register.add(one[None])


def test_processes_and_threads_adding_at_once_lose_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_add, args=(str(tmp_path), 1))
    process.start()
    threads = [threading.Thread(target=_add, args=(str(tmp_path), seed)) for seed in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.join(60)
    assert process.exitcode == 0
    register = SyntheticRegister(tmp_path)
    for seed in (1, 2, 3):
        assert all(register.knows(plane) for plane in to_hu(noise(seed, 10)))


def test_nothing_of_an_image_is_kept_but_its_digest(tmp_path: Path, rois: Rois) -> None:
    SyntheticRegister(tmp_path).add(rois)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 32 * len(rois)

import os

import numpy as np
import pytest

from lesionlabel.datastore import synthetic_shelf
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.synthetic_shelf import SyntheticShelf
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.registry.generator import MOST_SEED

ROIS = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)


def mark(seed: int = 0, truncation: float = 1.0) -> SyntheticMark:
    return SyntheticMark("cyst", "gan_cyst", "20260101T000000Z-00000000", "ab" * 32, seed, 0, "phantom", truncation)


@pytest.fixture
def datastore(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.nii.gz").write_bytes(b"a")
    return CuratedDatastore(tmp_path / "studies")


def test_a_synthetic_volume_can_be_opened_and_is_listed_and_counted_nowhere(datastore):
    volume_id = datastore.shelf.put(ROIS, mark(), {"synthetic": True})
    assert datastore.get_image_uri(volume_id).endswith(".nii.gz")
    assert datastore.get_image_info(volume_id)["synthetic"] is True
    assert datastore.list_images() == datastore.get_unlabeled_images() == ["a"]
    assert datastore.status()["total"] == 1


def test_no_label_of_a_synthetic_volume_is_kept(datastore, tmp_path):
    volume_id = datastore.shelf.put(ROIS, mark(), {"synthetic": True})
    (tmp_path / "label.nii.gz").write_bytes(b"label")
    with pytest.raises(InputError, match="never taken as patient data"):
        datastore.save_label(volume_id, str(tmp_path / "label.nii.gz"), "final", {})
    assert datastore.get_labeled_images() == []


def test_nothing_takes_the_mark_off_a_synthetic_volume(datastore):
    volume_id = datastore.shelf.put(ROIS, mark(), {"synthetic": True})
    datastore.update_image_info(volume_id, {"synthetic": False})
    assert datastore.get_image_info(volume_id)["synthetic"] is True


def test_the_id_is_the_same_for_the_same_images_and_another_for_others(tmp_path):
    shelf = SyntheticShelf(tmp_path)
    first = shelf.put(ROIS, mark(3), {})
    assert shelf.put(ROIS, mark(3), {}) == first
    assert len({first, shelf.put(ROIS[:2], mark(3), {}), shelf.put(ROIS, mark(4), {}), shelf.put(ROIS, mark(3, 0.5), {})}) == 4


def test_a_seed_that_was_not_used_yet_is_found(tmp_path):
    shelf = SyntheticShelf(tmp_path)
    assert shelf.next_seed("gan_cyst") == 0
    shelf.put(ROIS, mark(4), {})
    shelf.put(ROIS, mark(2, 0.5), {})
    assert shelf.next_seed("gan_cyst") == 5
    assert shelf.next_seed("gan_metastasis") == 0
    shelf.put(ROIS, mark(MOST_SEED), {})
    assert shelf.next_seed("gan_cyst") == 0


def test_the_oldest_volumes_go_and_are_then_named_as_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_shelf, "MOST_VOLUMES", 2)
    shelf = SyntheticShelf(tmp_path)
    ids = []
    for seed in range(4):
        ids.append(shelf.put(ROIS, mark(seed), {}))
        if seed < 3:
            os.utime(shelf.path(ids[-1]), (seed, seed))
    assert shelf.path(ids[-1]).exists()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gz", ".gz", ".json", ".json"]
    with pytest.raises(NotFoundError, match="no longer"):
        shelf.path(ids[0])
    with pytest.raises(NotFoundError):
        shelf.path("../../etc/passwd")


def test_an_image_in_the_folder_that_is_marked_synthetic_keeps_the_mark_and_takes_no_label(datastore, tmp_path):
    datastore.update_image_info("a", {"synthetic": True})
    datastore.update_image_info("a", {"synthetic": False, "note": "x"})
    assert datastore.get_image_info("a")["synthetic"] is True
    (tmp_path / "again.nii.gz").write_bytes(b"a")
    datastore.add_image("a", str(tmp_path / "again.nii.gz"), {})
    assert datastore.get_image_info("a")["synthetic"] is True
    with pytest.raises(InputError, match="takes no label"):
        datastore.save_label("a", str(tmp_path / "again.nii.gz"), "final", {})

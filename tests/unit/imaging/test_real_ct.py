"""The real CT, whose figures are published or were measured by others: shared data's README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import import_studies
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.store import VolumeStore

pytestmark = pytest.mark.real_ct


def test_the_real_ct_comes_in_with_its_masks_and_reads_the_same_both_ways(real_ct: Path, tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    report = import_studies(real_ct, studies, Identity(tmp_path / "home"))
    assert not report.refused
    (image,) = report.imported
    assert image.slices == 119
    assert image.spacing == pytest.approx((0.743, 0.743, 1.6), abs=1e-6)
    assert image.segments == ("liver", "livertumor1", "livertumor2")
    path = studies / f"{image.image_id}.nii.gz"
    dicom, nifti = read_volume(real_ct / "PATIENT_DICOM"), VolumeStore(tmp_path / "home", 10**9).open(path)
    np.testing.assert_array_equal(dicom.voxels, nifti.voxels)
    np.testing.assert_array_equal(dicom.geometry.affine, nifti.geometry.affine)
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(studies / "labels" / "original" / path.name)))
    tumours = label == 2, label == 3
    assert np.count_nonzero(label) == 2_106_497
    assert [np.count_nonzero(tumour) for tumour in tumours] == [96_961, 89_029]
    assert [round(float(nifti.voxels[tumour].mean())) for tumour in tumours] == [88, 63]

"""3D Slicer's own libraries without its window: the package slicer-core (5.13, Python 3.11) from PyPI."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk


class Scene:
    """A scene of 3D Slicer with the logics that its MONAI Label module calls.

    M: lines of plugins/slicer/MONAILabel/MONAILabel.py. What is Qt there (reading by slicer.app.coreIOManager, the effects of the
    Segment Editor) is replaced by what that calls in turn: storage nodes and the logics of markups and segmentations.
    """

    def __init__(self, slicer: ModuleType) -> None:
        import vtk
        from vtkmodules.util import numpy_support

        self.slicer, self.vtk, self._numpy = slicer, vtk, numpy_support
        self.scene = slicer.vtkMRMLScene()
        self.segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
        self.segmentations.SetMRMLScene(self.scene)
        self.markups = slicer.vtkSlicerMarkupsLogic()
        self.markups.SetMRMLScene(self.scene)

    def volume(self, path: Path, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
        """A volume or labelmap as Slicer's reader opens the file."""
        node = self.scene.AddNewNodeByClass(kind)
        storage = self.scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(node), path.name
        return node

    def pushed(self, path: Path) -> Any:
        """M:1806-1807: SimpleITK reads the file, sitkUtils.PushVolumeToSlicer makes a labelmap of it, with its grid as it is."""
        image = sitk.ReadImage(str(path))
        labelmap = self.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        to_lps = np.eye(4)
        to_lps[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
        to_lps[:3, 3] = image.GetOrigin()
        matrix = self.vtk.vtkMatrix4x4()
        matrix.DeepCopy((np.diag([-1.0, -1.0, 1.0, 1.0]) @ to_lps).ravel())
        labelmap.SetIJKToRASMatrix(matrix)
        voxels = self.vtk.vtkImageData()
        voxels.SetDimensions(image.GetSize())
        voxels.GetPointData().SetScalars(self._numpy.numpy_to_vtk(sitk.GetArrayFromImage(image).ravel(), deep=True))
        labelmap.SetAndObserveImageData(voxels)
        return labelmap

    def segmentation(self, volume: Any, names: tuple[str, ...]) -> Any:
        """M:1738-1745 and M:1774-1778: empty segments named by class, whose ids are their names."""
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for name in names:
            node.GetSegmentation().AddEmptySegment(name, name)
        return node

    def import_labels(self, path: Path, segmentation: Any, ids: list[str] | None) -> None:
        """M:1826 with ids, the voxel values 1, 2, … in their order; M:1839 without."""
        labelmap = self.pushed(path)
        arguments = [labelmap, segmentation] if ids is None else [labelmap, segmentation, self.strings(ids)]
        assert self.segmentations.ImportLabelmapToSegmentationNode(*arguments)
        self.scene.RemoveNode(labelmap)

    def click_result(self, path: Path, segmentation: Any, name: str, slice_index: int, volume: Any) -> None:
        """M:1829-1890, the way of a model of dimension 2: the slice of the named segment is emptied, the result added to it."""
        parts = segmentation.GetSegmentation()
        before = parts.GetNumberOfSegments()
        self.import_labels(path, segmentation, None)
        added = [parts.GetNthSegmentID(n) for n in range(before, parts.GetNumberOfSegments())]
        assert len(added) <= 1
        segment_id = parts.GetSegmentIdBySegmentName(name)
        for new in added:
            voxels = self.voxels(segmentation, segment_id, volume)
            voxels[slice_index] = False
            self._set(segmentation, segment_id, voxels | self.voxels(segmentation, new, volume), volume)
            segmentation.GetSegmentation().RemoveSegment(new)

    def _set(self, segmentation: Any, segment_id: str, voxels: np.ndarray, volume: Any) -> None:
        image = self._oriented(volume)
        slices, rows, columns = voxels.shape
        image.SetDimensions(columns, rows, slices)
        scalars = self._numpy.numpy_to_vtk(voxels.astype(np.uint8).ravel(), deep=True)
        image.GetPointData().SetScalars(scalars)
        logic = self.slicer.vtkSlicerSegmentationsModuleLogic
        assert logic.SetBinaryLabelmapToSegment(image, segmentation, segment_id, logic.MODE_REPLACE)

    def _oriented(self, volume: Any) -> Any:
        image = self.slicer.vtkOrientedImageData()
        matrix = self.vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        image.SetGeometryFromImageToWorldMatrix(matrix)
        return image

    def voxels(self, segmentation: Any, segment_id: str, volume: Any) -> np.ndarray:
        """A segment on the volume's grid, (slices, rows, columns), as Slicer itself exports it (M:1490)."""
        labelmap = self.export(segmentation, [segment_id], volume)
        image = labelmap.GetImageData()
        columns, rows, slices = image.GetDimensions()
        found = self._numpy.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(slices, rows, columns) > 0
        self.scene.RemoveNode(labelmap)
        return found

    def export(self, segmentation: Any, ids: list[str], volume: Any) -> Any:
        """M:1489-1493: the segments as a labelmap on the volume's grid."""
        labelmap = self.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        assert self.segmentations.ExportSegmentsToLabelmapNode(segmentation, self.strings(ids), labelmap, volume)
        return labelmap

    def save(self, node: Any, path: Path) -> Path:
        """What slicer.util.saveNode does in the end."""
        segmented = node.IsA("vtkMRMLSegmentationNode")
        storage = self.scene.AddNewNodeByClass(f"vtkMRML{'Segmentation' if segmented else 'VolumeArchetype'}StorageNode")
        storage.SetFileName(str(path))
        assert storage.WriteData(node)
        return path

    def to_ijk(self, volume: Any, lps: tuple[float, float, float]) -> list[int]:
        """M:959-975 getControlPointsXYZ: a point placed in the slice view, as voxel indices of the volume."""
        matrix = self.vtk.vtkMatrix4x4()
        volume.GetRASToIJKMatrix(matrix)
        return [round(v) for v in matrix.MultiplyPoint((-lps[0], -lps[1], lps[2], 1.0))[:3]]

    def centre_lps(self, voxels: np.ndarray, volume: Any) -> tuple[float, float, float]:
        """The mean of a segment's voxels in the patient, by Slicer's geometry."""
        matrix = self.vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        k, j, i = (float(axis.mean()) for axis in np.nonzero(voxels))
        right, anterior, superior, _ = matrix.MultiplyPoint((i, j, k, 1.0))
        return -right, -anterior, superior

    def strings(self, values: list[str]) -> Any:
        array = self.vtk.vtkStringArray()
        for value in values:
            array.InsertNextValue(value)
        return array


@pytest.fixture
def scene(slicer: ModuleType) -> Scene:
    return Scene(slicer)

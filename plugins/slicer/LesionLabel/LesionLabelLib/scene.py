"""The nodes of 3D Slicer's scene that the module makes and reads; slicer is passed in, so that it runs without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtkmodules.util import numpy_support

from .case import NO_PATIENTS, SYNTHETIC
from .errors import ReaderError
from .geometry import RAS_TO_LPS, Geometry, geometry_from_ras
from .segmentation import Region, region_of

NOT_EVIDENCE = "not evidence: where the picture moved the model's answer"
#: Of the heat map over the image.
HEAT_OPACITY = 0.4
#: Segments of lesions in turn.
COLOURS = ((0.95, 0.77, 0.06), (0.20, 0.60, 0.95), (0.90, 0.30, 0.25), (0.40, 0.80, 0.40), (0.75, 0.45, 0.90), (0.95, 0.55, 0.15))


class CaseScene:
    """One case's nodes. slicer: the module that holds the node and logic classes. scene: a vtkMRMLScene."""

    def __init__(self, slicer: Any, scene: Any, volume: Any, title: str, synthetic: bool) -> None:
        self._slicer, self._scene = slicer, scene
        self.volume = volume
        self.volume.SetName(title)
        self.geometry = geometry_of(volume)
        self._made = [volume]
        self.segmentation: Any = None
        self.heat: Any = None
        if synthetic:
            self._mark_synthetic()
        else:
            self.segmentation = self._add("vtkMRMLSegmentationNode", f"{title} lesions")
            self.segmentation.CreateDefaultDisplayNodes()
            self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)

    def close(self) -> None:
        """Take all of the case's nodes out of the scene, with what they are shown and stored by."""
        self.hide_heat_map()
        for node in self._made:
            self._drop(node)
        self._made = []

    def place(self, ras: Any) -> tuple[float, float, float]:
        """A position in the scene as one in the volume, which a transform may have moved; RAS, mm."""
        position = list(ras)[:3]
        transform = self.volume.GetParentTransformNode()
        if transform is not None:
            back = vtk.vtkGeneralTransform()
            self._slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, transform, back)
            position = list(back.TransformPoint(position))
        return float(position[0]), float(position[1]), float(position[2])

    def show(self, number: int, name: str, region: Region) -> None:
        """Put the region in the place of what the lesion's segment holds; the segment is made where there is none."""
        segment_id = self.segment_id(number)
        segments = self.segmentation.GetSegmentation()
        if segments.GetSegment(segment_id) is None:
            segments.AddEmptySegment(segment_id, name, COLOURS[(number - 1) % len(COLOURS)])
        labelmap = _oriented(self._slicer, region.mask, region.place(self.geometry))
        logic = self._slicer.vtkSlicerSegmentationsModuleLogic
        if not logic.SetBinaryLabelmapToSegment(labelmap, self.segmentation, segment_id, logic.MODE_REPLACE):
            raise ReaderError("The outline could not be put in the scene.")

    def add_empty(self, number: int, name: str) -> str:
        """A segment to draw in. Returns its id."""
        segment_id = self.segment_id(number)
        self.segmentation.GetSegmentation().AddEmptySegment(segment_id, name, COLOURS[(number - 1) % len(COLOURS)])
        return segment_id

    def rename(self, number: int, name: str) -> None:
        segment = self.segmentation.GetSegmentation().GetSegment(self.segment_id(number))
        if segment is not None:
            segment.SetName(name)

    def remove(self, number: int) -> None:
        self.segmentation.GetSegmentation().RemoveSegment(self.segment_id(number))

    def region(self, number: int) -> Region:
        """What the lesion's segment holds now, however it was drawn, on the volume's grid."""
        segment_id = self.segment_id(number)
        if self.segmentation.GetSegmentation().GetSegment(segment_id) is None:
            return region_of(np.zeros((1, 1, 1), dtype=np.uint8))
        before = self._node_ids()
        labelmap = self._scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "LesionLabel export")
        chosen = vtk.vtkStringArray()
        chosen.InsertNextValue(segment_id)
        try:
            logic = self._slicer.vtkSlicerSegmentationsModuleLogic
            if not logic.ExportSegmentsToLabelmapNode(self.segmentation, chosen, labelmap, self.volume):
                raise ReaderError("The lesion's outline could not be read from the scene.")
            return region_of(_voxels(labelmap.GetImageData()))
        finally:
            # The export makes nodes of its own for the labelmap's colours.
            for node_id in self._node_ids() - before:
                self._scene.RemoveNode(self._scene.GetNodeByID(node_id))

    def show_heat_map(self, voxels: np.ndarray[Any, Any], place: Geometry) -> Any:
        """The overlay as a volume of its own, which says what it is not. Returns its node."""
        self.hide_heat_map()
        self.heat = self._scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{self.volume.GetName()} heat map ({NOT_EVIDENCE})")
        image = vtk.vtkImageData()
        image.SetDimensions(*voxels.shape[::-1])
        _put_voxels(image, voxels.astype(np.float32))
        self.heat.SetAndObserveImageData(image)
        self.heat.SetIJKToRASMatrix(_vtk_matrix(RAS_TO_LPS @ place.to_lps))
        self.heat.SetAndObserveTransformNodeID(self.volume.GetTransformNodeID())
        self.heat.CreateDefaultDisplayNodes()
        display = self.heat.GetDisplayNode()
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeFileInferno.txt")
        display.AutoWindowLevelOff()
        top = float(np.nanmax(voxels)) if voxels.size else 0.0
        display.SetWindowLevelMinMax(0.0, top or 1.0)
        # What is 0 is not coloured at all.
        display.ApplyThresholdOn()
        display.SetThreshold(max(top, 1e-6) * 0.02, max(top, 1e-6))
        return self.heat

    def hide_heat_map(self) -> None:
        if self.heat is not None:
            self._drop(self.heat)
        self.heat = None

    def _mark_synthetic(self) -> None:
        """The word in every slice, at its corner and at its middle: points whose label no view leaves out."""
        self.volume.SetAttribute("LesionLabel.synthetic", NO_PATIENTS)
        points = self._add("vtkMRMLMarkupsFiducialNode", f"{SYNTHETIC}, no patient")
        points.SetLocked(True)
        points.CreateDefaultDisplayNodes()
        points.GetDisplayNode().SetTextScale(4)
        columns, rows, _ = self.geometry.shape[::-1]
        for k in range(self.geometry.shape[0]):
            at = RAS_TO_LPS @ self.geometry.to_lps @ np.array([columns / 2, rows * 0.08, k, 1.0])
            points.AddControlPoint(vtk.vtkVector3d(*at[:3]), f"{SYNTHETIC}, no patient")

    def _add(self, kind: str, name: str) -> Any:
        node = self._scene.AddNewNodeByClass(kind, name)
        self._made.append(node)
        return node

    def _drop(self, node: Any) -> None:
        parts = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
        parts += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
        for one in [*parts, node]:
            if one is not None:
                self._scene.RemoveNode(one)

    def _node_ids(self) -> set[str]:
        return {self._scene.GetNthNode(n).GetID() for n in range(self._scene.GetNumberOfNodes())}

    @staticmethod
    def segment_id(number: int) -> str:
        return f"lesion-{number}"


def geometry_of(volume: Any) -> Geometry:
    """The grid of a volume node."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    return geometry_from_ras([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)], (slices, rows, columns))


def _oriented(slicer: Any, mask: np.ndarray[Any, Any], place: Geometry) -> Any:
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*mask.shape[::-1])
    _put_voxels(image, mask.astype(np.uint8))
    image.SetGeometryFromImageToWorldMatrix(_vtk_matrix(RAS_TO_LPS @ place.to_lps))
    return image


def _put_voxels(image: Any, voxels: np.ndarray[Any, Any]) -> None:
    array = numpy_support.numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True)
    array.SetName("ImageScalars")
    image.GetPointData().SetScalars(array)


def _voxels(image: Any) -> np.ndarray[Any, Any]:
    if image is None or image.GetPointData().GetScalars() is None:
        return np.zeros((0, 0, 0), dtype=np.uint8)
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _vtk_matrix(values: np.ndarray[Any, Any]) -> Any:
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(values[row, column]))
    return matrix

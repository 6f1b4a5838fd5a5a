"""The DICOM series that a result is about: its slices in order, and the way from a volume's voxels back to their pixels.

Source: PS3.3 C.7.6.2 (image plane), C.18.6.1.1 (pixel coordinates in SR).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from lesionlabel.imaging.dicom import UNREADABLE, read_dataset
from lesionlabel.imaging.series import find_series
from lesionlabel.imaging.stack import MAX_OFFSET, MIN_OFFSET_MM, make_stack
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Geometry

#: How far, in voxels, a voxel of the volume may lie from a pixel of a slice: what rounding of stored geometry makes.
SAME_PLACE = 0.05
#: Type 2 of the patient and the study (PS3.3 C.7.1.1, C.7.2.1): they may be empty, and real archives leave them out.
TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName",
)  # fmt: skip

#: SOP Instance UIDs -> their files.
FilesOf = Callable[[Sequence[str]], Mapping[str, Path]]


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A CT series in order along its slices' normal.

    geometry: of its own pixels, (column, row, slice number). sop_uids: of its slices in that order. simulated: whether it is no
    patient's. files: has the slices at hand that a result needs; their headers are read, nothing else.
    """

    study_uid: str
    series_uid: str
    sop_uids: tuple[str, ...]
    geometry: Geometry
    simulated: bool
    files: FilesOf
    _headers: dict[int, FileDataset] = field(default_factory=dict)

    def pixels_of(self, voxels: NDArray[np.integer], grid: Geometry) -> NDArray[np.int64]:
        """A volume's voxels as pixels of the series' own slices: (n, 3) of (slice number in order, row, column).

        voxels: (n, 3) of (i, j, k) on grid. No voxel is moved or interpolated: the axes are put back as they are in the files.
        Raises InputError where grid is not the series' own grid.
        """
        pixels = self._pixels(voxels, grid)
        whole = np.rint(pixels).astype(np.int64)
        slices, rows, columns = self.geometry.shape
        if np.abs(pixels - whole).max(initial=0) > SAME_PLACE or np.any(whole < 0) or np.any(whole >= [columns, rows, slices]):
            raise InputError(
                "The volume's voxels are not the pixels of its DICOM series: it was resampled, or is another series. A DICOM "
                "result can only be made on the series itself."
            )
        return whole[:, ::-1]

    def outline(self, contour: Contour, grid: Geometry) -> tuple[int, NDArray[np.float64]]:
        """The number of the slice in order, and the contour in it as SR has it: (column, row), the first pixel's middle at 0.5.

        contour: in the voxels of grid. The polygon is closed: its last point is the first. Raises InputError as pixels_of.
        """
        points = np.column_stack([contour.points, np.full(len(contour.points), float(contour.slice_index))])
        pixels = self._pixels(points, grid)
        number = round(float(pixels[:, 2].mean()))
        if np.abs(pixels[:, 2] - number).max() > SAME_PLACE or not 0 <= number < len(self.sop_uids):
            raise InputError("The contour does not lie in a slice of the DICOM series: the volume is not that series.")
        closed = np.vstack([pixels[:, :2], pixels[:1, :2]])
        return number, closed + 0.5

    def headers(self, numbers: Iterable[int]) -> list[FileDataset]:
        """The whole headers, without pixels, of the slices with those numbers; empty where type 2 elements are missing.

        Raises InputError where a slice is not what and where it was when the volume was read.
        """
        wanted = [int(number) for number in numbers]
        missing = [number for number in wanted if number not in self._headers]
        files = self.files([self.sop_uids[number] for number in missing]) if missing else {}
        for number in missing:
            self._headers[number] = self._header(number, files[self.sop_uids[number]])
        return [self._headers[number] for number in wanted]

    def _header(self, number: int, file: Path) -> FileDataset:
        header = read_dataset(file, pixels=False)
        _, rows, columns = self.geometry.shape
        try:
            # All texts as Unicode: results are written in UTF-8, whatever the source's character set.
            header.decode()
            for keyword in TYPE_2:
                if keyword not in header:
                    setattr(header, keyword, "")
            place = np.array([float(v) for v in header.ImagePositionPatient])
            off = float(np.linalg.norm(place - self.geometry.to_lps([0, 0, number])))
            known = (str(header.StudyInstanceUID), str(header.SeriesInstanceUID), int(header.Rows), int(header.Columns))
        except UNREADABLE as error:
            raise InputError(
                f"The header of a slice of the DICOM series holds what cannot be read ({type(error).__name__}), so that no DICOM "
                "result can refer to it."
            ) from error
        allowed = max(MAX_OFFSET * self.geometry.spacing[2], MIN_OFFSET_MM)
        if known != (self.study_uid, self.series_uid, rows, columns) or off > 2 * allowed:
            raise InputError("A slice of the DICOM series is not what it was when the volume was read. Open the series again.")
        return header

    def _pixels(self, points: NDArray[np.number], grid: Geometry) -> NDArray[np.float64]:
        """Indices (i, j, k) on grid as (column, row, slice number) of the series."""
        return self.geometry.to_voxel(grid.to_lps(points))


def source_series(files: Sequence[Path]) -> SourceSeries:
    """The one CT series in files, other files left out as import does. Raises InputError unless there is exactly one."""
    found, refused = find_series(files, files[0].parent if files else Path())
    if len(found) != 1:
        why = f" {refused[0].reason}" if refused else ""
        raise InputError(f"The DICOM files hold {len(found)} CT series, a result is about one.{why}")
    stack = make_stack(found[0].headers)
    places = {header.sop_uid: header.path for header in stack.slices}
    return SourceSeries(
        study_uid=stack.slices[0].study_uid,
        series_uid=stack.slices[0].series_uid,
        sop_uids=tuple(places),
        geometry=stack.geometry,
        simulated=any(header.synthetic for header in stack.slices),
        files=lambda uids: {uid: places[uid] for uid in uids},
    )

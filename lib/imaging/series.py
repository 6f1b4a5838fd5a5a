"""CT series among files: found, grouped, put in order, and read as volumes."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlabel.imaging.dicom import CT_IMAGE, Refusal, SliceHeader, read_header
from lesionlabel.imaging.file_hash import hash_file
from lesionlabel.imaging.nifti import MIN_SLICES, stored_geometry
from lesionlabel.imaging.orientation import to_canonical
from lesionlabel.imaging.pixels import read_hu
from lesionlabel.imaging.plausible import check_hu
from lesionlabel.imaging.stack import AXIAL_COSINE, Stack, make_stack
from lesionlabel.lesions.errors import InputError, OtherKindError
from lesionlabel.lesions.volume import Volume

#: Within this slices have the same spacing, and each component of their orientation is the same.
SPACING_TOLERANCE_MM, ORIENTATION_TOLERANCE = 1e-3, 2e-3


@dataclass(frozen=True, eq=False)
class Series:
    """The slices found of one series of one patient, in no order yet."""

    headers: tuple[SliceHeader, ...]

    @property
    def first(self) -> SliceHeader:
        return self.headers[0]


@dataclass(frozen=True, eq=False)
class LoadedSeries:
    """A series as a volume; slices: in the order of its voxels, foot to head; refused: files that had to be left out."""

    volume: Volume
    slices: tuple[SliceHeader, ...]
    refused: tuple[Refusal, ...]

    @property
    def source(self) -> dict[str, str | list[str]]:
        """What DICOM SEG and SR need to refer to the series: its UIDs, instances in the order of the volume's slices."""
        first = self.slices[0]
        return {
            "study_uid": first.study_uid,
            "series_uid": first.series_uid,
            "frame_of_reference_uid": first.frame_uid,
            "sop_class_uid": CT_IMAGE,
            "sop_instance_uids": [header.sop_uid for header in self.slices],
        }


def files_below(folder: Path) -> list[Path]:
    """All plain files in the folder and its subfolders, links to folders not followed, hidden ones left out."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.is_file()]


def find_series(files: Iterable[Path], below: Path, *, eight_bit: bool = False) -> tuple[list[Series], list[Refusal]]:
    """The CT series among DICOM files, whatever their names and order, and why the other files are none.

    below: the folder that refusals name paths from. eight_bit: for mask series. The same instance found twice counts once.
    """
    groups: dict[tuple[str, ...], dict[str, SliceHeader]] = defaultdict(dict)
    refused = []
    for path in files:
        try:
            header = read_header(path, eight_bit=eight_bit)
        except InputError as error:
            refused.append(Refusal(name_below(path, below), str(error), not isinstance(error, OtherKindError)))
            continue
        key = (header.patient_id, header.issuer, header.study_uid, header.series_uid)
        twin = groups[key].setdefault(header.sop_uid, header)
        if twin is not header and hash_file(twin.path) != hash_file(path):
            refused.append(Refusal(name_below(path, below), "Another file has the same SOP Instance UID and other content."))
    found = []
    for headers in groups.values():
        kept, left_out = _one_grid(list(headers.values()), below)
        refused += left_out
        if kept:
            found.append(Series(tuple(kept)))
    return found, refused


def load_series(series: Series, below: Path) -> LoadedSeries:
    """Decode a series into a volume in HU with its canonical orientation.

    Slices that cannot be decoded are left out and named; the others must still make a whole stack. Raises InputError or
    NotCTError with the reason.
    """
    stack, voxels, refused = _decode(make_stack(series.headers), below)
    try:
        check_hu(voxels)
        voxels, geometry = to_canonical(voxels, stack.geometry)
        geometry = stored_geometry(geometry)
        _ = geometry.pixel_mm
    except InputError as error:
        raise type(error)(_with_refused(str(error), refused)) from error
    slices = stack.slices if stack.geometry.affine[2, 2] > 0 else stack.slices[::-1]
    info = dict(series.first.info)
    if any(header.synthetic for header in series.headers):
        info["simulated"] = True
    return LoadedSeries(Volume(voxels, geometry, stack.geometry, info), slices, tuple(refused))


def load_mask(series: Series, below: Path) -> tuple[NDArray[np.bool_], Volume]:
    """Decode a mask series: (slice, row, column), True where stored values are not 0; and the volume it lies in."""
    stack, voxels, refused = _decode(make_stack(series.headers), below)
    if refused:
        raise InputError(f"{refused[0].what}: {refused[0].reason}")
    voxels, geometry = to_canonical(voxels, stack.geometry)
    return voxels != 0, Volume(voxels, stored_geometry(geometry), stack.geometry)


def name_below(path: Path, below: Path) -> str:
    """The path as seen from below, or its name."""
    try:
        return path.relative_to(below).as_posix()
    except ValueError:
        return path.name


def _decode(stack: Stack, below: Path) -> tuple[Stack, NDArray[np.int16], list[Refusal]]:
    voxels = np.empty(stack.geometry.shape, dtype=np.int16)
    refused, kept = [], []
    for number, header in enumerate(stack.slices):
        try:
            hu = read_hu(header.path)
            if hu.shape != voxels.shape[1:]:
                raise InputError(f"Its pixels have shape {hu.shape}, its header says {voxels.shape[1:]}.")
        except InputError as error:
            refused.append(Refusal(name_below(header.path, below), str(error)))
        else:
            voxels[number] = hu
            kept.append(number)
    if refused:
        try:
            stack = make_stack([stack.slices[i] for i in kept]) if kept else make_stack(stack.slices[:0])
        except (InputError, IndexError) as error:
            reason = str(error) if kept else "None of its slices can be decoded."
            raise InputError(_with_refused(reason, refused)) from error
        voxels = voxels[kept]
    return stack, voxels, refused


def _with_refused(reason: str, refused: Sequence[Refusal]) -> str:
    if not refused:
        return reason
    return f"{reason} {len(refused)} of its files were left out, the first is {refused[0].what}: {refused[0].reason}"


def _one_grid(headers: list[SliceHeader], below: Path) -> tuple[list[SliceHeader], list[Refusal]]:
    """The slices of the one matrix and orientation that make a stack; scouts kept in the same series are left out.

    Where two such stacks are in one series, none is chosen.
    """
    grids = _grids(headers)
    if len(grids) == 1:
        return headers, []
    large = [group for group in grids if len(group) >= MIN_SLICES]
    if len(large) != 1:
        sizes = ", ".join(f"{len(g)} of {g[0].columns} × {g[0].rows} at {g[0].column_mm:.4g} mm" for g in grids)
        what = f"series of {len(headers)} files ({name_below(headers[0].path, below)} …)"
        return [], [Refusal(what, f"It mixes slices of several matrices or orientations ({sizes}); none is a series on its own.")]
    others = [header for group in grids if group is not large[0] for header in group]
    return large[0], [_off_grid(header, large[0][0], below) for header in others]


def _grids(headers: list[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices of one grid each. They are held against the commonest first, so that the order of files does not matter."""
    alike = Counter((header.rows, header.columns, header.row_mm, header.column_mm, *header.orientation) for header in headers)
    commonest = {key: place for place, (key, _) in enumerate(alike.most_common())}
    grids: list[list[SliceHeader]] = []
    for header in sorted(headers, key=lambda h: commonest[(h.rows, h.columns, h.row_mm, h.column_mm, *h.orientation)]):
        same = next((group for group in grids if _same_grid(group[0], header)), None)
        if same is None:
            grids.append([header])
        else:
            same.append(header)
    return grids


def _off_grid(header: SliceHeader, slice_of_series: SliceHeader, below: Path) -> Refusal:
    """Why a file is not in the stack. Only what lies across the slices is surely none of them."""
    across = _lies_across(header, slice_of_series)
    differs = "orientation" if across else "matrix, spacing or orientation"
    hint = " (a scout or a reformat)" if across else ""
    return Refusal(name_below(header.path, below), f"Its {differs} is not that of its series{hint}.", not across)


def _lies_across(header: SliceHeader, other: SliceHeader) -> bool:
    """Whether its plane makes more than 45° with the other's. Not where its orientation is none."""
    one, two = (np.cross(h.orientation[:3], h.orientation[3:]) for h in (header, other))
    return bool(np.linalg.norm(one) > 0.9 and abs(one @ two) < AXIAL_COSINE)


def _same_grid(one: SliceHeader, other: SliceHeader) -> bool:
    """Whether their matrix, spacing and orientation are the same but for what scanners round differently from slice to slice."""
    sizes = (one.rows, one.columns) == (other.rows, other.columns)
    spacings = max(abs(one.row_mm - other.row_mm), abs(one.column_mm - other.column_mm)) <= SPACING_TOLERANCE_MM
    return sizes and spacings and bool(np.allclose(one.orientation, other.orientation, rtol=0, atol=ORIENTATION_TOLERANCE))

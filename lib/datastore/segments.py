"""A saved segmentation, NIfTI or NRRD, brought onto its volume's grid, with the name of each segment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.datastore.names import split_extension
from lesionlabel.imaging.nifti import DETACHED_DATA, READERS
from lesionlabel.imaging.nifti_file import whole_nifti
from lesionlabel.lesions.errors import InputError, NotCTError
from lesionlabel.lesions.volume import Geometry, Volume

#: Two grids count as parallel when one drifts across the other by less than this many voxels over the segments.
PARALLEL = 0.1
#: The ending of the file beside a label that names its values, as the import of 3D-IRCADb writes it.
NAMES_SUFFIX = ".segments.json"
#: Share of a label's voxels that may lie beyond the image, by more than one voxel: slips of a brush over its edge.
BEYOND = 0.05
ELSEWHERE = "It was drawn on another image, or saved without its position."
#: Segment values fit in 32 bits.
MAX_VALUE = 2**31 - 1


class LabelError(InputError):
    """A file is no segmentation on its image's grid: damaged, cut short, not 3-D, empty, or drawn on another image."""


@dataclass(frozen=True, eq=False)
class Segments:
    """The part of a volume's grid that holds segments.

    mask: (slices, rows, columns) segment values, 0 outside. start: (slice, row, column) of its first voxel in the volume.
    names: value -> segment name, where known.
    """

    mask: NDArray[np.int32]
    start: tuple[int, int, int]
    names: dict[int, str]

    @property
    def values(self) -> list[int]:
        """The segment values that occur, in order."""
        return [int(v) for v in np.unique(self.mask) if v]


def read_segments(path: Path, volume: Volume, label_info: Any = None) -> Segments:
    """Read a label file as Slicer, OHIF and scripts send it.

    label_info: [{name, idx}], used for segments that the file itself does not name; without it, the names file beside the
    label. Raises LabelError when the file cannot be read, holds no segment or lies outside the volume, InputError when its
    names cannot be told apart.
    """
    try:
        values, affine, keys = _read(path)
        values, names = _flatten(values, keys)
        if not values.any():
            raise LabelError("The label holds no segment: all voxels are 0.")
        if affine is None and values.shape != volume.native.shape:
            slices, rows, columns = values.shape
            raise LabelError(
                f"The label says no position and has {columns} × {rows} × {slices} voxels, other than the image. {ELSEWHERE}"
            )
        mask, start = _onto(volume.geometry, values, affine if affine is not None else volume.native.affine)
    except InputError:
        raise
    except (ValueError, ArithmeticError) as error:  # a header with numbers that are none, or axes without a direction
        raise LabelError("The label cannot be read: its header contradicts itself.") from error
    present = [int(v) for v in np.unique(mask) if v]
    return Segments(mask, start, names or names_of(label_info, present) or names_beside(path))


def names_beside(path: Path) -> dict[int, str]:
    """Value -> name from the names file beside a label, {} where there is none. Raises InputError when it is damaged."""
    file = path.with_name(f"{split_extension(path.name)[0]}{NAMES_SUFFIX}")
    try:
        return {int(entry["value"]): str(entry["name"]) for entry in json.loads(file.read_bytes())["segments"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"The label's names in {file.name} cannot be read ({error!r}). Mend it or take it away.") from error


def names_of(label_info: Any, present: list[int]) -> dict[int, str]:
    """Value -> name for the values present, from label_info [{name, idx}].

    3D Slicer exports segments as 1, 2, … in the order of label_info and may give other numbers in idx; other clients mean
    idx. Raises InputError where the two readings name the present values differently.
    """
    if not isinstance(label_info, list):
        return {}
    entries = [e for e in label_info if isinstance(e, dict) and isinstance(e.get("name"), str)]
    by_position = {n: str(e["name"]) for n, e in enumerate(entries, start=1)}
    by_idx = {int(e["idx"]): str(e["name"]) for e in entries if isinstance(e.get("idx"), int | float)}
    readings = [{v: names[v] for v in present} for names in (by_position, by_idx) if set(present) <= set(names)]
    if not readings:
        return {v: by_position[v] for v in present if v in by_position}
    if any(reading != readings[0] for reading in readings):
        raise InputError(
            f"The voxel values {present} can be read by position or by idx in label_info, with different names. "
            "Number the segments 1, 2, 3 … in label_info, or save as .seg.nrrd, which names them in the file."
        )
    return readings[0]


def _read(path: Path) -> tuple[NDArray[Any], NDArray[np.float64] | None, dict[str, str]]:
    _, extension = split_extension(path.name)
    reader_name = READERS.get(".nrrd" if extension == ".seg.nrrd" else extension)
    if reader_name is None:
        raise LabelError(f"{extension or 'no'} ending: a label is .nii.gz, .nii, .nrrd or .seg.nrrd.")
    if "nrrd" in extension:
        with path.open("rb") as file:
            if DETACHED_DATA.search(file.read(65536).split(b"\n\n", 1)[0].replace(b"\r", b"")):
                raise LabelError("The label keeps its voxels in another file. Save it as one .nrrd file.")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    try:
        with _whole(path) as whole:
            reader.SetFileName(os.fspath(whole))
            image = reader.Execute()
    except NotCTError as error:
        raise LabelError("The label has NaN or infinite voxels; segment values are whole numbers.") from error
    except (RuntimeError, InputError) as error:
        raise LabelError("The label cannot be read: it is damaged, cut short, or no such file. Save it again.") from error
    if image.GetDimension() != 3:
        raise LabelError(f"The label is {image.GetDimension()}-D; a label of a volume is 3-D.")
    voxels = sitk.GetArrayFromImage(image)
    if voxels.dtype.kind not in "iuf" or not (voxels.min() >= -MAX_VALUE and voxels.max() <= MAX_VALUE):
        raise LabelError(f"The label's voxels ({voxels.dtype}) are no segment values, which are whole numbers.")
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    placed = not (keys.get("qform_code") == "0" and keys.get("sform_code") == "0")
    return voxels, affine if placed else None, keys


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """The file to read: of what is missing in a NIfTI file ITK makes zeros in silence, of NRRD it says so."""
    if "nrrd" in path.name.casefold():
        yield path
        return
    with whole_nifti(path) as whole:
        yield whole


def _flatten(values: NDArray[Any], keys: dict[str, str]) -> tuple[NDArray[np.int32], dict[int, str]]:
    """One value per segment, from 3D Slicer's layers, and the names in the file's header (Slicer's .seg.nrrd keys)."""
    segments = []
    number = 0
    while f"Segment{number}_Name" in keys:
        layer = int(keys.get(f"Segment{number}_Layer", "0"))
        value = int(keys.get(f"Segment{number}_LabelValue", "1"))
        segments.append((layer, value, keys[f"Segment{number}_Name"]))
        number += 1
    layers = values if values.ndim == 4 else values[..., None]
    if not segments:
        if layers.shape[-1] != 1:
            raise LabelError(f"The label has {layers.shape[-1]} components a voxel and names none. Save it as .seg.nrrd.")
        return np.rint(layers[..., 0]).astype(np.int32), {}
    flat = np.zeros(layers.shape[:3], dtype=np.int32)
    for position, (layer, value, _) in enumerate(segments, start=1):
        if layer < layers.shape[-1]:
            flat[layers[..., layer] == value] = position
    return flat, {position: name for position, (_, _, name) in enumerate(segments, start=1)}


def _onto(
    geometry: Geometry, values: NDArray[np.int32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.int32], tuple[int, int, int]]:
    """The nearest segment value at each voxel of the smallest box of geometry's grid that holds all segments."""
    to_label = np.linalg.inv(affine) @ geometry.affine
    box = ndimage.find_objects((values != 0).astype(np.int8))[0]
    low, high = [np.array([s.start for s in box[::-1]]) - 0.5, np.array([s.stop for s in box[::-1]]) - 0.5]
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    to_image = np.linalg.inv(to_label)
    inside = (to_image @ np.c_[corners, np.ones(8)].T)[:3]
    sizes = np.array(geometry.shape[::-1])
    first = np.clip(np.ceil(inside.min(axis=1) - 1e-6), 0, sizes).astype(int)
    stop = np.clip(np.floor(inside.max(axis=1) + 1e-6) + 1, 0, sizes).astype(int)
    if np.any(stop <= first):
        raise LabelError(f"The label lies outside the image. {ELSEWHERE}")
    picked = _sample(values, to_label, first, stop)
    beyond = _share_beyond(values, to_image, sizes)
    if not picked.any() or beyond > BEYOND:
        raise LabelError(f"{100 * beyond:.0f} % of the label's voxels lie outside the image. {ELSEWHERE}")
    return picked, (int(first[2]), int(first[1]), int(first[0]))


def _share_beyond(values: NDArray[np.int32], to_image: NDArray[np.float64], sizes: NDArray[np.intp]) -> float:
    """Share of the segments' voxels whose centre is more than one voxel beyond the image, from at most about 100,000 of them."""
    slices, rows, columns = np.nonzero(values)
    step = 1 + len(slices) // 100_000
    points = np.stack([columns[::step], rows[::step], slices[::step], np.ones(len(slices[::step]))])
    index = (to_image @ points)[:3]
    return float(np.mean(np.any((index < -1.0) | (index > sizes[:, None]), axis=0)))


def _sample(
    values: NDArray[np.int32], to_label: NDArray[np.float64], first: NDArray[np.intp], stop: NDArray[np.intp]
) -> NDArray[np.int32]:
    shape = tuple(int(n) for n in (stop - first)[::-1])
    matrix = to_label[:3, :3]
    offset = matrix @ first + to_label[:3, 3]
    main = np.argmax(np.abs(matrix), axis=1)
    rest = matrix.copy()
    rest[np.arange(3), main] = 0
    if np.abs(rest).max() * max(shape) > PARALLEL or len(set(main.tolist())) < 3:
        whole = np.eye(4)
        whole[:3, :3], whole[:3, 3] = matrix[::-1, ::-1], offset[::-1]
        sampled = np.zeros(shape, dtype=np.int32)
        ndimage.affine_transform(values, whole, output=sampled, output_shape=shape, order=0, mode="constant", cval=0)
        return sampled
    # Parallel grids: look the index up along each axis, and turn the axes.
    picks, keep = [], []
    for axis in range(3):
        along = main[axis]
        index = np.rint(matrix[axis, along] * np.arange(shape[2 - along]) + offset[axis]).astype(int)
        good = (index >= 0) & (index < values.shape[2 - axis])
        picks.append(np.where(good, index, 0))
        keep.append(good)
    picked = values[np.ix_(picks[2], picks[1], picks[0])]
    picked = picked * np.einsum("a,b,c->abc", keep[2], keep[1], keep[0])
    # picked's axes are the label's (2, 1, 0); axis a of the label runs along the volume's axis main[a].
    order = [2 - int(np.nonzero(main == 2 - target)[0][0]) for target in range(3)]
    return np.ascontiguousarray(picked.transpose(order)).astype(np.int32)

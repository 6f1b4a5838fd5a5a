"""Synthetic ROIs as PNG, NumPy and NIfTI files, each with its mark in the name and, where the format can, inside."""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.imaging.synthetic import MARK_KEY, PREFIX, WORDS, SyntheticMark, is_synthetic_name
from lesionlabel.imaging.synthetic_pixels import HIGH, LOW, burn_in, to_grey, to_hu, to_unit, word
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.roi import ROI_SIZE

#: Pixels between the ROIs of a grid, and the largest enlargement of the word above it.
GAP, MAX_SCALE = 2, 16
#: Code of a header extension with plain text (nifti1.h, NIFTI_ECODE_COMMENT).
COMMENT = 6
DESCRIP_BYTES = 80
MM = 2


def write_png_grid(path: Path, images: NDArray[np.float32], mark: SyntheticMark, burn: bool = False) -> None:
    """Write ROIs (n, 64, 64) in [0, 1] as one 8-bit grey PNG, row by row, one pixel each, the mark in its text chunks.

    burn: with a band above that reads SYNTHETIC. Raises InputError for other images or a file name that is not marked.
    """
    _require_marked(path)
    grey = to_grey(to_hu(images))
    columns = math.ceil(math.sqrt(len(grey)))
    step = ROI_SIZE + GAP
    grid = np.zeros((GAP + math.ceil(len(grey) / columns) * step, GAP + columns * step), dtype=np.uint8)
    for number, one in enumerate(grey):
        top, left = GAP + number // columns * step, GAP + number % columns * step
        grid[top : top + ROI_SIZE, left : left + ROI_SIZE] = one
    if burn:
        two_thirds = 2 * grid.shape[1] // (3 * word().shape[1])
        letters = word(max(1, min(MAX_SCALE, two_thirds)))
        band = np.zeros((letters.shape[0], grid.shape[1]), dtype=np.uint8)
        band[:, : letters.shape[1]] = np.where(letters, 255, 0)
        grid = np.vstack([band, grid])
    write_atomically(path, _png(grid, mark))


def write_npy(path: Path, images: NDArray[np.float32], mark: SyntheticMark) -> Path:
    """Write ROIs (n, 64, 64) as float32 in [0, 1] to path (.npy), and the mark as JSON beside it, whose path is returned.

    Values lie on whole HU, as in every other form. A .npy holds no text: only its name is marked. import-rois takes no
    numbers in [0, 1] for HU. Raises InputError for other images or a file name that is not marked.
    """
    _require_marked(path)
    content, beside = io.BytesIO(), path.with_suffix(".json")
    np.save(content, to_unit(to_hu(images)), allow_pickle=False)
    note = {**mark.to_json(), "file": path.name, "images": len(images), "values": "0 to 1", "hu_window": [LOW, HIGH]}
    write_atomically(beside, json.dumps(note, indent=1).encode())
    write_atomically(path, content.getvalue())
    return beside


def write_nifti(path: Path, images: NDArray[np.float32], mark: SyntheticMark, burn: bool = False) -> None:
    """Write ROIs (n, 64, 64) in [0, 1] as the axial slices of one int16 HU volume, .nii or .nii.gz.

    Voxels are 1 mm in each direction: arbitrary, a ROI was scaled to its lesion. The header's description begins with the
    mark, and a header extension holds it as JSON. burn: with SYNTHETIC in a corner of each slice. Source: nifti1.h. Raises
    InputError for other images or a file name that is not marked.
    """
    _require_marked(path)
    hu = to_hu(burn_in(images) if burn else images)
    extension = json.dumps(mark.to_json()).encode()
    extension += b"\0" * (-(len(extension) + 8) % 16)
    start = 352 + 8 + len(extension)
    content = _nifti_header(len(hu), start, mark.text.encode("ascii", "replace")[: DESCRIP_BYTES - 1])
    content += struct.pack("<4B2i", 1, 0, 0, 0, 8 + len(extension), COMMENT) + extension + hu.astype("<i2").tobytes()
    write_atomically(path, gzip.compress(content, mtime=0) if path.name.casefold().endswith(".gz") else content)


def _nifti_header(slices: int, start: int, description: bytes) -> bytes:
    """The 348 bytes of NIfTI-1. Columns run to the left and rows to the back, which are minus x and minus y there."""
    header = bytearray(348)
    middle = (ROI_SIZE - 1) / 2
    fields = (
        (0, "i", (348,)),
        (40, "8h", (3, ROI_SIZE, ROI_SIZE, slices, 1, 1, 1, 1)),
        (70, "2h", (4, 16)),  # int16
        (76, "8f", (1, 1, 1, 1, 0, 0, 0, 0)),
        (108, "3f", (start, 1, 0)),  # where the voxels begin, slope, intercept
        (123, "B", (MM,)),
        (124, "2f", (HIGH, LOW)),  # the window to show it in
        (148, f"{DESCRIP_BYTES}s", (description,)),
        (252, "2h", (1, 1)),
        (256, "6f", (0, 0, 1, middle, middle, 0)),
        (280, "12f", (-1, 0, 0, middle, 0, -1, 0, middle, 0, 0, 1, 0)),
        (344, "4s", (b"n+1\0",)),
    )
    for offset, kind, values in fields:
        struct.pack_into(f"<{kind}", header, offset, *values)
    return bytes(header)


def _png(grey: NDArray[np.uint8], mark: SyntheticMark) -> bytes:
    info = PngInfo()
    info.add_text("Title", f"{WORDS}: {mark.label}")
    info.add_text("Description", mark.text)
    info.add_text("Disclaimer", f"{WORDS}: made by a generator. {NOT_FOR_CLINICAL_USE}")
    info.add_itxt(MARK_KEY, json.dumps(mark.to_json()))
    content = io.BytesIO()
    Image.fromarray(grey).save(content, format="PNG", pnginfo=info)
    return content.getvalue()


def _require_marked(path: Path) -> None:
    if not is_synthetic_name(path):
        raise InputError(f"A file of synthetic images is named {PREFIX}…, so that its name says it; got {path.name}.")

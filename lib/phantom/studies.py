"""Simulated patients as DICOM series on disk, with the truth beside them in truth.json.

A result on simulated studies says nothing about patients.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.phantom.abdomen import BOTTOM_MM, TOP_MM, Abdomen, draw_abdomen, paint_slice
from lesionlabel.phantom.cohort import DIAMETERS_MM
from lesionlabel.phantom.dicom import SeriesHeader, write_slice
from lesionlabel.phantom.lesions import paint_lesion
from lesionlabel.phantom.parameters import VARIANTS, LesionParameters
from lesionlabel.phantom.patient import draw_densities
from lesionlabel.phantom.placing import PlacedLesion, draw_lesions
from lesionlabel.phantom.presets import Preset, find_preset
from lesionlabel.phantom.randomness import NOISE, STUDY, stream
from lesionlabel.phantom.reader import draw_contour, pick_slice
from lesionlabel.phantom.texture import Floats, draw_noise_level, noise_stack

#: Rows and columns of a slice: the full size, and the least that still shows a lesion of 10 mm.
MATRIX, LEAST_MATRIX = 512, 128
TRUTH = "truth.json"


def write_studies(
    patients: int,
    seed: int,
    preset: str,
    out: Path,
    matrix: int = MATRIX,
    parameters: LesionParameters = VARIANTS["calibrated"],
) -> Path:
    """Write one series a patient to out/<patient_id>/*.dcm and the truth to out/truth.json, whose path it returns.

    matrix: rows and columns; the field of view stays the same. Patient n is the same for a seed however many there are.
    Raises InputError for a bad number, preset or matrix, or when out already holds other files.
    """
    if patients < 1 or seed < 0:
        raise InputError(f"The phantom needs at least one patient and a seed of 0 or more, got {patients} and {seed}.")
    if not LEAST_MATRIX <= matrix <= 1024:
        raise InputError(f"The matrix must be {LEAST_MATRIX} to 1024, got {matrix}.")
    scanner = find_preset(preset)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty. Give a new folder, so that studies of two seeds never mix.")
    records = [_write_patient(number, seed, scanner, out, matrix, parameters) for number in range(1, patients + 1)]
    truth = {"simulated": True, "seed": seed, "preset": preset, "matrix": matrix, "patients": records}
    write_atomically(out / TRUTH, json.dumps(truth, indent=1).encode())
    return out / TRUTH


def _write_patient(
    number: int, seed: int, preset: Preset, out: Path, matrix: int, parameters: LesionParameters
) -> dict[str, Any]:
    rng = stream(seed, STUDY, number)
    densities = draw_densities(rng, preset)
    abdomen = draw_abdomen(rng, densities)
    placed = draw_lesions(rng, abdomen, parameters)
    level = draw_noise_level(rng, densities.noise_sd)
    heights = np.arange(BOTTOM_MM, TOP_MM + 1e-6, preset.slice_mm) + rng.uniform(0, preset.slice_mm)
    pixel_mm = preset.field_mm / matrix
    corner = -(matrix - 1) / 2 * pixel_mm
    offset = np.round(rng.uniform([-8, -190, -700], [8, -150, -500]), 1)
    origin = offset + np.array([corner, corner, heights[0]])
    header = SeriesHeader(
        patient_id=f"PHANTOM-{number:04d}",
        issuer=f"LesionLabel phantom seed {seed}",
        description=f"Portal venous PHANTOM (simulated), {preset.name}",
        pixel_mm=pixel_mm,
        slice_mm=preset.slice_mm,
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        slices=len(heights),
        seed=seed,
    )
    lesions = [_truth(rng, f"{header.patient_id}-L{i}", one, heights, header, offset) for i, one in enumerate(placed, start=1)]
    folder = out / header.patient_id
    folder.mkdir(parents=True)
    along = (corner + np.arange(matrix) * pixel_mm).astype(np.float32)
    x, y = np.meshgrid(along, along)
    noise = noise_stack(stream(seed, NOISE, number), len(heights), matrix, preset)
    for index, (height, grain) in enumerate(zip(heights.tolist(), noise, strict=True)):
        hu = paint_thick_slice(x, y, height, abdomen, placed, preset)
        hu += grain * level.on_grid(x, y, height)
        write_slice(folder / f"IM{len(heights) - index:04d}.dcm", hu, index, header)
    return {
        "patient_id": header.patient_id,
        "folder": header.patient_id,
        "series_uid": str(header.uid("series")),
        "lesions": lesions,
    }


def paint_thick_slice(
    x: Floats, y: Floats, height: float, abdomen: Abdomen, placed: list[PlacedLesion], preset: Preset
) -> Floats:
    """One slice with its lesions, averaged over its thickness, without noise. x, y: mm on a regular grid. Returns HU."""
    count = max(1, preset.sub_slices // 2 + 1) if preset.sub_slices > 2 else 1
    total = np.zeros_like(x)
    for share in (np.arange(count) + 0.5) / count - 0.5:
        z = height + float(share) * preset.slice_mm
        painted = paint_slice(x, y, z, abdomen)
        for one in placed:
            _insert(painted.hu, painted.room, x, y, z, one, abdomen.densities.edge_mm)
        total += painted.hu
    return total / count


def _insert(hu: Floats, room: Floats, x: Floats, y: Floats, z: float, one: PlacedLesion, blur_mm: float) -> None:
    reach = one.lesion.diameter_mm * 0.75 + 5 * one.lesion.edge + 4 * blur_mm
    cx, cy, cz = one.centre.tolist()
    if abs(z - cz) > reach:
        return
    left, right = np.searchsorted(x[0], [cx - reach, cx + reach])
    top, bottom = np.searchsorted(y[:, 0], [cy - reach, cy + reach])
    part = (slice(top, bottom), slice(left, right))
    painted = paint_lesion(hu[part], x[part] - cx, y[part] - cy, z - cz, one.lesion, blur_mm)
    hu[part] = np.where(room[part] > 0, painted, hu[part])


def _truth(
    rng: np.random.Generator,
    lesion_id: str,
    one: PlacedLesion,
    heights: NDArray[np.float64],
    header: SeriesHeader,
    offset: NDArray[np.float64],
) -> dict[str, Any]:
    """The lesion as truth.json has it: the reader's contour in one of the largest slices, and the true outline there."""
    slice_index = pick_slice(rng, one.lesion.shape, heights - one.centre[2])
    height = float(heights[slice_index])
    outline = one.lesion.shape.outline(height - float(one.centre[2])) + one.centre[:2]
    drawn = draw_contour(rng, outline, *DIAMETERS_MM)
    contour = Contour(slice_index, drawn / header.pixel_mm)
    middle = (drawn.min(axis=0) + drawn.max(axis=0)) / 2

    def to_lps(points: NDArray[np.float64]) -> list[list[float]]:
        flat = np.column_stack([points + offset[:2], np.full(len(points), height + offset[2])])
        return np.round(flat, 3).tolist()

    return {
        "lesion_id": lesion_id,
        "label": one.lesion.label,
        "slice": slice_index,
        "centre_lps": to_lps(middle[None])[0],
        "diameter_mm": round(contour.diameter_px * header.pixel_mm, 2),
        "contour_lps": to_lps(drawn),
        "outline_lps": to_lps(outline),
    }

"""What a client asked: where the lesion is, in one of five ways, read from the loose parameters that clients send."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.flags import read_flag

Point = tuple[float, float, float]

#: Diameters in mm that are taken for a lesion's.
DIAMETER_MM = (1.0, 300.0)
WAYS = (
    "Give one of: point or foreground [i, j, k] (with diameter_mm, or alone to have the lesion outlined), "
    "center_lps [x, y, z] with diameter_mm, points [[i, j, k], [i, j, k]] (the ends of its diameter), or a label file."
)
#: The parameters that are read here.
PARAMETERS = (
    "point", "foreground", "center_lps", "points", "diameter_mm", "segment", "label_info", "override_phase", "whole", "with_type",
)  # fmt: skip
#: What stock clients and MONAI Label itself send besides, so that none of it is taken for a misspelt parameter.
STOCK = frozenset(
    {"background", "client_id", "description", "device", "image", "image_id", "label", "label_file", "label_names", "label_tag",
     "labels", "model", "output", "reset_state", "result_compress", "result_dtype", "result_extension", "result_write_to_file",
     "roi", "save_label", "session", "session_id", "slice"}
)  # fmt: skip
#: Names this alike (difflib's ratio) are taken for each other: "center" and "override" are, "labels" and "label_info" are not.
ALIKE = 0.7


@dataclass(frozen=True)
class Asked:
    """Exactly one of click, centre_lps, ends and label_file is set.

    click: voxel index (i, j, k) in the file's own grid, or, where by_viewer, as viewers count it (Volume.viewer). centre_lps: LPS
    mm. ends: both ends of a diameter, voxel indices. diameter_mm: with click or centre_lps. label_file: a segmentation; segment:
    which of its segments, by name; label_info: names of its values. override_phase: answer although the image does not look
    portal-venous.
    """

    click: Point | None = None
    by_viewer: bool = False
    centre_lps: Point | None = None
    ends: tuple[Point, Point] | None = None
    diameter_mm: float | None = None
    label_file: Path | None = None
    segment: str | None = None
    label_info: Any = None
    override_phase: bool = False


def read_request(request: dict[str, Any]) -> Asked:
    """What the request asks. Parameters that are empty, None or 0, as 3D Slicer sends unset ones, count as not given.

    Clients send much that means nothing here, which is passed over. Raises InputError when no way or several are given, a value
    is of the wrong kind, or a name is nearly one of ours.
    """
    refuse_misspelt(request)
    click = _click(request)
    centre = read_point(request["center_lps"], "center_lps") if is_given(request, "center_lps") else None
    ends = _ends(request["points"]) if is_given(request, "points") else None
    label_file = request.get("label_file")
    ways = [name for name, way in (("point", click), ("center_lps", centre), ("points", ends), ("label", label_file)) if way]
    if len(ways) != 1:
        raise InputError(f"{'No lesion was' if not ways else ' and '.join(ways) + ' were all'} given. {WAYS}")
    diameter = _diameter(request["diameter_mm"]) if is_given(request, "diameter_mm") else None
    if centre is not None and diameter is None:
        raise InputError(f"center_lps needs diameter_mm as well. {WAYS}")
    if diameter is not None and (ends is not None or label_file is not None):
        raise InputError(f"diameter_mm does not go with {ways[0]}, which has a size of its own. {WAYS}")
    return Asked(
        click=click,
        by_viewer=not is_given(request, "point"),
        centre_lps=centre,
        ends=ends,
        diameter_mm=diameter,
        label_file=label_file if isinstance(label_file, Path) else None,
        segment=str(request["segment"]) if is_given(request, "segment") else None,
        label_info=request.get("label_info"),
        override_phase=read_flag(request.get("override_phase", False), "override_phase"),
    )


def refuse_misspelt(request: dict[str, Any]) -> None:
    """Raise InputError when a parameter's name is nearly one of ours, so that it is not passed over in silence."""
    for name in request:
        if name in PARAMETERS or name in STOCK or not is_given(request, name):
            continue
        meant = difflib.get_close_matches(name.casefold(), PARAMETERS, n=1, cutoff=ALIKE)
        if meant:
            raise InputError(f"Unknown parameter {_short(name)}: did you mean {meant[0]}?")


def is_given(request: dict[str, Any], name: str) -> bool:
    """Whether the parameter is there and no empty one, as 3D Slicer sends for what is not set."""
    value = request.get(name)
    return not (value is None or value in ("", "0", 0) or (isinstance(value, list | tuple) and len(value) == 0))


def _click(request: dict[str, Any]) -> Point | None:
    """point, or the last of foreground, which is one point or 3D Slicer's list of them."""
    name = "point" if is_given(request, "point") else "foreground"
    if not is_given(request, name):
        return None
    value = request[name]
    if isinstance(value, list | tuple) and isinstance(value[-1], list | tuple):
        value = value[-1]
    return read_point(value, name)


def read_point(value: Any, name: str) -> Point:
    """Three finite numbers. Raises InputError; name: what they are called there."""
    try:
        x, y, z = (float(v) for v in value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be three numbers, got {_short(value)}.") from None
    if not all(map(math.isfinite, (x, y, z))):
        raise InputError(f"{name} must be three finite numbers, got {_short(value)}.")
    return x, y, z


def _ends(value: Any) -> tuple[Point, Point]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"points must be the two ends of a diameter, [[i, j, k], [i, j, k]], got {_short(value)}.")
    return read_point(value[0], "points"), read_point(value[1], "points")


def _diameter(value: Any) -> float:
    low, high = DIAMETER_MM
    try:
        diameter = float(value)
    except (TypeError, ValueError):
        diameter = math.nan
    if not low <= diameter <= high:
        raise InputError(f"diameter_mm must be a number from {low:.0f} to {high:.0f}, got {_short(value)}.")
    return diameter


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

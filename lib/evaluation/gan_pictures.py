"""One page of pictures of a generator: what it makes, what it may have copied, its way between two images, how it trained."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.imaging.synthetic import WORD, WORDS
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import HU_WINDOW, ROI_SIZE

#: Tiles in a row, and the most samples and pairs that are shown.
COLUMNS, MOST_SAMPLES, MOST_PAIRS = 10, 40, 10
#: Inches: the page's width and margin, a tile with the gap beside it, what stands above the areas, over one and below a tile.
WIDTH, MARGIN, TILE, GAP, TOP, HEADING, CAPTION = 11.4, 0.2, 1.1, 0.04, 0.75, 0.36, 0.34
CURVES, DPI = 2.7, 100
SYNTHETIC_COLOUR, OTHER_COLOUR = "#a01818", "#1c4f8a"


class _Area(NamedTuple):
    """Tiles under one heading; captions: below them, of each or none."""

    heading: str
    colour: str
    tiles: list[Tensor]
    captions: list[str]

    @property
    def row_height(self) -> float:
        return TILE + (CAPTION if self.captions else 0.0)

    @property
    def height(self) -> float:
        return HEADING + math.ceil(len(self.tiles) / COLUMNS) * self.row_height


def picture_page(
    title: str,
    samples: Tensor,
    nearest: Sequence[tuple[Tensor, Tensor, str]],
    interpolation: Tensor,
    losses: Mapping[str, Sequence[tuple[int, float]]],
    *,
    origin: Literal["real", "simulated"],
) -> bytes:
    """A page as PNG bytes, marked synthetic in its text chunks and over every area with synthetic tiles.

    samples: (n, 1, 64, 64) in [0, 1], of which the first 40 are shown. nearest: a synthetic ROI (1, 64, 64), the ROI of its
    nearest training lesion, and a short line for below, which names no patient; the first 10. interpolation: (n, 1, 64, 64),
    images along the way. losses: (step, loss) by the curve's name. origin: of the training lesions. An area without tiles is
    left out. Grey is fixed: black is 0 (-100 HU), white 1 (240 HU). Raises InputError for tiles of another shape or range.
    """
    pairs = list(nearest)[:MOST_PAIRS]
    near_heading = f"{origin.upper()}: the training lesion nearest to the image above"
    areas = [
        _Area(f"{WORD}: samples of the generator", SYNTHETIC_COLOUR, list(samples[:MOST_SAMPLES]), []),
        _Area(f"{WORD}: images that come nearest to a training lesion", SYNTHETIC_COLOUR, [first for first, _, _ in pairs], []),
        _Area(near_heading, OTHER_COLOUR, [second for _, second, _ in pairs], [text for _, _, text in pairs]),
        _Area(f"{WORD}: on the way from one image to another", SYNTHETIC_COLOUR, list(interpolation), []),
    ]
    areas = [area for area in areas if area.tiles]
    for roi in (roi for area in areas for roi in area.tiles):
        if roi.shape != (1, ROI_SIZE, ROI_SIZE) or not (float(roi.min()) >= 0 and float(roi.max()) <= 1):
            raise InputError(
                f"A tile must be of shape (1, {ROI_SIZE}, {ROI_SIZE}) in [0, 1], got {tuple(roi.shape)} "
                f"from {float(roi.min()):.4g} to {float(roi.max()):.4g}."
            )
    height = TOP + sum(area.height for area in areas) + CURVES
    page = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(page)
    page.text(MARGIN / WIDTH, 1 - 0.26 / height, title, fontsize=15, fontweight="bold", va="center")
    page.text(MARGIN / WIDTH, 1 - 0.54 / height, _what_it_is(origin), fontsize=8.5, va="center")
    down = TOP
    for area in areas:
        _draw_area(page, area, down)
        down += area.height
    _draw_curves(_axes(page, MARGIN + 0.5, down + 0.4, WIDTH - 2 * MARGIN - 0.6, CURVES - 0.9), losses)
    data = io.BytesIO()
    # A page that shows patients' lesions must not pass for one that shows nobody's.
    whose = f"{WORDS}: a generator's page." if origin == "simulated" else "HOLDS IMAGES OF PATIENTS beside synthetic ones."
    page.savefig(data, format="png", metadata={"Title": title, "Comment": f"{whose} {_what_it_is(origin)}"})
    return data.getvalue()


def _what_it_is(origin: str) -> str:
    low, high = HU_WINDOW
    whose = "The training lesions are patients'." if origin == "real" else "The training lesions are simulated."
    return f"{NOT_FOR_CLINICAL_USE} {WORD} images are no patient's. {whose} Black is {low:g} HU, white {high:g} HU."


def _axes(page: Figure, left: float, down: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the page's upper left corner."""
    across, along = page.get_size_inches()
    return page.add_axes((left / across, 1 - (down + height) / along, width / across, height / along))


def _draw_area(page: Figure, area: _Area, down: float) -> None:
    bar = _axes(page, MARGIN, down + 0.06, WIDTH - 2 * MARGIN, HEADING - 0.12)
    bar.set_facecolor(area.colour)
    bar.set(xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    bar.text(0.006, 0.46, area.heading, color="white", fontsize=10.5, fontweight="bold", va="center", transform=bar.transAxes)
    for number, roi in enumerate(area.tiles):
        row, column = divmod(number, COLUMNS)
        tile = _axes(page, MARGIN + column * TILE, down + HEADING + row * area.row_height, TILE - GAP, TILE - GAP)
        tile.imshow(roi[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        tile.set_axis_off()
        if area.captions:
            tile.text(0.5, -0.04, area.captions[number], fontsize=7, ha="center", va="top", transform=tile.transAxes)


def _draw_curves(axes: Axes, losses: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    for name, curve in losses.items():
        axes.plot([step for step, _ in curve], [loss for _, loss in curve], label=name, linewidth=1)
    axes.set_title("Loss by step" if losses else "No loss was recorded", fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if losses:
        axes.legend(fontsize=8, loc="upper right")

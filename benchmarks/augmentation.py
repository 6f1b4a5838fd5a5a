"""480 classic augmentations of 182 lesions against scipy, one ROI at a time, and how far the pictures differ.

Run: python benchmarks/augmentation.py
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.augment.apply import cut_all, cut_rois
from lesionlabel.augment.draw import Recipe, draw_placements, lesion_stream
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import HU_WINDOW, ROI_SIZE, Context, Placement, cut_roi
from lesionlabel.phantom.cohort import make_cohort

#: Lesions that ours makes before it is scipy's turn; neither side pays for memory to keep all ROIs in.
IN_TURN = 4


def scipy_roi(context: Context, placement: Placement) -> NDArray[np.float32]:
    """The same ROI as one writes it with scipy: Gaussian against aliasing where it shrinks, then cubic splines."""
    margin = context.unscaled_margin if placement.margin is None else placement.margin
    step = context.diameter_px * (1 + 2 * margin) / ROI_SIZE
    image = ndimage.gaussian_filter(context.hu, (step - 1) / 2, mode="nearest") if step > 1 else context.hu
    along = (np.arange(ROI_SIZE) - (ROI_SIZE - 1) / 2) * step
    u, v = along[None, :], along[:, None]
    turn = math.radians(placement.angle_deg)
    x = context.centre[0] + placement.shift_px[0] + math.cos(turn) * u - math.sin(turn) * v
    y = context.centre[1] + placement.shift_px[1] + math.sin(turn) * u + math.cos(turn) * v
    hu = np.asarray(ndimage.map_coordinates(image, [y, x], order=3, mode="nearest"))
    if placement.flip in ("lr", "both"):
        hu = hu[:, ::-1]
    if placement.flip in ("ud", "both"):
        hu = hu[::-1]
    low, high = HU_WINDOW
    return np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)


def seconds(work: Callable[[], object]) -> NDArray[np.float64]:
    """Seconds by the clock, and of the processor, which other work on the machine hardly changes."""
    start = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - start


def time_both(cohort: Cohort, placements: list[list[Placement]], sample: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Seconds (2, 2) for all augmentations of the cohort: ours in full; scipy's from sample ROIs of each lesion, in turn."""
    ours, scipys = np.zeros(2), np.zeros(2)
    jobs = [(lesion.context, wanted) for lesion, wanted in zip(cohort, placements, strict=True)]
    for start in range(0, len(jobs), IN_TURN):
        part = jobs[start : start + IN_TURN]
        ours += seconds(lambda part=part: cut_all(part))
        for context, wanted in part:
            chosen = [wanted[i] for i in rng.choice(len(wanted), sample, replace=False)]
            once = seconds(lambda context=context, chosen=chosen: [scipy_roi(context, p) for p in chosen])
            scipys += once * len(wanted) / sample
    return np.stack([ours, scipys])


def largest(differences: list[NDArray[np.float32]]) -> str:
    values = np.abs(np.stack(differences))
    return f"largest {values.max():.2g}, 99.9th percentile {np.quantile(values, 0.999):.2g}, mean {values.mean():.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times that the whole comparison is run")
    parser.add_argument("--sample", type=int, default=6, help="ROIs of each lesion that scipy makes; its time is scaled up")
    options = parser.parse_args()

    cohort, recipe = make_cohort(seed=0), Recipe()
    placements = [draw_placements(x.context, recipe, lesion_stream(0, x.lesion_id)) for x in cohort]
    diameters = np.array([x.context.diameter_px * x.context.spacing_mm for x in cohort])
    total = len(cohort) * recipe.per_lesion
    print(
        f"{len(cohort)} phantom lesions, {diameters.min():.0f}-{diameters.max():.0f} mm (median {np.median(diameters):.0f}), "
        f"{recipe.per_lesion} ROIs each: {total} ROIs"
    )
    compiling, _ = seconds(lambda: cut_rois(cohort.lesions[0].context, placements[0][:2]))
    print(f"compiling the kernel, once per process, not in the figures below: {compiling:.1f} s")

    print(f"reference: scipy, one ROI at a time, {options.sample} random ones of each lesion's {recipe.per_lesion}, scaled up")
    available = torch.get_num_threads()
    rng = np.random.default_rng(0)
    for threads in sorted({1, available}):
        torch.set_num_threads(threads)
        times = np.stack([time_both(cohort, placements, options.sample, rng) for _ in range(options.rounds)])
        for kind, name in enumerate(("clock", "processor")):
            ours, scipys = times[:, 0, kind], times[:, 1, kind]
            ratios = scipys / ours
            print(
                f"{threads} thread(s), {name}: ours {np.median(ours):.2f} s ({np.median(ours) / total * 1e6:.0f} µs a ROI), "
                f"scipy {np.median(scipys):.1f} s ({np.median(scipys) / total * 1e6:.0f} µs a ROI), "
                f"ratio {np.median(ratios):.1f} (range {ratios.min():.1f}-{ratios.max():.1f} over {options.rounds} rounds)"
            )

    from_definition, from_scipy, from_scipy_shrunk = [], [], []
    for lesion, wanted in zip(cohort, placements, strict=True):
        chosen = [wanted[i] for i in rng.choice(len(wanted), options.sample, replace=False)]
        for roi, placement in zip(cut_rois(lesion.context, chosen)[:, 0].numpy(), chosen, strict=True):
            margin = lesion.context.unscaled_margin if placement.margin is None else placement.margin
            shrunk = lesion.context.diameter_px * (1 + 2 * margin) > ROI_SIZE
            from_definition.append(roi - cut_roi(lesion.context, placement))
            (from_scipy_shrunk if shrunk else from_scipy).append(roi - scipy_roi(lesion.context, placement))
    print(f"pixels in [0, 1], difference from cut_roi, {len(from_definition)} ROIs: {largest(from_definition)}")
    print(f"from scipy's cubic spline, {len(from_scipy)} ROIs that are enlarged: {largest(from_scipy)}")
    print(f"from scipy's Gaussian and spline, {len(from_scipy_shrunk)} ROIs that shrink: {largest(from_scipy_shrunk)}")


if __name__ == "__main__":
    main()

"""From clicks to a lesion's outline with the trained network: look at three scales, then closer, twice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, segmentation
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import NoLesionError
from lesionlabel.lesions.segmenter import Clicks, Segmented
from lesionlabel.lesions.volume import Volume
from lesionlabel.lesions.window import SIDE, Frame, Slab, cut_slab
from lesionlabel.networks.click_unet import KINDS, ClickUNet, assemble

FloatArray = NDArray[np.float64]
Probabilities = NDArray[np.float32]

#: Side of the pixels of the first windows in mm, and the least and most of the closer ones.
FIRST_MM = (0.55, 1.1, 2.2)
#: A first window is left out where it is longer than so many of the shorter sides of what lies around the click: much of it would
#: be mirror images.
MOST_SIDES = 1.5
CLOSER_MM = (0.45, 2.4)
#: Windows are moved into the volume, as in training, where the click before all corrections is seldom nearer to an edge. Around
#: one nearer than that in mm they stay in place, and show the volume's mirror image beyond its edge.
EDGE_MM = 43.0
#: Side of a closer window in diameters of what was found, and how many closer looks there are.
CLOSER_SIDES, LOOKS = 2.2, 2
#: How far from the click a lesion reaches at most, in mm.
REACH_MM = 125.0
#: What an outline loses in its choice for each share of it that lies on the window's border.
BORDER_COST = 2.0
#: A lesion ends where a slice is less likely a lesion's than this, or where its outline is expected to be less than this share as
#: good as the first one (chosen on simulated lesions of seed 73), has less than this share of the largest area, or more than so
#: much of the one before.
FOLLOWED_LESION, FOLLOWED_DICE, ENDS_BELOW, JUMPS_ABOVE = 0.35, 0.95, 0.04, 1.8
#: How far a whole lesion is followed each way, in mm.
WHOLE_REACH_MM = 90.0
_ADVICE = "Click inside the lesion, or give its diameter with two points."


@dataclass(frozen=True, eq=False)
class _Found:
    """A window: probabilities (SIDE, SIDE) of the lesion if there is one, mask of its clicked part, probabilities of KINDS.

    shown: pixels that show the slice; the others are mirror images, and no lesion, however much of the mask lies there.
    """

    frame: Frame
    probabilities: Probabilities
    mask: NDArray[np.bool_]
    kind: NDArray[np.float32]
    shown: NDArray[np.bool_]

    @property
    def expected_dice(self) -> float:
        """The Dice that the mask has on average if a lesion was clicked and the probabilities hold."""
        p = self.probabilities
        return float(2 * p[self.mask].sum() / max(self.mask.sum() + p[p > 0.02].sum(), 1e-6))

    @property
    def on_border(self) -> float:
        edge = np.concatenate([self.mask[0], self.mask[-1], self.mask[:, 0], self.mask[:, -1]])
        return float(edge.sum() / max(math.sqrt(self.mask.sum()), 1.0))

    def box(self) -> tuple[FloatArray, float]:
        """The middle of the mask's box as (x, y) in the slice, and its longer side in the slice's pixels."""
        y, x = np.nonzero(self.mask)
        low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
        return self.frame.to_slice((low + high) / 2), float((high - low).max() + 1) * self.frame.step

    def inner_point(self) -> FloatArray:
        """The point farthest from the mask's edge, (x, y) in the slice."""
        depth = np.asarray(ndimage.distance_transform_edt(np.pad(self.mask & self.shown, 1)))
        y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
        return self.frame.to_slice(np.array([x - 1.0, y - 1.0]))

    def area(self) -> float:
        """In the slice's pixels."""
        return float((self.mask & self.shown).sum()) * self.frame.step**2

    def contour(self, slice_index: int, rows: int, columns: int) -> Contour:
        """Where the probability is one half, around the mask, cut off at the slice's outer edges."""
        # Beyond the mask, where it was cut off, nothing counts; elsewhere the edge lies between its pixels and the next.
        near = np.asarray(ndimage.binary_dilation(self.mask), dtype=bool) & ((self.probabilities <= 0.5) | self.mask)
        field = np.where(near & self.shown, self.probabilities, 0.0)
        rings = measure.find_contours(np.pad(np.asarray(field, dtype=np.float64), 1), 0.5)
        ring = max(rings, key=lambda points: abs(_area(points)))
        points = self.frame.to_slice(ring[:-1, ::-1] - 1.0)
        return Contour(slice_index, np.clip(points, -0.5, (columns - 0.5, rows - 0.5)))


class ClickSegmenter:
    """Outlines lesions with the network of that version. Holds no state between questions; safe in several threads."""

    def __init__(self, network: ClickUNet, version: str) -> None:
        self.version = version
        self.network = convert_conv2d_weight_memory_format(network.eval().requires_grad_(False), torch.channels_last)

    def segment(self, volume: Volume, clicks: Clicks, *, whole: bool = False) -> Segmented:
        """The outline of the lesion in the slice of the newest click inside it; with whole, in all its slices.

        Raises OutsideVolumeError outside the volume or in air, NoLesionError where the click is on something else.
        """
        i, j, k = volume.require_tissue(clicks.inside[-1])
        slab = cut_slab(volume, (i, j), k, REACH_MM)
        slices = volume.geometry.shape[0]
        found = self._find(slab, _in_slice(clicks, k, slices), volume.geometry.pixel_mm)
        kind = found.kind
        # Further clicks say that the reader means it.
        meant = len(clicks.inside) + len(clicks.outside) > 1
        likeliest = KINDS[int(np.argmax(kind))]
        if likeliest != KINDS[0] and not meant:
            raise _no_lesion(likeliest, (i, j, k))
        if not (found.mask & found.shown).any():
            raise _no_lesion("liver", (i, j, k))
        _, rows, columns = volume.geometry.shape
        contours = {k: found.contour(k, rows, columns)}
        if whole:
            for way in (-1, 1):
                contours |= self._follow(volume, clicks, found, k, way)
        # Where the reader does not insist, it may be no lesion at all. Where he does, his word is taken: further clicks were only
        # ever seen on lesions.
        confidence = found.expected_dice * (1.0 if meant else float(kind[0]))
        return Segmented(tuple(contours[n] for n in sorted(contours)), k, confidence)

    def _find(self, slab: Slab, clicks: tuple[FloatArray, FloatArray], pixel_mm: float) -> _Found:
        """The clicked lesion: the best of the first looks, looked at more closely. clicks: inside (oldest first), outside.

        What was clicked is the mean of all looks, which on simulated scenes is told better than by the first or the last ones.
        The oldest click inside is where one looks from, as in training: those after it correct, often at the lesion's edge.
        """
        oldest = (float(clicks[0][0][0]), float(clicks[0][0][1]))
        widest = MOST_SIDES * min(slab.planes.shape[1:]) * pixel_mm / SIDE
        scales = [mm for mm in FIRST_MM if mm <= widest] or FIRST_MM[:1]
        looks = self._look(slab, [Frame(oldest, mm / pixel_mm) for mm in scales], clicks, pixel_mm)
        kinds = [look.kind for look in looks]
        found = max(looks, key=lambda look: (look.mask.any(), look.expected_dice - BORDER_COST * look.on_border))
        for _ in range(LOOKS):
            if not found.mask.any():
                break
            closer = self._look(slab, [_closer(found, pixel_mm)], clicks, pixel_mm, mirrored=True)[0]
            kinds.append(closer.kind)
            if not closer.mask.any():
                break
            found = closer
        return replace(found, kind=np.mean(kinds, axis=0))

    def _look(
        self,
        slab: Slab,
        frames: list[Frame],
        clicks: tuple[FloatArray, FloatArray],
        pixel_mm: float,
        mirrored: bool = False,
    ) -> list[_Found]:
        """What the network says of each window; with mirrored, the mean with what it says of its mirror image."""
        near_edge = slab.from_edge(clicks[0][0]) * pixel_mm < EDGE_MM
        if not near_edge:
            frames = [slab.within(frame) for frame in frames]
        planes = torch.from_numpy(np.stack([slab.window(frame, reflected=near_edge) for frame in frames]))
        inside, outside = (
            torch.from_numpy(np.stack([frame.to_window(points) for frame in frames]).astype(np.float32)) for points in clicks
        )
        there = [torch.ones(len(frames), points.shape[1]) for points in (inside, outside)]
        if not outside.shape[1]:
            outside, there[1] = torch.zeros(len(frames), 1, 2), torch.zeros(len(frames), 1)
        sizes = torch.tensor([frame.step * pixel_mm for frame in frames], dtype=torch.float32)
        windows = assemble(planes, inside, there[0], outside, there[1], sizes)
        if mirrored:
            windows = torch.cat([windows, windows.flip(3)])
        with torch.inference_mode():
            logits, kinds = self.network(windows.contiguous(memory_format=torch.channels_last))
            probabilities, kinds = torch.sigmoid(logits), torch.softmax(kinds, dim=1)
        if mirrored:
            n = len(frames)
            probabilities = (probabilities[:n] + probabilities[n:].flip(2)) / 2
            kinds = (kinds[:n] + kinds[n:]) / 2
        found = []
        for frame, field, kind in zip(frames, probabilities.numpy(), kinds.numpy(), strict=True):
            mask = _without(_clicked_part(field > 0.5, frame.to_window(clicks[0])), *(frame.to_window(c) for c in clicks))
            found.append(_Found(frame, field, mask, kind, slab.shows(frame)))
        return found

    def _follow(self, volume: Volume, clicks: Clicks, start: _Found, k: int, way: int) -> dict[int, Contour]:
        """The lesion in the slices above (way 1) or below (-1), each found from the one before, until it ends."""
        slices, rows, columns = volume.geometry.shape
        pixel_mm, slice_mm = volume.geometry.pixel_mm, volume.geometry.spacing[2]
        before, largest, contours = start, start.area(), {}
        for n in range(k + way, k + way * (int(WHOLE_REACH_MM / slice_mm) + 1), way):
            if not 0 <= n < slices:
                break
            inside, outside = _in_slice(clicks, n, slices)
            if not len(inside):
                inside = before.inner_point()[None]
            middle, _ = before.box()
            slab = cut_slab(volume, (float(middle[0]), float(middle[1])), n, REACH_MM)
            found = self._look(slab, [_closer(before, pixel_mm)], (inside, outside), pixel_mm)[0]
            if (
                found.kind[0] < FOLLOWED_LESION
                or found.expected_dice < FOLLOWED_DICE * start.expected_dice
                or found.area() < max(ENDS_BELOW * largest, 4.0)
                or found.area() > JUMPS_ABOVE * before.area()
            ):
                break
            contours[n] = found.contour(n, rows, columns)
            largest, before = max(largest, found.area()), found
        return contours


def _in_slice(clicks: Clicks, k: int, slices: int) -> tuple[FloatArray, FloatArray]:
    """The clicks of slice k of so many as (n, 2) points (x, y), oldest first: inside, and outside."""

    def here(points: tuple[tuple[float, float, float], ...]) -> list[tuple[float, float]]:
        # As Volume.require_tissue has it: a click on the volume's last face lies in its last slice.
        return [point[:2] for point in points if min(max(round(point[2]), 0), slices - 1) == k]

    inside, outside = here(clicks.inside), here(clicks.outside)
    return np.asarray(inside, dtype=np.float64).reshape(-1, 2), np.asarray(outside, dtype=np.float64).reshape(-1, 2)


def _closer(found: _Found, pixel_mm: float) -> Frame:
    middle, side = found.box()
    step = float(np.clip(CLOSER_SIDES * side * pixel_mm / SIDE, *CLOSER_MM)) / pixel_mm
    return Frame((float(middle[0]), float(middle[1])), step)


def _clicked_part(mask: NDArray[np.bool_], clicks: FloatArray) -> NDArray[np.bool_]:
    """The connected parts of mask with a click in them or within a pixel and a half, without holes."""
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=parts)
    kept = np.zeros_like(mask)
    for x, y in clicks:
        top, left = max(0, round(y) - 1), max(0, round(x) - 1)
        here = parts[top : max(0, round(y) + 2), left : max(0, round(x) + 2)]
        for part in np.unique(here[here > 0]):
            kept |= parts == part
    return np.asarray(ndimage.binary_fill_holes(kept), dtype=bool)


def _without(mask: NDArray[np.bool_], inside: FloatArray, outside: FloatArray) -> NDArray[np.bool_]:
    """The mask less what belongs to clicks outside that it took in all the same: it is cut at its necks, by watershed."""
    markers = np.zeros(mask.shape, dtype=np.int32)
    for number, points in ((1, inside), (2, outside)):
        for x, y in points:
            row, column = round(y), round(x)
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]:
                markers[row, column] = number
    if not (markers == 2).any() or not (markers == 1).any():
        return mask
    depth = np.asarray(ndimage.distance_transform_edt(mask))
    return np.asarray(segmentation.watershed(-depth, markers, mask=mask) == 1)


def _area(points: FloatArray) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(0.5 * (x @ np.roll(y, 1) - y @ np.roll(x, 1)))


def _no_lesion(what: str, point: tuple[int, int, int]) -> NoLesionError:
    sentence = {
        "vessel": "lies on a vessel",
        "liver": "lies in liver where no lesion stands out",
        "outside the liver": "lies outside the liver",
    }[what]
    return NoLesionError(what, f"The point (i, j, k) = {point} {sentence}. {_ADVICE}")

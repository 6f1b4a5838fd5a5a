"""How the simulated scanner samples and how its noise looks: one preset for thin sharp slices, one for thick soft ones."""

from __future__ import annotations

from dataclasses import dataclass

from lesionlabel.lesions.errors import InputError


@dataclass(frozen=True)
class Preset:
    """pixel_mm: in-plane pixel at a 512 matrix. slice_mm: slice thickness and distance.

    noise_sd: range of a scan's noise SD in HU. kernel: weights of the noise filter from the centre outwards, along each
    in-plane axis; kernel_z the same along slices. edge_mm: mean σ of an organ's edge. sub_slices: samples averaged over the
    thickness of one slice.
    """

    name: str
    pixel_mm: float
    slice_mm: float
    noise_sd: tuple[float, float]
    kernel: tuple[float, ...]
    kernel_z: tuple[float, ...]
    edge_mm: float
    sub_slices: int

    @property
    def field_mm(self) -> float:
        """Side of the reconstructed field, which stays the same for every matrix size."""
        return 512 * self.pixel_mm


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("sharp", 0.743, 1.6, (19.0, 22.0), (1.0, 0.085), (1.0, 0.015), 0.93, 2),
        Preset("soft", 0.743, 5.0, (10.0, 13.0), (1.0, 0.62, 0.18), (1.0, 0.05), 1.15, 5),
    )
}


def find_preset(name: str) -> Preset:
    """The preset called name. Raises InputError for any other word."""
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"Unknown phantom preset {name!r}. Allowed: {', '.join(PRESETS)}.") from None

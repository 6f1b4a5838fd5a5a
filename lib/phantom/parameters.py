"""The phantom's free parameters: how far metastasis and hemangioma overlap. Set by calibration, then locked."""

from __future__ import annotations

from dataclasses import dataclass

from lesionlabel.lesions.errors import InputError


@dataclass(frozen=True)
class LesionParameters:
    """Ranges are (low, high) of a uniform draw, shares are of all lesions of the class; HU unless said otherwise.

    body, hemangioma_body: density of a metastasis, and of the unfilled part of a hemangioma. body_gap: how far below the
    liver both stay at least. heterogeneity: SD of smooth changes inside. rim_share, rim: continuous rims of metastases,
    against the liver. vessel_share: metastases with vessels near their edge, which look like nodules; vessels: how many;
    vessel_size: radius as a share of the diameter; vessel_depth: of their middle below the outline, in radii.
    hypervascular_share, calcified_share, necrotic_share: further metastases; core_share: radius of the necrotic or mucinous
    part as a share of the lesion's. nodules: of hemangiomas, how many; nodule_size, nodule_depth: as of vessels.
    filled_share: filled hemangiomas below 15 mm, and above. metastasis_edge, hemangioma_edge: σ of the outline in mm.
    """

    cyst: tuple[float, float] = (2.0, 18.0)
    body: tuple[float, float] = (40.0, 70.0)
    hemangioma_body: tuple[float, float] = (40.0, 64.0)
    body_gap: float = 8.0
    heterogeneity: tuple[float, float] = (2.0, 9.0)
    rim_share: float = 0.3
    rim: tuple[float, float] = (-15.0, 25.0)
    vessel_share: float = 0.6
    vessels: tuple[int, int] = (1, 5)
    vessel_size: tuple[float, float] = (0.06, 0.16)
    vessel_depth: tuple[float, float] = (0.2, 2.4)
    hypervascular_share: float = 0.12
    calcified_share: float = 0.10
    necrotic_share: float = 0.15
    core_share: tuple[float, float] = (0.7, 0.95)
    nodule_size: tuple[float, float] = (0.08, 0.19)
    nodules: tuple[int, int] = (2, 5)
    nodule_depth: tuple[float, float] = (-0.1, 0.5)
    filled_share: tuple[float, float] = (0.5, 0.04)
    metastasis_edge: tuple[float, float] = (0.7, 3.0)
    hemangioma_edge: tuple[float, float] = (0.5, 2.4)


#: The calibrated phantom, and an easier and a harder one beside it.
VARIANTS = {
    "calibrated": LesionParameters(),
    "easier": LesionParameters(vessel_share=0.25, nodule_size=(0.1, 0.2), nodules=(2, 6)),
    "harder": LesionParameters(vessel_share=0.75, nodule_size=(0.06, 0.14), nodules=(1, 4)),
}


def find_variant(name: str) -> LesionParameters:
    """The parameters of a variant. Raises InputError for any other word."""
    try:
        return VARIANTS[name]
    except KeyError:
        raise InputError(f"Unknown phantom variant {name!r}. Allowed: {', '.join(VARIANTS)}.") from None

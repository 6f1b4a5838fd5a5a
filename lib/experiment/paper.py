"""What the paper published, as data to stand beside an experiment's own figures.

Source: Frid-Adar et al. 2018, arXiv 1803.01229: text, tables I, II and IV, figure 8. One run, one partition, 182 lesions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lesionlabel.experiment.plan import Point

LESIONS = 182
CLASSES = ("cyst", "metastasis", "hemangioma")
READ_OFF = "read off the paper's figure 8 as a whole number of 182 lesions"
#: The paper's two arms: CNN-AUG and CNN-AUG-GAN.
CLASSIC, SYNTHETIC = Point("classic", 5000), Point("dcgan", 5000, 3000)


@dataclass(frozen=True)
class Published:
    """A share in [0, 1] that the paper gives. read_off: it stands in no text or table, and was read off the figure.

    specificity: the mean over classes, weighted by their lesions; None where the paper gives none.
    """

    accuracy: float
    read_off: bool = False
    specificity: float | None = None


@dataclass(frozen=True)
class Matrix:
    """A published confusion matrix. counts: (true, predicted) lesions. sensitivity, specificity: by class, as printed."""

    counts: tuple[tuple[int, int, int], ...]
    sensitivity: tuple[float, float, float]
    specificity: tuple[float, float, float]

    @property
    def malignant_called_benign(self) -> float:
        """Share of metastases that were called cyst or hemangioma."""
        row = self.counts[CLASSES.index("metastasis")]
        return 1 - row[CLASSES.index("metastasis")] / sum(row)


#: By training set. Amounts are added per fold, of all classes together.
ACCURACY: Mapping[Point, Published] = MappingProxyType(
    {
        Point("classic", 0): Published(0.571, read_off=True),
        Point("classic", 500): Published(0.714, read_off=True),
        Point("classic", 1000): Published(0.747, read_off=True),
        Point("classic", 2000): Published(0.775, read_off=True),
        Point("classic", 3000): Published(0.775, read_off=True),
        CLASSIC: Published(0.786, specificity=0.884),
        Point("classic", 7500): Published(0.786, read_off=True),
        Point("classic", 10000): Published(0.780, read_off=True),
        Point("classic", 15000): Published(0.780, read_off=True),
        Point("dcgan", 5000, 300): Published(0.808, read_off=True),
        Point("dcgan", 5000, 1500): Published(0.835, read_off=True),
        SYNTHETIC: Published(0.857, specificity=0.924),
        Point("dcgan", 5000, 6000): Published(0.857, read_off=True),
        Point("dcgan", 5000, 9000): Published(0.852, read_off=True),
        Point("dcgan", 5000, 12000): Published(0.852, read_off=True),
        Point("acgan", 5000, 3000): Published(0.813, specificity=0.900),
        Point("discriminator"): Published(0.791, specificity=0.888),
        Point("words"): Published(0.780, specificity=0.883),
    }
)
#: Tables I and II.
MATRICES: Mapping[Point, Matrix] = MappingProxyType(
    {
        CLASSIC: Matrix(((52, 1, 0), (2, 44, 18), (0, 18, 47)), (0.981, 0.687, 0.723), (0.984, 0.839, 0.846)),
        SYNTHETIC: Matrix(((53, 0, 0), (2, 52, 10), (1, 13, 51)), (1.0, 0.812, 0.785), (0.977, 0.890, 0.914)),
    }
)

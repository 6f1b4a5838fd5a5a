"""The same classifier as a MONAI Label app by the book, on BasicInferTask and MONAI transforms, for click_http.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai.inferers.inferer import Inferer, SimpleInferer
from monai.transforms.intensity.dictionary import ScaleIntensityRanged
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Activationsd
from monai.transforms.spatial.dictionary import Resized
from monai.transforms.transform import MapTransform
from monai.transforms.utility.dictionary import EnsureChannelFirstd, EnsureTyped
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask

from lesionlabel.lesions.roi import HU_WINDOW, MARGIN, ROI_SIZE
from lesionlabel.networks.paper_cnn import PaperCNN

LABELS = {"cyst": 0, "metastasis": 1, "hemangioma": 2}


class CropLesiond(MapTransform):
    """The square around data["foreground"][-1], (1, columns, rows, slices) -> (1, rows, columns), of its slice."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        i, j, k = (round(v) for v in data["foreground"][-1])
        for key in map(str, self.keys):
            image = data[key]
            pixel_mm = float(image.pixdim[0])
            half = round(data["diameter_mm"] / pixel_mm * (1 + 2 * MARGIN) / 2)
            data[key] = image[:, i - half : i + half + 1, j - half : j + half + 1, k].permute(0, 2, 1)
        return data


class StockLesionClassifier(BasicInferTask):
    def __init__(self, path: str) -> None:
        super().__init__(
            path=path,
            network=PaperCNN(len(LABELS)),
            type=InferType.CLASSIFICATION,
            labels=LABELS,
            dimension=2,
            description="The type of a liver lesion",
        )

    def pre_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        low, high = HU_WINDOW
        return [
            LoadImaged(keys="image"),
            EnsureChannelFirstd(keys="image"),
            CropLesiond(keys="image"),
            ScaleIntensityRanged(keys="image", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True),
            Resized(keys="image", spatial_size=(ROI_SIZE, ROI_SIZE), mode="bicubic"),
            EnsureTyped(keys="image"),
        ]

    def inferer(self, data: dict[str, Any] | None = None) -> Inferer:
        return SimpleInferer()

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        return [Activationsd(keys="pred", softmax=True, dim=0)]


class StockApp(MONAILabelApp):
    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(app_dir, studies, conf, name="stock", description="the same by the book", labels=LABELS)

    def init_infers(self) -> dict[str, InferTask]:
        return {"lesion_classifier": StockLesionClassifier(str(Path(self.app_dir) / "model" / "lesion_classifier.pt"))}

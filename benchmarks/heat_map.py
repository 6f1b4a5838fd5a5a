"""Whether the heat map shows what the network does: a sanity check with random weights, and what deleting its pixels changes.

    python benchmarks/heat_map.py [--lesions 24] [--seed 62]

Sanity (Adebayo et al. 2018): the rank correlation of the map with that of the same network whose layers, from the last one
on, have random weights. A map that stays the same shows the picture, not the network. Deletion (as in Samek et al. 2017): the
tenth of the pixels that a map calls most important is replaced by the tissue around; how far do the log-odds fall? Beside it
integrated gradients (Sundararajan et al. 2017), Grad-CAM (Selvaraju et al. 2017) and pixels drawn at random. Simulated
lesions, other than the starter's.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.heat_map import occlusion_map, surroundings
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.bundle_folder import load_weights
from lesionlabel.registry.manifest import Manifest, read_manifest
from lesionlabel.registry.versions import starter_folder

Map = np.ndarray
DELETED_SHARE, PATH_STEPS, LAST_FIRST = 0.1, 32, ("head", "dense", "conv3", "conv2", "conv1")


def answers_of(network: PaperCNN, temperature: float) -> Callable[[np.ndarray], np.ndarray]:
    def probabilities(rois: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = network(torch.from_numpy(rois)[:, None].contiguous(memory_format=torch.channels_last))
        return (logits.double() / temperature).softmax(1).numpy()

    return probabilities


def log_odds(logits: Tensor, index: int) -> Tensor:
    others = [i for i in range(logits.shape[1]) if i != index]
    return logits[:, index] - logits[:, others].logsumexp(1)


def integrated_gradients(network: PaperCNN, roi: np.ndarray, index: int) -> Map:
    start, change = surroundings(roi), torch.from_numpy(roi) - surroundings(roi)
    path = (start + (torch.arange(PATH_STEPS) + 0.5)[:, None, None] / PATH_STEPS * change)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(log_odds(network(path), index).sum(), path)
    return ndimage.gaussian_filter((gradient.mean(0)[0] * change).numpy(), 2.0)


def grad_cam(network: PaperCNN, roi: np.ndarray, index: int) -> Map:
    x = torch.from_numpy(roi)[None, None] - network.mean
    for layer in (network.conv1, network.conv2):
        x = functional.relu(functional.max_pool2d(layer(x), 2))
    maps = functional.relu(network.conv3(x)).detach().requires_grad_()
    logits = network.head(functional.relu(network.dense(functional.max_pool2d(maps, 2).flatten(1))))
    (gradient,) = torch.autograd.grad(log_odds(logits, index).sum(), maps)
    cam = functional.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)).detach()
    return functional.interpolate(cam, (64, 64), mode="bilinear")[0, 0].numpy()


def alikeness(first: Map, second: Map) -> float:
    """The size of the rank correlation of two maps."""
    found: Any = spearmanr(first.ravel(), second.ravel())
    return abs(float(found.statistic))


def deletion(network: PaperCNN, roi: np.ndarray, index: int, importance: Map) -> float:
    """How far the log-odds fall without the pixels that a map calls most important."""
    gone = importance >= np.quantile(importance, 1 - DELETED_SHARE)
    soft = ndimage.gaussian_filter(gone.astype(np.float32), 1.0)
    both = np.stack([roi, roi * (1 - soft) + surroundings(roi) * soft]).astype(np.float32)
    with torch.inference_mode():
        before, after = log_odds(network(torch.from_numpy(both)[:, None]), index).tolist()
    return before - after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=24)
    parser.add_argument("--seed", type=int, default=62)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    manifest = read_manifest(starter_folder(), Manifest)
    network = PaperCNN(len(manifest.class_names))
    load_weights(starter_folder(), manifest, network)
    network.eval().requires_grad_(False)
    each_class = [chosen.lesions // 3] * len(manifest.class_names)
    rois = originals(make_cohort(dict(zip(manifest.class_names, each_class, strict=True)), chosen.seed))[:, 0].numpy()
    named = answers_of(network, manifest.temperature)(rois).argmax(1)
    began = time.process_time()
    maps = [occlusion_map(roi, int(i), answers_of(network, manifest.temperature)) for roi, i in zip(rois, named, strict=True)]
    each = (time.process_time() - began) / len(rois)
    print(f"{manifest.version}, {len(rois)} simulated lesions, seed {chosen.seed}; {each:.2f} s of one core a map\n")

    changed, fresh = copy.deepcopy(network), PaperCNN(len(manifest.class_names), torch.Generator().manual_seed(chosen.seed))
    print("| random from the last layer to | rank correlation with the map, mean (largest) |\n| --- | --- |")
    for layer in LAST_FIRST:
        getattr(changed, layer).load_state_dict(getattr(fresh, layer).state_dict())
        asked = answers_of(changed, manifest.temperature)
        alike = [alikeness(before, occlusion_map(roi, int(i), asked)) for roi, i, before in zip(rois, named, maps, strict=True)]
        print(f"| {layer} | {np.mean(alike):.2f} ({max(alike):.2f}) |", flush=True)

    rng = np.random.default_rng(chosen.seed)
    rivals: dict[str, Callable[[np.ndarray, int, Map], Map]] = {
        "occlusion": lambda _roi, _index, known: known,
        "integrated gradients": lambda roi, index, _: integrated_gradients(network, roi, index),
        "Grad-CAM": lambda roi, index, _: grad_cam(network, roi, index),
        "random": lambda _roi, _index, _: ndimage.gaussian_filter(rng.normal(size=(64, 64)), 4.0),
    }
    print("\n| map | fall of the log-odds without its top tenth, mean ± standard error |\n| --- | --- |")
    for name, draw in rivals.items():
        falls = [deletion(network, r, int(i), draw(r, int(i), k)) for r, i, k in zip(rois, named, maps, strict=True)]
        print(f"| {name} | {np.mean(falls):.2f} ± {np.std(falls, ddof=1) / np.sqrt(len(falls)):.2f} |")


if __name__ == "__main__":
    main()

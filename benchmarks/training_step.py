"""One training step of the classifier: ours against the plain float32 loop, at equal settings, side by side.

    python benchmarks/training_step.py [--steps N] [--device auto]

Bar: at least 2 × on a CPU with bfloat16 in hardware. The two loops take turns, so that other load meets both alike.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.training.classifier import ClassifierConfig, train_classifier


def plain_steps(images: Tensor, labels: Tensor, config: ClassifierConfig, device: torch.device) -> None:
    """The loop as a tutorial has it: float32, default memory layout, a DataLoader, dropout from the global generator."""
    network = PaperCNN(3, torch.Generator().manual_seed(0)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=config.learning_rate, momentum=config.momentum, nesterov=True)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), config.batch, shuffle=True)
    done = 0
    while done < (config.steps or 0):
        for batch, truth in loader:
            logits = network.head(functional.dropout(network.features(batch.to(device)), config.dropout))
            loss = functional.cross_entropy(logits, truth.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            done += 1
            if done == config.steps:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(2048, 1, 64, 64, generator=rng)
    labels = torch.randint(0, 3, (2048,), generator=rng)
    config = ClassifierConfig(epochs=None, steps=arguments.steps, device=arguments.device)

    def timed(loop) -> float:
        start = time.perf_counter()
        loop()
        return (time.perf_counter() - start) / arguments.steps

    seconds = []
    for _ in range(arguments.rounds + 1):
        plain = timed(lambda: plain_steps(images, labels, config, device))
        ours = timed(lambda: train_classifier(images, labels, config))
        seconds.append((plain, ours))
    plain, ours = np.median(seconds[1:], axis=0)
    best_plain, best_ours = np.min(seconds[1:], axis=0)
    hardware = "in hardware" if has_fast_bfloat16(device) else "not in hardware"
    print(f"device {device}, {torch.get_num_threads()} threads, bfloat16 {hardware}, batch {config.batch}")
    print(f"plain float32 loop: {1000 * plain:.1f} ms a step (median of {arguments.rounds} rounds; best {1000 * best_plain:.1f})")
    print(f"ours:               {1000 * ours:.1f} ms a step (best {1000 * best_ours:.1f})")
    ratios = [p / o for p, o in seconds[1:]]
    print(f"ratio: {np.median(ratios):.2f} (median of the rounds' ratios; {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()

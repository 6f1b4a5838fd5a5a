"""Everything that a classifier's training carries from one step to the next, and how it is kept in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.training.checkpoint import load_checkpoint_of, pack, pack_optimizer, save_checkpoint, unpack, unpack_optimizer


@dataclass(eq=False)
class ClassifierState:
    """summed: losses since the last look. queue: indices of this pass not yet used. losses: (step, mean since the one before)."""

    network: PaperCNN
    sgd: torch.optim.SGD
    order: torch.Generator
    dropout: torch.Generator
    summed: Tensor
    step: int = 0
    queue: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    losses: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def start(
        cls, network: PaperCNN, seeds: tuple[int, int], rate: float, momentum: float, device: torch.device
    ) -> ClassifierState:
        """The state before the first step. seeds: of the images' order and of dropout."""
        network = convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
        return cls(
            network,
            torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum, nesterov=momentum > 0, fused=True),
            torch.Generator().manual_seed(seeds[0]),
            torch.Generator(device).manual_seed(seeds[1]),
            torch.zeros((), device=device),
        )

    def next_batch(self, n_images: int, size: int) -> Tensor:
        """The indices of the next batch: every image once before any comes again, the last batch of a pass being smaller."""
        if not len(self.queue):
            self.queue = torch.randperm(n_images, generator=self.order)
        chosen, self.queue = self.queue[:size], self.queue[size:]
        return chosen

    def save(self, path: Path, task: dict[str, Any]) -> None:
        """Keep the state. task: what is trained on what, which a later run must share to go on."""
        tensors = {
            **pack("network", self.network),
            **pack_optimizer("sgd", self.sgd),
            "order": self.order.get_state(),
            "dropout": self.dropout.get_state(),
            "summed": self.summed,
            "queue": self.queue,
        }
        save_checkpoint(path, tensors, {"task": task, "step": self.step, "losses": self.losses})

    def load(self, path: Path, task: dict[str, Any]) -> None:
        """Take over what save kept, if there is such a file. Raises InputError when it is of another task, IntegrityError."""
        kept = load_checkpoint_of(path, task)
        if kept is None:
            return
        tensors, record = kept
        try:
            unpack("network", self.network, tensors)
            unpack_optimizer("sgd", self.sgd, tensors)
            self.order.set_state(tensors["order"])
            self.dropout.set_state(tensors["dropout"])
            self.summed.copy_(tensors["summed"])
            self.queue, self.step = tensors["queue"], int(record["step"])
            self.losses = [(int(step), float(loss)) for step, loss in record["losses"]]
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise IntegrityError(f"The checkpoint {path} is damaged ({error}). Delete it to train from the start.") from error

"""One training over several processes that torchrun started: each computes its share of the rows of every batch.

All processes draw the same batches and masks, because draws belong to rows. Each puts its rows through the model, all
of them gather the outputs, compute the whole loss, and add up the gradients of their own rows. So the gradient is that
of one process but for rounding, whatever the objective, and the weights stay equal everywhere. Process 0 alone reads
and writes files; validations are computed by every process.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from selfpretrain.errors import SettingError
from selfpretrain.model.transformer import Outputs
from selfpretrain.train.training import Row, Training

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: process 0 may do other work meanwhile (ours)."""


def start() -> None:
    """Join the processes that torchrun started."""
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)


def end() -> None:
    """Leave them."""
    dist.destroy_process_group()


def size() -> int:
    """Processes of the group; 1 without one."""
    return dist.get_world_size() if dist.is_initialized() else 1


def send(message: Any) -> None:
    """Give every other process an object; process 0 calls this, and the others ``receive``."""
    if size() > 1:
        dist.broadcast_object_list([message])


def receive() -> Any:
    """What process 0 sends."""
    messages = [None]
    dist.broadcast_object_list(messages)
    return messages[0]


def agreed(flag: bool) -> bool:
    """The flag of process 0, in every process."""
    if size() == 1:
        return flag
    value = torch.tensor(int(flag))
    dist.broadcast(value, 0)
    return bool(value)


def require_rows(training: Training) -> None:
    """Refuse more processes than a batch has rows."""
    batch_size = training.plan.batch_size
    if size() > batch_size:
        raise SettingError("batch_size", batch_size, f"has fewer rows than there are processes ({size()})")


class Sharded:
    """A model that computes this process's share of the rows where a gradient is asked for, and all of them elsewhere.

    Args:
        model: maps (x, keep_mask, chosen, keys) to ``Outputs``.
        per_row: sequences of a row, which stay together.
    """

    def __init__(self, model: Callable[..., Outputs], per_row: int = 1) -> None:
        self.model, self.per_row = model, per_row

    def __call__(
        self,
        x: Tensor,
        keep_mask: Tensor | None = None,
        chosen: Tensor | None = None,
        keys: Tensor | None = None,
        *,
        labels: bool = True,
    ) -> Outputs:
        if not torch.is_grad_enabled():
            return self.model(x, keep_mask, chosen, keys, labels=labels)
        n_rows = len(x) // self.per_row
        bounds = [n_rows * number // size() * self.per_row for number in range(size() + 1)]
        shares = [slice(*bound) for bound in pairwise(bounds)]
        own = shares[dist.get_rank()]
        given = (None if tensor is None else tensor[own] for tensor in (x, keep_mask, chosen, keys))
        logits, predictions = self.model(*given, labels=labels)
        if logits is not None:
            logits = _gathered(logits, [(share.stop - share.start) // self.per_row for share in shares])
        if predictions is not None and chosen is not None:
            predictions = _gathered(predictions, [int(chosen[share].sum()) for share in shares])
        return Outputs(logits, predictions)

    @staticmethod
    def sum_gradients(model: nn.Module) -> None:
        """Add up what the rows of every process have contributed."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(total)
        for gradient, summed in zip(
            gradients, torch.split(total, [gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))


def _gathered(own: Tensor, sizes: list[int]) -> Tensor:
    """The outputs of all processes, one behind the other; only one's own have a gradient.

    Args:
        sizes: first dimension of each process's.
    """
    padded = own.new_zeros((max(sizes), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    everybody = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(everybody, padded)
    parts = [part[:length] for part, length in zip(everybody, sizes, strict=True)]
    parts[dist.get_rank()] = own
    return torch.cat(parts)


class Assistant:
    """What a process that writes nothing has in the place of a ``TrainingFolder``."""

    longer = None

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def stop_requested(self) -> bool:
        return agreed(False)

    def checkpoint_due(self) -> bool:
        return False

    def snapshot(self, step: int, weights: dict[str, Tensor], training: Training | None = None) -> None:
        pass

    def checkpoint(self, step: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        pass

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        pass

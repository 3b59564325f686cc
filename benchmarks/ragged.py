"""What padding costs: a label step on sequences of very different lengths, padded together and in groups, in turn.

Batches are those of the task's own training. The share of padding is counted over many of them; the times are of single
steps on the same batch, one way and the other, so that a machine whose speed drifts hits both alike.

    python benchmarks/ragged.py lra-listops
    python benchmarks/ragged.py newsgroups --data-dir data     # texts; or spam
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from selfpretrain.config import ModelConfig
from selfpretrain.data.feed import Batch, Feed
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.model.ragged import ByLength, length_groups
from selfpretrain.model.transformer import SequenceModel, fresh_model

OPTIONS = {"lra-listops": {"sequences": 3000}, "newsgroups": {"bytes_kept": 4096}, "spam": {"bytes_kept": 4096}}
COUNTED = 60
"""Batches over which padding is counted."""


def feed_of(task: Task, batch_size: int) -> Feed:
    return Feed(task, "label", seed=0, batch_size=batch_size, device=torch.device("cpu"))


def padding(feed: Feed) -> tuple[float, float]:
    """Share of positions that are padding: all rows together, and in groups."""
    real = together = grouped = 0
    for step in range(COUNTED):
        batch = feed.batch(step)
        lengths = torch.full((len(batch.y),), batch.x.shape[1]) if batch.keep_mask is None else batch.keep_mask.sum(1)
        real += int(lengths.sum())
        together += batch.x.shape[0] * batch.x.shape[1]
        grouped += sum(len(group) * int(lengths[group].max()) for group in length_groups(lengths.numpy()))
    return 1 - real / together, 1 - real / grouped


def seconds(model: SequenceModel | ByLength, batch: Batch) -> float:
    begun = time.perf_counter()
    F.cross_entropy(model(batch.x, batch.keep_mask).logits, batch.y).backward()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=OPTIONS)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {} if arguments.data_dir is None else {"data_dir": arguments.data_dir}
    task = load_task(arguments.task, **OPTIONS[arguments.task], **options)
    feed = feed_of(task, arguments.batch)
    together, grouped = padding(feed)
    print(f"{task.name}, batches of {arguments.batch}: padding {together:.1%} together, {grouped:.1%} in groups")
    model = fresh_model(ModelConfig(depth=2, width=64, heads=4), task.inputs, seed=0)
    times = []
    for step in range(arguments.pairs):
        batch = feed.batch(step)
        times.append((seconds(model, batch), seconds(ByLength(model, task.inputs.per_row), batch)))
    ratio = statistics.median(a / b for a, b in times)
    one, two = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"a label step of two layers of width 64: {one:.2f} s together, {two:.2f} s in groups, {ratio:.2f} x faster")


if __name__ == "__main__":
    main()

"""Memory and time of one training step on a long sequence with block-local attention.

The model is that of the preset amos-pathx (16,384 positions) or amos-pathx-256 (65,536), with random values in place of
images. Memory is the largest that this process has held, so each row is a process of its own.

    python benchmarks/long.py 16384 --recompute
    python benchmarks/long.py 65536 --recompute
"""

import argparse
import resource
import time

import torch
import torch.nn.functional as F

from selfpretrain.data.kinds import InputSpec
from selfpretrain.model.transformer import fresh_model
from selfpretrain.registry import PRESETS as REGISTERED

PRESETS = {16384: "amos-pathx", 65536: "amos-pathx-256"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("positions", type=int, choices=PRESETS)
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = REGISTERED[PRESETS[arguments.positions]].config.model
    inputs = InputSpec(kind="values", symbols=0, channels=1, classes=2, length=arguments.positions)
    model = fresh_model(config, inputs, seed=0)
    model.recompute = arguments.recompute
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x = torch.randn(arguments.batch, arguments.positions, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    begun = time.perf_counter()
    F.cross_entropy(model(x).logits, torch.zeros(arguments.batch, dtype=torch.long)).backward()
    optimizer.step()
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{arguments.positions} positions, block {config.attention_block}, batch {arguments.batch}, recompute "
        f"{arguments.recompute}: {after / 2**20:.2f} GiB in all ({before / 2**20:.2f} before the step), {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()

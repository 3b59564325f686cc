"""How long it takes to read a million rows of 100 symbols and to make the first label step, and how much memory.

Files are made in a temporary folder; each is read in a process of its own, whose peak memory is reported.

    python benchmarks/reading.py [--rows 1000000]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

LENGTH, SYMBOLS = 100, 8


def make_files(folder: Path, rows: int) -> None:
    """The same rows as NPZ, Parquet (lists) and CSV (texts)."""
    generator = np.random.default_rng(0)
    x = generator.integers(SYMBOLS, size=(rows, LENGTH), dtype=np.int64)
    y = generator.integers(2, size=rows)
    np.savez(folder / "rows.npz", x=x.astype(np.uint8), y=y)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), LENGTH)
    labels = pa.array(np.where(y, "up", "down"))
    pyarrow.parquet.write_table(pa.table({"sequence": lists, "label": labels}), folder / "rows.parquet")
    texts = pa.array([" ".join(row) for row in x.astype("U1").tolist()])
    pyarrow.csv.write_csv(pa.table({"sequence": texts, "label": labels}), folder / "rows.csv")


def read(path: Path) -> None:
    """Read one file; print seconds and peak memory."""
    from selfpretrain.comparison.request import Request
    from selfpretrain.data.load import load_task
    from selfpretrain.registry import PRESETS
    from selfpretrain.train.loop import TrainState, make_optimizers, update
    from selfpretrain.train.work import prepared

    begun = time.perf_counter()
    task = load_task(path, kind="symbols")
    seconds = time.perf_counter() - begun
    training = Request.of(task, PRESETS["small"].config).labels(0, 1e-3)
    model, objective, feed, forward = prepared(training, task)
    update(model, objective, feed.batch(0), training, TrainState(make_optimizers(model, training.plan)), forward)
    to_step = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{path.suffix:9s} {len(task.train):,} training rows, {seconds:.1f} s, first step after {to_step:.1f} s,"
        f" {peak:.2f} GiB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make is not None:
        return make_files(arguments.make, arguments.rows)
    if arguments.read is not None:
        return read(arguments.read)
    with tempfile.TemporaryDirectory() as folder:
        # Each in a process of its own: a child inherits the peak memory of the process that starts it.
        own = [sys.executable, __file__, "--rows", str(arguments.rows)]
        subprocess.run([*own, "--make", folder], check=True)
        for path in sorted(Path(folder).iterdir()):
            subprocess.run([*own, "--read", str(path)], check=True)


if __name__ == "__main__":
    main()

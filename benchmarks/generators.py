"""How fast the generators of the Long Range Arena's tasks are, on one core, beside the original's times.

Images of Pathfinder and Path-X are drawn one by one, as a worker process does it; ListOps as the task does it. The
first image of a size, for which tables and compiled code are made, is not counted. The original (drewlinsley/pathfinder
at ab9c130) was timed elsewhere on one core: 0.13 s an image at 32, 4.3 s at 128, 0.29 s at 256.

    python benchmarks/generators.py
"""

import argparse
import time

import numpy as np

from selfpretrain.arena import contours
from selfpretrain.arena.listops import ListOps

ORIGINAL_SECONDS = {32: 0.13, 128: 4.3, 256: 0.29}
IMAGES = {32: 2000, 128: 100, 256: 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=100_000, help="of ListOps")
    parser.add_argument("--share", type=float, default=1.0, help="of the images")
    arguments = parser.parse_args()
    for side, original in ORIGINAL_SECONDS.items():
        geometries, n = contours.GEOMETRIES[side], max(1, round(arguments.share * IMAGES[side]))
        for geometry in geometries:
            contours.draw(geometry, np.random.default_rng(0))
        begun = time.perf_counter()
        for number in range(n):
            contours.draw(geometries[number % len(geometries)], np.random.default_rng([1, number]))
        each = (time.perf_counter() - begun) / n
        how = "numba" if contours.COMPILED else "no numba"
        print(f"{side}x{side}, {how}: {1e3 * each:.2f} ms an image of {n}, {original / each:.0f} x the original's rate")
    begun = time.perf_counter()
    made = ListOps(sequences=arguments.sequences).build(np.random.default_rng(0))
    print(f"ListOps: {len(made.labels)} sequences in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()

"""Which group of weights carries the gain, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.drawing import Picture
from selfpretrain.explain.conclusion import HALF
from selfpretrain.explain.transplants.cells import Cell
from selfpretrain.explain.view import View
from selfpretrain.serial import from_dict

ANSWER_COLOURS = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}


def transplants(view: View, figure: Figure) -> bool:
    """Share of the gain that each transplant recovers, every seed a point."""
    recoveries = view.conclusion["recoveries"]
    scratch, spt = (np.array(view.conclusion["ends"][arm]) for arm in ("scratch", "spt"))
    gain = float((spt - scratch).mean()) if recoveries else 0.0
    if not gain:
        return False
    seeds = sorted({row["seed"] for row in view.rows("transplants", "transplant_test_acc")})
    ax = figure.subplots()
    for place, r in enumerate(recoveries):
        rows = view.rows("transplants", "transplant_test_acc", of=r["cell"])
        finished = [row for row in rows if row["values"] is not None]
        points = [(row["values"] - scratch[seeds.index(row["seed"])]) / gain for row in finished]
        ax.plot(points, [place] * len(points), "o", color=ANSWER_COLOURS[r["answer"]], alpha=0.75)
    ax.axvline(0, color="black", linewidth=1)
    ax.axvline(1, color="black", linewidth=1)
    ax.axvline(HALF, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(recoveries)), [from_dict(Cell, r["cell"]).words for r in recoveries], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlabel("share of the gain (0: scratch, 1: SPT)")
    return True


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Which weights carry the gain",
            transplants,
            "Weights taken from self-pretraining into a fresh start, then label training; every seed a point. Look "
            "for a group that reaches 1 alone and whose absence (all but it) leaves 0. Shuffled sequences and noise "
            "should stay at 0; the hand-made bias reaches 1 if proximity is enough. Green: recovers more than half "
            "of the gain; orange: does not; grey: undecided.",
            (9.6, 6.4),
        ),
    ]

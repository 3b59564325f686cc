"""Whether the label could see the local structure, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.drawing import NARROW, PALETTE, Picture, legend
from selfpretrain.explain.view import View


def class_difference(view: View, figure: Figure) -> bool:
    """How much classes differ in pairs, by lag, beside what random labels give."""
    ax = figure.subplots()
    words = {
        "beta": "pairs in order",
        "beta_symmetric": "pairs whatever the order",
        "beta_shuffled": "positions shuffled",
        "beta_chance": "labels at random",
    }
    drawn = False
    for colour, (name, said) in zip(PALETTE, words.items(), strict=False):
        for values in view.arrays("data", name):
            ax.plot(np.arange(1, len(values) + 1), values, "o-", color=colour, label=said)
            drawn = True
    ax.set_xlabel("lag, positions")
    ax.set_ylabel("class difference β (0: none, 1: all)")
    ax.set_ylim(bottom=0)
    legend(ax)
    return drawn


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Could the label see it?",
            class_difference,
            "Class difference of pairs of positions, from the data alone, as a share of what pairs there are. Blue "
            "above the line for random labels means that classes differ; where shuffled positions give as much, "
            "they may differ in single positions alone. What a classifier makes of pairs is said above.",
            NARROW,
        ),
    ]

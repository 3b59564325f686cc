"""Draw the README's figures from a finished comparison: python docs/draw_figures.py runs/demo"""

import sys
from pathlib import Path

from selfpretrain.report.figures import accuracies, draw, learning_curves
from selfpretrain.report.reading import read_comparison

for paint in (accuracies, learning_curves):
    svg = draw(paint, read_comparison(Path(sys.argv[1])))
    (Path(__file__).parent / "figures" / f"{paint.__name__}.svg").write_text(svg or "")

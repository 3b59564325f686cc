"""Draw the README's figures from a finished and diagnosed comparison: python docs/draw_figures.py runs/demo"""

import sys
from pathlib import Path

from selfpretrain.report import figures, why
from selfpretrain.report.reading import read_comparison

findings = read_comparison(Path(sys.argv[1]))
assert findings.diagnosis is not None, "run selfpretrain diagnose first"
drawn = {paint.__name__: figures.draw(paint, findings) for paint in (figures.accuracies, figures.learning_curves)}
for _, paint, size, _ in why.FIGURES:
    if paint in (why.transplants, why.lag_profiles):
        drawn[paint.__name__] = why.draw(paint, why.Why(findings.diagnosis), size)
for name, svg in drawn.items():
    (Path(__file__).parent / "figures" / f"{name}.svg").write_text(svg or "")

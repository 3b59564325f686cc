"""Draw the README's figures from a finished and diagnosed comparison: python docs/draw_figures.py runs/demo"""

import sys
from pathlib import Path

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.explain.attention.pictures import lag_profiles
from selfpretrain.explain.registry import known_sections
from selfpretrain.explain.transplants.pictures import transplants
from selfpretrain.explain.view import View
from selfpretrain.report.content import Content
from selfpretrain.report.figures import PICTURES, accuracies, learning_curves

content = Content.read(ComparisonFolder(Path(sys.argv[1])))
assert content.diagnosis is not None, "run selfpretrain diagnose first"
of_why = [picture for section in known_sections().values() for picture in section.pictures()]
for pictures, painted, source in (
    (PICTURES, (accuracies, learning_curves), content),
    (of_why, (transplants, lag_profiles), View(content.diagnosis)),
):
    for picture in pictures:
        if picture.paint in painted:
            path = Path(__file__).parent / "figures" / f"{picture.paint.__name__}.svg"
            path.write_text(picture.svg(source) or "")
